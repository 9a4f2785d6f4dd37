//! From tables to settings: what they mean together.

use std::net::SocketAddr;
use std::sync::Arc;

use cellway_core::policy::{
    Mode, OnDoubt, Policy, PolicyId, PolicySpec, PolicySpecs, Scheme, TrustSpec,
};

use super::envelope::envelope;
use super::error::ConfigError;
use super::paths::Paths;
use super::report::{Reporter, key_pair};
use super::routes;
use super::schema::{ClientCertificateWord, File, ListenerTable, ServesWord};
use super::serves;
use super::sources::{Surroundings, fetch, registry, upstream};
use super::way;
use super::{Config, Stated};
use crate::fetch::SourceUrl;
use crate::log::SubjectForm;
use crate::opening::OPEN_WAIT_DEFAULT;
use crate::settings::{
    ClientCertificate, ClientTimeouts, DomainBundle, ListenerSettings, ListenerTls, Pem,
    RevocationSettings, RouterSettings, Sources,
};

/// Checks what the tables mean together. Mistakes go to `report`; `None` if there was one that
/// leaves nothing to return.
pub(super) fn resolve(
    file: &str,
    mut tables: File,
    surroundings: &Surroundings<'_>,
    report: impl FnMut(ConfigError),
) -> Option<Config> {
    let mut report = Reporter(report);
    Paths::beside(file).resolve(&mut tables);
    let policy = policy(&tables, &mut report);
    listeners_exist(&tables, &mut report);
    let mut listeners = Vec::new();
    for (i, listener) in tables.listener.iter().enumerate() {
        let (id, routes) = routes::policies(i, listener, &tables, policy.as_deref(), &mut report);
        check_listener(i, listener, &tables, &mut report);
        let serves = serves::serves(i, listener, &mut report);
        listeners.push(ListenerSettings {
            serves,
            routes,
            ..listener_settings(i, listener, id, &mut report)
        });
    }
    let registry = registry(&tables.registry, &mut report);
    let upstream = upstream(&tables.upstream, &mut report);
    let fetch = fetch(&tables.fetch, surroundings, &mut report);
    let envelope = (tables.envelope.as_ref()).map(|table| envelope(table, &mut report));
    if let Some(admin) = &tables.admin
        && let Some(listener) = (tables.listener.iter()).find(|it| overlap(it.bind, admin.bind))
    {
        let problem = format!(
            "{} overlaps the address of listener \"{}\", {}: only one of them can be bound",
            admin.bind, listener.name, listener.bind
        );
        report.mistake("admin.bind", problem, "use another port");
    }
    if let Some(admin) = &tables.admin
        && !admin.bind.ip().is_loopback()
    {
        report.mistake(
            "admin.bind",
            "is not a loopback address, and nobody is authenticated there",
            "use 127.0.0.1 or [::1]",
        );
    }
    let health = tables.health.as_ref().map(|health| health.bind);
    if health.is_some_and(|bind| bind.port() != 0)
        && health == tables.admin.as_ref().map(|admin| admin.bind)
    {
        let problem = "is the address of the admin listener too";
        report.mistake("health.bind", problem, "give each its own");
    }
    let wait = OPEN_WAIT_DEFAULT.as_secs();
    let open_wait = report.secs(
        "runtime.open_wait_secs",
        tables.runtime.open_wait_secs,
        0,
        wait,
    );
    let drain = report.secs("runtime.drain_secs", tables.runtime.drain_secs, 0, 30);
    let watch = report.secs("runtime.watch_secs", tables.runtime.watch_secs, 1, 5);
    if tables.runtime.workers == Some(0) {
        report.mistake("runtime.workers", "is 0", "give at least one");
    }
    if tables.log.subject_key.is_some() && tables.log.subject != SubjectForm::Hash {
        report.mistake(
            "log.subject_key",
            "requires log.subject = \"hash\"",
            "set log.subject = \"hash\", or remove log.subject_key",
        );
    }
    Some(Config {
        router: RouterSettings {
            listeners,
            policy: policy?,
            revocation: tables.trust.as_ref().map(revocation).unwrap_or_default(),
            domain_bundles: tables
                .trust
                .as_ref()
                .map(domain_bundles)
                .unwrap_or_default(),
            trust_bundle: tables.trust.and_then(|trust| trust.bundle).map(Pem::File),
            upstream,
            sources: Sources {
                registry: registry?,
                fetch,
                state: tables.state.map(|state| state.directory),
            },
            envelope,
        },
        admin: tables.admin.map(|admin| admin.bind),
        health,
        workers: tables.runtime.workers.map(usize::from),
        share_addresses: tables.runtime.share_addresses,
        open_wait,
        drain,
        watch,
        log: tables.log,
        stated: Stated::default(),
    })
}

