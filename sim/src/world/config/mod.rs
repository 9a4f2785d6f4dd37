//! The configuration file of a world's routers: the simulator's own settings with the scenario's
//! settings merged over them, as an operator would write it.

use std::collections::BTreeSet;

use cellway_core::policy::{CbaMode, CbaSpec};
use toml::{Table, Value};

use super::envelope;
use super::pki::{CLIENTS_DOMAIN, envoy_san};
use super::router::{ASKED_PORT, PORT};
use super::state::AUDIENCE;
use crate::fact::{CellBoundRules, Rule, Who};
use crate::scenario::{CONTROL_PLANE, FaultKind, Issuer, Scenario};

/// The folder of what a router keeps.
pub(super) const STATE_FOLDER: &str = "state";

/// The file's text, with these settings over the simulator's own.
pub(crate) fn render(scenario: &Scenario, settings: &Table) -> String {
    let mut config: Table = toml::from_str(&base()).expect("the text below is TOML");
    let issuers = scenario.issuers.iter().map(|i| Value::Table(issuer(i)));
    config.insert("issuer".to_owned(), Value::Array(issuers.collect()));
    if settings.contains_key("envelope") {
        let keys = Value::String(envelope::FOLDER.to_owned());
        let table = Table::from_iter([("keys".to_owned(), keys)]);
        config.insert("envelope".to_owned(), Value::Table(table));
    }
    if takes_routing_keys(settings) {
        let any_of = ["jwt", "mtls", "routing_key"].map(Value::from);
        let policy = Table::from_iter([("any_of".to_owned(), Value::from(any_of.to_vec()))]);
        let over = Table::from_iter([("policy".to_owned(), Value::Table(policy))]);
        merge(&mut config, &over);
    }
    if !scenario.envoys.is_empty()
        && let Some(Value::Array(listeners)) = config.get_mut("listener")
    {
        listeners.push(Value::Table(asked_by(scenario)));
    }
    let policy = settings.get("policy");
    if policy.is_some_and(|policy| policy.get("all_of").is_some()) {
        // The router takes one of the two.
        let policies = config.get_mut("policy").and_then(Value::as_array_mut);
        for policy in policies
            .into_iter()
            .flatten()
            .filter_map(Value::as_table_mut)
        {
            policy.remove("any_of");
        }
    }
    merge(&mut config, settings);
    toml::to_string(&config).expect("a table of tables, lists and plain values is TOML")
}

/// The settings to read PROXY headers from these addresses.
pub(super) fn proxy_protocol_from(addresses: Vec<String>) -> Table {
    let inside = |name: &str, value: Value| Table::from_iter([(name.to_owned(), value)]);
    let from = inside("from", Value::from(addresses));
    let listener = inside("proxy_protocol", Value::Table(from));
    inside("listener", Value::Table(listener))
}

/// The placement of requests without credentials at a router with these settings.
pub(super) fn anonymous_placement(settings: &Table) -> Option<String> {
    let policy = settings.get("policy")?;
    let text = |name| Some(policy.get(name)?.as_str()?.to_owned());
    text("mode").filter(|mode| mode == "permissive")?;
    text("anonymous_placement")
}

/// How a router with these settings treats cell-bound authorizations.
pub(super) fn cell_bound(settings: &Table) -> CellBoundRules {
    let table = settings.get("cba").cloned();
    // Read with the router's own type, to get its defaults. A router refuses what can't be read.
    let spec: CbaSpec = table
        .and_then(|table| table.try_into().ok())
        .unwrap_or_default();
    CellBoundRules {
        enforced: match spec.mode {
            CbaMode::Off | CbaMode::Monitor => false,
            CbaMode::Enforce | CbaMode::Require => true,
        },
        once: spec.one_use,
    }
}

/// The rules in these settings; `None` if there are none.
pub(super) fn rules(settings: &Table) -> Option<Vec<Rule>> {
    let rules = settings.get("policy")?.get("rule")?.as_array()?;
    let rule = |table: &Value| {
        let list = |name: &str| -> Vec<String> {
            let values = table.get(name).and_then(Value::as_array);
            let texts = values.into_iter().flatten().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        };
        let who = match table.get("allow").and_then(Value::as_str) {
            Some("anyone") => Who::Anyone,
            Some(_) => Who::Verified,
            None => Who::Granted {
                roles: list("roles"),
                scopes: list("scopes"),
            },
        };
        let text = |name| table.get(name).and_then(Value::as_str);
        // `grpc = "package.Service/Method"` instead of a path.
        let path = match text("grpc") {
            Some(method) => format!("/{method}"),
            None => text("path")?.to_owned(),
        };
        Some(Rule {
            methods: list("methods"),
            path,
            grpc: text("grpc").is_some(),
            who,
        })
    };
    Some(rules.iter().filter_map(rule).collect())
}

