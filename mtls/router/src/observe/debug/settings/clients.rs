//! What is asked of clients: listeners, and the issuers of their tokens.

use cellway_core::headers::Forwarded;
use cellway_core::policy::{IssuerSpec, Policy};
use serde_json::{Value, json};

use super::{file, ms, together, without_query};
use crate::settings::{
    Callers, ClientCertificate, ClientTimeouts, ListenerSettings, ListenerTls, Serves,
    TrafficSettings,
};

/// One `[[listener]]`.
pub(super) fn listener(settings: &ListenerSettings, policy: &Policy) -> Value {
    let ListenerSettings {
        name,
        bind,
        policy: own_policy,
        traffic: own_traffic,
        routes,
        serves: served,
        tls,
        proxy_protocol,
        forwarded,
        explain_headers,
        timeouts,
        connections_max,
        address_share,
        streams_max,
    } = settings;
    // A listener that forwards nothing has none.
    let traffic = |it: &TrafficSettings| (*served == Serves::Proxy).then(|| it.name.to_string());
    let routes = routes.iter().map(|route| {
        json!({
            "path": route.path.as_str(),
            "policy": policy.auth(route.policy).name.as_str(),
            "traffic": traffic(&route.traffic),
        })
    });
    let proxies = proxy_protocol.iter().map(ToString::to_string);
    let proxies = Some(proxies.collect::<Vec<_>>()).filter(|from| !from.is_empty());
    let rest = json!({
        "name": &**name,
        "bind": bind.to_string(),
        "policy": policy.auth(*own_policy).name.as_str(),
        "traffic": traffic(own_traffic),
        "route": routes.collect::<Vec<_>>(),
        "serves": serves(settings),
        "callers": match served {
            Serves::Proxy => Value::Null,
            Serves::ExtAuthz(Callers::Loopback) => json!("loopback"),
            Serves::ExtAuthz(Callers::Sans(sans)) => json!(sans),
        },
        "tls": tls.as_ref().map(listener_tls),
        "proxy_protocol": proxies.map(|from| json!({ "from": from })),
        "forwarded": match forwarded {
            Forwarded::Replace => "replace",
            Forwarded::Append => "append",
            Forwarded::Keep => "keep",
        },
        "explain_headers": explain_headers,
        "connections_max": connections_max,
        "address_share_percent": address_share,
        "streams_max": streams_max,
    });
    together([times(*timeouts), rest])
}

/// The word for what a listener serves.
pub(in crate::observe::debug) fn serves(settings: &ListenerSettings) -> &'static str {
    match settings.serves {
        Serves::Proxy => "proxy",
        Serves::ExtAuthz(_) => "ext_authz",
    }
}

fn listener_tls(tls: &ListenerTls) -> Value {
    let ListenerTls {
        identity,
        client_certificate,
    } = tls;
    json!({
        "certificate": file(&identity.certificate),
        "key": file(&identity.key),
        "client_certificate": match client_certificate {
            ClientCertificate::None => "none",
            ClientCertificate::Optional => "optional",
            ClientCertificate::Required => "required",
        },
    })
}

fn times(timeouts: ClientTimeouts) -> Value {
    let ClientTimeouts {
        handshake,
        first_byte,
        header,
        idle,
        stall,
        read_rate_min,
        body_rate_min,
        body_grace,
    } = timeouts;
    json!({
        "handshake_timeout_ms": ms(handshake),
        "first_byte_timeout_ms": ms(first_byte),
        "header_timeout_ms": ms(header),
        "idle_timeout_ms": ms(idle),
        "stall_timeout_ms": ms(stall),
        "read_rate_min": read_rate_min,
        "body_rate_min": body_rate_min,
        "body_grace_ms": ms(body_grace),
    })
}

/// One `[[issuer]]`.
pub(super) fn issuer(spec: &IssuerSpec) -> Value {
    let uri = spec.jwks_uri.as_deref().map(without_query);
    json!(IssuerSpec {
        jwks_uri: uri.map(str::to_owned),
        ..spec.clone()
    })
}