fn policy<F: FnMut(ConfigError)>(tables: &File, report: &mut Reporter<F>) -> Option<Arc<Policy>> {
    for (i, issuer) in tables.issuer.iter().enumerate() {
        match (&issuer.jwks_uri, &issuer.jwks_file) {
            (Some(uri), None) => {
                report.url(format!("issuer[{i}].jwks_uri"), uri);
            }
            // Discovery goes where the issuer's own name leads.
            (None, None)
                if !issuer.issuer.is_empty() && SourceUrl::parse(&issuer.issuer).is_err() =>
            {
                report.mistake(
                    format!("issuer[{i}].issuer"),
                    "is not an https URL, so its keys can't be discovered",
                    "set jwks_uri or jwks_file",
                );
            }
            _ => {}
        }
    }
    let specs = PolicySpecs {
        issuer: tables.issuer.clone(),
        policy: tables.policy.clone(),
        trust: tables.trust.clone(),
        headers: tables.headers.clone(),
        cba: tables.cba.clone(),
        routing_key: tables.routing_key.clone(),
    };
    match Policy::build(&specs) {
        Ok(policy) => Some(Arc::new(policy)),
        Err(errors) => {
            for error in errors {
                report.mistake(error.setting, error.problem, error.fix);
            }
            None
        }
    }
}

/// Whether two sockets can't have these addresses at once: the port is the same, and either the
/// addresses are the same or one of them is the wildcard address.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && (any || a.ip() == b.ip())
}

fn listeners_exist<F: FnMut(ConfigError)>(tables: &File, report: &mut Reporter<F>) {
    if tables.listener.is_empty() {
        report.mistake(
            "listener",
            "there is none",
            "add a [[listener]] with name and bind",
        );
    }
    for (i, listener) in tables.listener.iter().enumerate() {
        let earlier = &tables.listener[..i];
        if listener.name.is_empty() {
            report.mistake(format!("listener[{i}].name"), "is empty", "name it");
        }
        if earlier.iter().any(|other| other.name == listener.name) {
            let problem = format!("another listener has the name `{}` too", listener.name);
            report.mistake(format!("listener[{i}].name"), problem, "give each its own");
        }
        if let Some(other) = earlier.iter().find(|it| overlap(it.bind, listener.bind)) {
            let problem = format!(
                "{} overlaps the address of listener \"{}\", {}",
                listener.bind, other.name, other.bind
            );
            report.mistake(format!("listener[{i}].bind"), problem, "give each its own");
        }
    }
}

fn check_listener<F: FnMut(ConfigError)>(
    i: usize,
    listener: &ListenerTable,
    tables: &File,
    report: &mut Reporter<F>,
) {
    let loopback = listener.bind.ip().is_loopback();
    for policy in routes::named(listener, tables) {
        check_policy(i, listener, policy, tables, report);
    }
    let Some(tls) = &listener.tls else {
        if !loopback && !listener.allow_plain {
            report.mistake(
                format!("listener[{i}].bind"),
                "is not a loopback address, and the listener has no TLS: tokens would travel in the clear",
                "add [listener.tls], or set allow_plain = true if something in front speaks TLS",
            );
        }
        return;
    };
    let asks = tls.client_certificate != ClientCertificateWord::None;
    let trusts = tables.trust.as_ref().is_some_and(TrustSpec::has_bundle);
    if asks && !trusts {
        report.mistake(
            format!("listener[{i}].tls.client_certificate"),
            "asks clients for certificates, but no CA is trusted to sign them",
            "set trust.bundle",
        );
    }
}

/// What a policy of the listener's asks of the listener.
fn check_policy<F: FnMut(ConfigError)>(
    i: usize,
    listener: &ListenerTable,
    policy: &PolicySpec,
    tables: &File,
    report: &mut Reporter<F>,
) {
    if policy.mode == Mode::Disabled && !listener.bind.ip().is_loopback() {
        report.mistake(
            format!("listener[{i}].bind"),
            "is not a loopback address, and its policy is `disabled`",
            "bind 127.0.0.1, or give it a policy that authenticates",
        );
    }
    gateways_can_come(i, listener, policy, tables, report);
    let Some(tls) = &listener.tls else {
        return;
    };
    let any = policy.any_of.as_deref().unwrap_or_default();
    let all = policy.all_of.as_deref().unwrap_or_default();
    let only_mtls =
        policy.mode == Mode::Required && (any == [Scheme::Mtls] || all.contains(&Scheme::Mtls));
    let asks = tls.client_certificate != ClientCertificateWord::None;
    if only_mtls && !asks && listener.serves == ServesWord::Proxy {
        report.mistake(
            format!("listener[{i}].tls.client_certificate"),
            "is `none`, but the listener's policy requires a client certificate",
            "set it to optional or required",
        );
    }
}

