//! `[router]`: settings of the real router, checked by the real router's own reader.

use cellway_mtls::config::Config;
use toml::Value;

use super::Scenario;
use super::error::Errors;
use crate::world;

/// Tables that the invariants rely on.
const FIXED: [(&str, &str); 2] = [
    (
        "headers",
        "cells and clients of the simulator know the router's headers by the default names",
    ),
    (
        "policy",
        "the invariants judge a router in the mode `required` that takes any credential",
    ),
];

/// Checks what a scenario sets over the simulator's own settings.
pub(super) fn check(scenario: &Scenario, errors: &mut Errors<'_>) {
    let settings = &scenario.router_settings;
    for (table, why) in FIXED {
        if settings.contains_key(table) {
            errors.setting(table, format!("can't be set: {why}"));
        }
    }
    for (name, value) in settings {
        if matches!(value, Value::Array(_)) {
            let problem = format!(
                "would replace the simulator's own: write [router.{name}], which goes into each of them"
            );
            errors.setting(name, problem);
        }
    }
    if let Err(refused) = Config::load("router", &world::router_config(scenario), []) {
        for error in refused.errors {
            let problem = [error.problem, error.fix].join(": ");
            errors.setting(&error.setting, problem.trim_end_matches(": "));
        }
    }
}