/// Whether routers with these settings accept routing keys.
pub(super) fn takes_routing_keys(settings: &Table) -> bool {
    settings.contains_key("routing_key")
}

/// The kids of the signers whose routing keys a router with these settings accepts.
pub(super) fn signers(settings: &Table) -> BTreeSet<String> {
    let table = settings.get("routing_key").and_then(Value::as_table);
    let signers = table.and_then(|table| table.get("signer")?.as_array());
    let kid = |signer: &Value| Some(signer.get("kid")?.as_str()?.to_owned());
    signers.into_iter().flatten().filter_map(kid).collect()
}

/// The listener that answers the scenario's Envoys.
fn asked_by(scenario: &Scenario) -> Table {
    let callers = scenario.envoys.iter().map(|envoy| envoy_san(&envoy.name));
    let callers: Vec<_> = callers.map(|san| format!("{san:?}")).collect();
    let text = format!(
        r#"
        name = "envoy"
        bind = "0.0.0.0:{ASKED_PORT}"
        policy = "default"
        serves = "ext_authz"
        callers = [{}]
        tls = {{ certificate = "server.pem", key = "server.key", client_certificate = "required" }}
        "#,
        callers.join(", ")
    );
    toml::from_str(&text).expect("the text above is TOML")
}

fn base() -> String {
    format!(
        r#"
        [[listener]]
        name = "public"
        bind = "0.0.0.0:{PORT}"
        policy = "default"
        tls = {{ certificate = "server.pem", key = "server.key", client_certificate = "optional" }}

        [[policy]]
        name = "default"
        mode = "required"
        any_of = ["jwt", "mtls"]

        [trust]
        bundle = "clients-ca.pem"
        trust_domains = ["{CLIENTS_DOMAIN}"]
        san = ["spiffe://{{trust_domain}}/tenant/{{tenant}}/**"]

        [registry]
        url = "https://{CONTROL_PLANE}/manage/cells"
        poll_secs = 2

        [upstream]
        bundle = "cells-ca.pem"
        certificate = "router.pem"
        key = "router.key"

        [fetch]
        bundle = "servers-ca.pem"

        [state]
        directory = "{STATE_FOLDER}"

        [runtime]
        workers = 1
        watch_secs = 1
        "#
    )
}

fn issuer(issuer: &Issuer) -> Table {
    let list = |items: &[String]| Value::Array(items.iter().cloned().map(Value::String).collect());
    let mut table = Table::new();
    let mut set = |name: &str, value: Value| table.insert(name.to_owned(), value);
    set("name", Value::String(issuer.name.clone()));
    set(
        "issuer",
        Value::String(format!("https://{}", issuer.host())),
    );
    set("audience", Value::String(AUDIENCE.to_owned()));
    let claims = ["tier", "roles", "tenants"].map(|name| (name.to_owned(), Value::from(name)));
    let named = [("tenant", "tenant_id"), ("scopes", "scope")];
    let named = named.map(|(name, claim)| (name.to_owned(), Value::from(claim)));
    let claims = Table::from_iter(claims.into_iter().chain(named));
    set("claims", Value::Table(claims));
    set("algorithms", list(&["EdDSA".to_owned()]));
    if let Some(tenants) = &issuer.tenants {
        set("tenants", list(tenants));
    }
    table
}

/// Changes the settings of a router as this fault does. Returns whether it changes any.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "no other fault changes settings"
)]
pub(crate) fn change(settings: &mut Table, router: &str, kind: &FaultKind) -> bool {
    match kind {
        FaultKind::Configure(target, change) if target == router => merge(settings, change),
        FaultKind::ReplaceConfiguration(target, all) if target == router => {
            settings.clone_from(all);
        }
        _ => return false,
    }
    true
}

/// Merges `over` into `base`, table by table. A table over a list of tables is merged into each of
/// them: `[router.issuer.keys]` applies to every issuer.
pub(crate) fn merge(base: &mut Table, over: &Table) {
    for (name, value) in over {
        match (base.get_mut(name), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value),
            (Some(Value::Array(list)), Value::Table(value)) => {
                for inner in list.iter_mut().filter_map(Value::as_table_mut) {
                    merge(inner, value);
                }
            }
            _ => {
                base.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
