//! `[router]`: settings of the real router, checked by the real router's own reader.

use cellway_router::config::Config;
use toml::{Table, Value};

use crate::scenario::{Client, Credential, Errors, FaultKind, Scenario};
use crate::world::config;

/// Settings that the invariants rely on.
const FIXED: [(&[&str], &str); 17] = [
    (
        &["headers"],
        "the simulator's cells and clients use the default names of the router's headers",
    ),
    (
        &["policy", "name"],
        "the simulator's listener uses this policy",
    ),
    (
        &["envelope", "keys"],
        "the simulator writes the folder of keys that the routers share",
    ),
    (
        &["envelope", "form"],
        "the simulator's cells verify envelopes with the published keys",
    ),
    (
        &["envelope", "issuer"],
        "the simulator's cells expect the default issuer",
    ),
    (&["listener", "name"], LISTENERS),
    (&["listener", "bind"], LISTENERS),
    (&["listener", "policy"], LISTENERS),
    (&["listener", "serves"], LISTENERS),
    (&["listener", "callers"], LISTENERS),
    (
        &["listener", "proxy_protocol"],
        "the simulator sets it for its own balancers: see [[world.balancer]]",
    ),
    (
        &["listener", "forwarded"],
        "every client forges these fields, so routers must not trust them",
    ),
    (&["issuer", "name"], ISSUERS),
    (&["issuer", "issuer"], ISSUERS),
    (&["registry", "url"], CONTROL),
    (&["registry", "file"], CONTROL),
    (&["runtime", "workers"], "a simulated host has one thread"),
];

/// Settings that are fixed only at the start. Later a scenario may change them, to show an
/// operator's mistake.
const FIXED_AT_START: [(&[&str], &str); 1] = [(&["issuer", "jwks_uri"], ISSUERS)];

/// Settings that name files. A simulated disk has only the simulator's own files, so a router wouldn't
/// start with another one. During a run, a scenario may set such a setting to a missing file, to show
/// an operator's mistake.
const FILES: [&[&str]; 11] = [
    &["listener", "tls"],
    &["issuer", "jwks_file"],
    &["trust", "bundle"],
    &["trust", "crl"],
    &["registry", "token_file"],
    &["upstream", "bundle"],
    &["upstream", "certificate"],
    &["upstream", "key"],
    &["fetch", "bundle"],
    &["fetch", "certificate"],
    &["log", "subject_key"],
];

const LISTENERS: &str = "clients and Envoys connect to the simulator's own listeners";
const ISSUERS: &str = "the simulator's identity providers issue the tokens: see [[world.issuer]]";
const CONTROL: &str = "the registry comes from the simulator's control plane";

/// Checks what a scenario sets over the simulator's own settings, and each change to it.
pub(super) fn check(scenario: &Scenario, errors: &mut Errors<'_>) {
    let settings = &scenario.router_settings;
    fixed(&FIXED_AT_START, settings, errors);
    own(settings, errors);
    files(settings, errors);
    credentials(scenario, settings, errors);
    loads(scenario, settings, errors);
    for router in &scenario.routers {
        let mut settings = settings.clone();
        for fault in &scenario.faults {
            if let FaultKind::Configure(target, change)
            | FaultKind::ReplaceConfiguration(target, change) = &fault.kind
                && target == router
            {
                own(change, errors);
                credentials(scenario, change, errors);
                if change.contains_key("envelope") && !scenario.seals_envelopes() {
                    let problem = "must be set from the start: add [router.envelope]";
                    errors.setting("envelope", problem.to_owned());
                }
                config::change(&mut settings, router, &fault.kind);
                loads(scenario, &settings, errors);
            }
        }
    }
}

/// Checks that a policy that takes certain credentials only meets clients for which the invariants know what
/// that means.
fn credentials(scenario: &Scenario, settings: &Table, errors: &mut Errors<'_>) {
    let plain = |client: &Client| {
        matches!(
            client.credential,
            Credential::Token | Credential::Certificate | Credential::Both | Credential::None
        )
    };
    for list in ["any_of", "all_of"] {
        if has(settings, &["policy", list]) && !scenario.clients.iter().all(plain) {
            let problem = "can't be set: with it all clients must have the credentials `token`, `certificate`, `both` or `none`";
            errors.setting(&format!("policy.{list}"), problem.to_owned());
        }
    }
}

/// Checks that routers start with the simulator's own files.
fn files(settings: &Table, errors: &mut Errors<'_>) {
    for path in FILES.iter().filter(|path| has(settings, path)) {
        let problem = "can't be set: a simulated disk has only the simulator's own files";
        errors.setting(&path.join("."), problem.to_owned());
    }
}

fn fixed(paths: &[(&[&str], &str)], settings: &Table, errors: &mut Errors<'_>) {
    for (path, why) in paths {
        if has(settings, path) {
            errors.setting(&path.join("."), format!("can't be set: {why}"));
        }
    }
}

/// Checks that the scenario doesn't set what the simulator sets itself.
fn own(settings: &Table, errors: &mut Errors<'_>) {
    fixed(&FIXED, settings, errors);
    let mode = settings.get("policy").and_then(|policy| policy.get("mode"));
    if mode.and_then(Value::as_str) == Some("disabled") {
        let problem = "can't be `disabled`: the router would verify nothing";
        errors.setting("policy.mode", problem.to_owned());
    }
    for (name, value) in settings {
        if matches!(value, Value::Array(_)) && REPEATED.contains(&name.as_str()) {
            let problem = format!(
                "would replace the simulator's own: write [router.{name}], which is merged into each of them"
            );
            errors.setting(name, problem);
        }
    }
}

/// Lists of tables that the simulator writes itself.
const REPEATED: [&str; 3] = ["listener", "issuer", "policy"];

fn has(settings: &Table, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    match settings.get(*first) {
        Some(Value::Table(inner)) => has(inner, rest),
        Some(_) => rest.is_empty(),
        None => false,
    }
}

/// Whether the real router would start with these settings.
fn loads(scenario: &Scenario, settings: &Table, errors: &mut Errors<'_>) {
    let text = config::render(scenario, settings);
    if let Err(refused) = Config::load("router", &text, []) {
        for error in refused.errors {
            let problem = [error.problem, error.fix].join(": ");
            errors.setting(&error.setting, problem.trim_end_matches(": ").to_owned());
        }
    }
}