/// Where gateways alone vouch for routing keys, and these alone count, a listener that asks nobody
/// for a certificate would let nobody pass.
fn gateways_can_come<F: FnMut(ConfigError)>(
    i: usize,
    listener: &ListenerTable,
    policy: &PolicySpec,
    tables: &File,
    report: &mut Reporter<F>,
) {
    let asked = listener.tls.as_ref().map(|tls| tls.client_certificate);
    let asks = asked.is_some_and(|asked| asked != ClientCertificateWord::None);
    let any = policy.any_of.as_deref().unwrap_or_default();
    let all = policy.all_of.as_deref().unwrap_or_default();
    let only_routing_keys = policy.mode == Mode::Required
        && (any == [Scheme::RoutingKey] || all.contains(&Scheme::RoutingKey));
    let by_gateway = tables.routing_key.signer.is_empty();
    if only_routing_keys && by_gateway && !asks && listener.serves == ServesWord::Proxy {
        report.mistake(
            format!("listener[{i}].tls.client_certificate"),
            "asks for none, but the listener's policy requires a gateway's certificate",
            "set it to optional or required, or add a [[routing_key.signer]]",
        );
    }
}

fn listener_settings<F: FnMut(ConfigError)>(
    i: usize,
    table: &ListenerTable,
    policy: PolicyId,
    report: &mut Reporter<F>,
) -> ListenerSettings {
    let defaults = ListenerSettings::new(&table.name, table.bind, policy);
    let name = |key: &str| format!("listener[{i}].{key}");
    let times = ClientTimeouts::default();
    let handshake = name("handshake_timeout_ms");
    let first_byte = name("first_byte_timeout_ms");
    let header = name("header_timeout_ms");
    let idle = name("idle_timeout_ms");
    let stall = name("stall_timeout_ms");
    let grace = name("body_grace_ms");
    let connections = name("connections_max");
    let share = name("address_share_percent");
    if table.streams_max == Some(0) {
        report.mistake(name("streams_max"), "is 0", "give at least 1");
    }
    ListenerSettings {
        tls: table.tls.as_ref().map(|tls| ListenerTls {
            identity: key_pair(&tls.certificate, &tls.key),
            client_certificate: match tls.client_certificate {
                ClientCertificateWord::None => ClientCertificate::None,
                ClientCertificateWord::Optional => ClientCertificate::Optional,
                ClientCertificateWord::Required => ClientCertificate::Required,
            },
        }),
        proxy_protocol: way::proxies(i, table, report),
        forwarded: table.forwarded,
        timeouts: ClientTimeouts {
            handshake: report.ms(handshake, table.handshake_timeout_ms, times.handshake),
            first_byte: report.ms(first_byte, table.first_byte_timeout_ms, times.first_byte),
            header: report.ms(header, table.header_timeout_ms, times.header),
            idle: report.ms(idle, table.idle_timeout_ms, times.idle),
            stall: report.ms(stall, table.stall_timeout_ms, times.stall),
            read_rate_min: table.read_rate_min.unwrap_or(times.read_rate_min),
            body_rate_min: table.body_rate_min.unwrap_or(times.body_rate_min),
            body_grace: report.ms(grace, table.body_grace_ms, times.body_grace),
        },
        connections_max: report.count(connections, table.connections_max, defaults.connections_max),
        address_share: report.percent(share, table.address_share_percent, defaults.address_share),
        streams_max: table.streams_max.unwrap_or(defaults.streams_max),
        ..defaults
    }
}

fn domain_bundles(trust: &TrustSpec) -> Vec<DomainBundle> {
    let own = trust.own_bundles();
    own.map(|(name, path)| DomainBundle {
        trust_domain: name.to_owned(),
        bundle: Pem::File(path.to_owned()),
    })
    .collect()
}

fn revocation(trust: &TrustSpec) -> RevocationSettings {
    RevocationSettings {
        lists: trust.crl.iter().cloned().map(Pem::File).collect(),
        stale_allowed: trust.crl_stale == OnDoubt::Allow,
        missing_allowed: trust.crl_missing == OnDoubt::Allow,
    }
}
