//! `[[listener]]`: addresses, TLS, limits and policy.

use std::net::SocketAddr;

use cellway_core::policy::{Mode, Policy, PolicyId, PolicySpec, Scheme, TrustSpec};

use super::error::ConfigError;
use super::proxy_protocol;
use super::report::{Reporter, key_pair};
use super::routes;
use super::schema::{ClientCertificateWord, File, ListenerTable, ServesWord};
use super::serves;
use super::traffic::TrafficTables;
use crate::settings::{ClientCertificate, ClientTimeouts, ListenerSettings, ListenerTls};

/// Checks all listeners. After a mistake the result is never used, so it may have any values.
pub(super) fn listeners<F: FnMut(ConfigError)>(
    tables: &File,
    policy: Option<&Policy>,
    report: &mut Reporter<F>,
) -> Vec<ListenerSettings> {
    listeners_exist(tables, report);
    let traffic = TrafficTables::new(&tables.traffic, report);
    let mut listeners = Vec::new();
    for (i, listener) in tables.listener.iter().enumerate() {
        let found = routes::routes(i, listener, tables, policy, &traffic, report);
        check_listener(i, listener, tables, report);
        let serves = serves::serves(i, listener, report);
        listeners.push(ListenerSettings {
            serves,
            traffic: found.traffic,
            routes: found.routes,
            ..listener_settings(i, listener, found.policy, report)
        });
    }
    listeners
}

/// Checks that each socket has its own address, whatever it serves.
pub(super) fn addresses_differ<F: FnMut(ConfigError)>(tables: &File, report: &mut Reporter<F>) {
    let listeners = tables.listener.iter().enumerate().map(|(i, listener)| {
        let name = format!("listener \"{}\"", listener.name);
        (format!("listener[{i}].bind"), name, listener.bind)
    });
    let other = |table: &str, bind: Option<SocketAddr>| {
        let (setting, name) = (format!("{table}.bind"), format!("the {table} listener"));
        bind.map(|bind| (setting, name, bind))
    };
    let admin = other("admin", tables.admin.as_ref().map(|admin| admin.bind));
    let health = other("health", tables.health.as_ref().map(|health| health.bind));
    let mut earlier: Vec<(String, SocketAddr)> = Vec::new();
    for (setting, name, bind) in listeners.chain(admin).chain(health) {
        if let Some((other, at)) = earlier.iter().find(|(_, at)| overlap(*at, bind)) {
            let problem = format!(
                "{bind} overlaps the address of {other}, {at}: only one of them can be bound"
            );
            report.mistake(setting, problem, "use another port");
        }
        earlier.push((name, bind));
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
            report.mistake(
                format!("listener[{i}].name"),
                problem,
                "give each listener its own name",
            );
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
            "asks clients for certificates, but trust.bundle is not set",
            "set trust.bundle",
        );
    }
}

/// Checks what the listener needs for one of its policies.
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

/// Checks that gateways can prove who they are. If a policy accepts only routing keys and only
/// gateways may send them, a listener that asks for no certificate would refuse everybody.
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
        proxy_protocol: proxy_protocol::proxies(i, table, report),
        forwarded: table.forwarded,
        explain_headers: table.explain_headers,
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
