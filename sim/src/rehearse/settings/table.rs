//! What becomes of each setting: the table behind "nothing is skipped silently".

/// What becomes of a setting in a rehearsal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The simulated routers have it.
    Carried,
    /// The simulator has its own in place of it, and the decisions are made with it.
    StandIn(&'static str),
    /// Only the decisions are made with it: the traffic isn't.
    Decided(&'static str),
    /// Neither decisions nor traffic depend on it here.
    Left(&'static str),
}

use Fate::{Carried, Decided, Left, StandIn};

const ADDRESSES: &str = "simulated routers have addresses of their own";
const FILES: &str = "certificates, keys and bundles are made";
const TOKENS: &str = "the simulated identity providers issue tokens of one form, signed with EdDSA";
const SOURCE: &str = "a simulated control plane publishes the registry";
const NO_GATEWAYS: &str = "no simulated client sends a routing key";
const NO_CELLS: &str = "no simulated client calls on behalf of a cell";
const NO_BROWSERS: &str = "no simulated client is a browser";
const OPERATORS: &str = "it is for operators, and changes no request";
const CROWDS: &str = "simulated clients have an address each";

/// Each setting, or the table that holds it, without the numbers of list entries. The longest name that
/// fits counts.
pub(super) const FATES: &[(&str, Fate)] = &[
    ("listener", Carried),
    ("listener.name", StandIn("each listener is simulated alone")),
    ("listener.bind", StandIn(ADDRESSES)),
    ("listener.allow_plain", StandIn(ADDRESSES)),
    (
        "listener.policy",
        StandIn("the simulated listener has only this policy"),
    ),
    (
        "listener.route.policy",
        Decided("the simulated listener has one policy"),
    ),
    ("listener.serves", Decided("no simulated Envoy asks")),
    ("listener.callers", Decided("no simulated Envoy asks")),
    (
        "listener.proxy_protocol",
        Left("no load balancer is in front of the simulated routers"),
    ),
    (
        "listener.forwarded",
        Left("simulated clients forge these headers, so routers replace them"),
    ),
    ("listener.address_share_percent", StandIn(CROWDS)),
    ("listener.tls", StandIn(FILES)),
    (
        "listener.tls.client_certificate",
        StandIn("simulated routers ask for certificates and require none"),
    ),
    ("issuer", StandIn(TOKENS)),
    ("issuer.name", StandIn(TOKENS)),
    (
        "issuer.tenants",
        StandIn("an issuer speaks for the tenants of both sides"),
    ),
    (
        "issuer.leeway_exp_secs",
        Decided("simulated tokens are renewed before they expire"),
    ),
    ("issuer.leeway_nbf_secs", Carried),
    ("issuer.keys", Carried),
    ("policy", Carried),
    (
        "policy.name",
        StandIn("the simulated listener has only this policy"),
    ),
    (
        "policy.issuers",
        Decided("a simulated client only has tokens that its policy takes"),
    ),
    (
        "policy.allow_insecure",
        Decided("a policy that verifies nothing isn't simulated"),
    ),
    (
        "policy.insecure_identity",
        Decided("a policy that verifies nothing isn't simulated"),
    ),
    ("policy.cba", Decided(NO_CELLS)),
    ("policy.cors", Decided(NO_BROWSERS)),
    ("traffic", Carried),
    ("rate_limits", Carried),
    ("trace", Left(OPERATORS)),
    ("explain", Left(OPERATORS)),
    ("trust", StandIn(FILES)),
    ("trust.crl", StandIn("no certificate is revoked by a list")),
    (
        "trust.crl_stale",
        StandIn("no certificate is revoked by a list"),
    ),
    (
        "trust.crl_missing",
        StandIn("no certificate is revoked by a list"),
    ),
    (
        "trust.trust_domains",
        StandIn("simulated certificates are of one trust domain"),
    ),
    (
        "trust.san",
        StandIn("simulated certificates have names of one form"),
    ),
    ("cba", Decided(NO_CELLS)),
    ("routing_key", Decided(NO_GATEWAYS)),
    ("registry", Carried),
    ("registry.file", StandIn(SOURCE)),
    ("registry.url", StandIn(SOURCE)),
    ("registry.token_file", StandIn(SOURCE)),
    ("upstream", Carried),
    ("upstream.bundle", StandIn(FILES)),
    ("upstream.certificate", StandIn(FILES)),
    ("upstream.key", StandIn(FILES)),
    ("fetch", StandIn(FILES)),
    ("fetch.total_timeout_ms", Carried),
    ("fetch.proxy", Left("there is no forward proxy")),
    ("fetch.no_proxy", Left("there is no forward proxy")),
    (
        "headers",
        Decided("simulated clients and cells use the default names"),
    ),
    ("envelope", Carried),
    (
        "envelope.form",
        StandIn("simulated cells verify envelopes with published keys"),
    ),
    (
        "envelope.issuer",
        StandIn("simulated cells expect the default issuer"),
    ),
    ("envelope.keys", StandIn(FILES)),
    (
        "state",
        StandIn("simulated routers have disks of their own"),
    ),
    ("admin", Left(OPERATORS)),
    ("health", Left(OPERATORS)),
    ("runtime", Carried),
    (
        "runtime.workers",
        StandIn("a simulated router has one worker"),
    ),
    ("runtime.share_addresses", StandIn(ADDRESSES)),
    ("log", Left(OPERATORS)),
];

/// The same for the fields of a registry.
pub(super) const REGISTRY_FATES: &[(&str, Fate)] = &[
    (
        "version",
        StandIn("simulated registries have versions of their own"),
    ),
    (
        "allow_shrink_from",
        StandIn("simulated registries have versions of their own"),
    ),
    ("cells", Carried),
    (
        "cells.drain",
        Decided("a simulated cell that drains gives its tenants away at once"),
    ),
    (
        "cells.weight",
        Decided("simulated cells have the same weight"),
    ),
    ("cells.annotations", Decided(NO_CELLS)),
    ("cells.endpoints.url", StandIn(ADDRESSES)),
    ("cells.endpoints.san", StandIn(FILES)),
    ("placements", Carried),
    (
        "tenants",
        StandIn("one tenant of each class stands for all"),
    ),
    (
        "revocations",
        Decided("no simulated credential is revoked by the registry"),
    ),
    ("unknown_tenant", Carried),
    (
        "unknown_tenant.placement",
        Decided("simulated registries refuse tenants that they don't list"),
    ),
    ("data", Carried),
    (
        "data.pinned_tenants",
        StandIn("one tenant of each class stands for all"),
    ),
    (
        "data.weight",
        Decided("simulated cells have the same weight"),
    ),
    ("data.annotations", Decided(NO_CELLS)),
    ("data.endpoints", StandIn(ADDRESSES)),
];

/// What becomes of a setting. `None`: nobody has thought of it.
pub(super) fn fate(fates: &[(&str, Fate)], setting: &str) -> Option<Fate> {
    let holds = |table: &str| {
        let rest = setting.strip_prefix(table);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let fitting = fates.iter().filter(|(table, _)| holds(table));
    fitting
        .max_by_key(|(table, _)| table.len())
        .map(|(_, fate)| *fate)
}
