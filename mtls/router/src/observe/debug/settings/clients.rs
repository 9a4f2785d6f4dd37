//! What is asked of clients: listeners, and the issuers of their tokens.

use cellway_core::headers::Forwarded;
use cellway_core::keys::KeyTiming;
use cellway_core::policy::{Issuer, KeysLocation};
use serde_json::{Value, json};

use super::{ms, together};
use crate::settings::{ClientCertificate, ClientTimeouts, ListenerSettings};

/// The limits and times of a `[[listener]]`, and what it does with its connections.
pub(in crate::observe::debug) fn listener(settings: &ListenerSettings) -> Value {
    let ClientTimeouts {
        handshake,
        first_byte,
        header,
        idle,
        stall,
        read_rate_min,
        body_rate_min,
        body_grace,
    } = settings.timeouts;
    let times = json!({
        "handshake_timeout_ms": ms(handshake),
        "first_byte_timeout_ms": ms(first_byte),
        "header_timeout_ms": ms(header),
        "idle_timeout_ms": ms(idle),
        "stall_timeout_ms": ms(stall),
        "read_rate_min": read_rate_min,
        "body_rate_min": body_rate_min,
        "body_grace_ms": ms(body_grace),
    });
    let proxies = settings.proxy_protocol.iter().map(ToString::to_string);
    let proxies = Some(proxies.collect::<Vec<_>>()).filter(|from| !from.is_empty());
    let certificate = settings.tls.as_ref().map(|tls| tls.client_certificate);
    let rest = json!({
        "proxy_protocol": proxies.map(|from| json!({ "from": from })),
        "forwarded": match settings.forwarded {
            Forwarded::Replace => "replace",
            Forwarded::Append => "append",
            Forwarded::Keep => "keep",
        },
        "explain_headers": settings.explain_headers,
        "connections_max": settings.connections_max,
        "address_share_percent": settings.address_share,
        "streams_max": settings.streams_max,
        "client_certificate": certificate.map(|it| match it {
            ClientCertificate::None => "none",
            ClientCertificate::Optional => "optional",
            ClientCertificate::Required => "required",
        }),
    });
    together([times, rest])
}

/// One `[[issuer]]`, without its claims and tenants.
pub(in crate::observe::debug) fn issuer(issuer: &Issuer) -> Value {
    let KeyTiming {
        fresh,
        stale_max,
        cooldown,
        wait_max,
        retry_min,
        retry_max,
    } = issuer.timing;
    let (uri, file) = match &issuer.keys {
        // Its query may be a secret.
        KeysLocation::Uri(uri) => (uri.split('?').next(), None),
        KeysLocation::File(file) => (None, Some(file)),
        KeysLocation::Discovery { .. } => (None, None),
    };
    json!({
        "name": issuer.name.to_string(),
        "issuer": &*issuer.iss,
        "audience": issuer.audiences,
        "client_ids": issuer.client_ids,
        "authorized_parties": issuer.authorized_parties,
        "algorithms": issuer.algorithms.iter().map(|it| it.as_str()).collect::<Vec<_>>(),
        "types": issuer.types,
        "leeway_exp_secs": issuer.leeway_exp_secs,
        "leeway_nbf_secs": issuer.leeway_nbf_secs,
        "jwks_uri": uri,
        "jwks_file": file,
        "keys": {
            "fresh_secs": fresh.as_secs(),
            "stale_max_secs": stale_max.as_secs(),
            "cooldown_secs": cooldown.as_secs(),
            "wait_max_ms": ms(wait_max),
            "retry_min_secs": retry_min.as_secs(),
            "retry_max_secs": retry_max.as_secs(),
        },
    })
}
