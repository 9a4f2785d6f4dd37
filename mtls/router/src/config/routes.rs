//! `[[listener.route]]`: what differs for some of a listener's paths.

use std::sync::Arc;

use cellway_core::path::PathPattern;
use cellway_core::policy::{Policy, PolicyId, PolicySpec};
use cellway_core::words::suggestion;

use super::error::ConfigError;
use super::report::Reporter;
use super::schema::{File, ListenerTable};
use super::traffic::TrafficTables;
use crate::settings::{ListenerRoute, TrafficSettings};

/// The most routes of one listener. They are tried one by one.
const ROUTES_MAX: usize = 256;

/// What a listener says about its requests: which policy decides them, and how they are forwarded.
pub(super) struct Routes {
    pub(super) policy: PolicyId,
    pub(super) traffic: Arc<TrafficSettings>,
    pub(super) routes: Vec<ListenerRoute>,
}

/// The listener's own policy and traffic, and those of its routes.
pub(super) fn routes<F: FnMut(ConfigError)>(
    i: usize,
    listener: &ListenerTable,
    tables: &File,
    policy: Option<&Policy>,
    traffic: &TrafficTables,
    report: &mut Reporter<F>,
) -> Routes {
    let own = format!("listener[{i}].policy");
    let setting = format!("listener[{i}].traffic");
    let mut found = Routes {
        policy: find(own, &listener.policy, tables, policy, report),
        traffic: traffic.find(setting, listener.traffic.as_deref(), report),
        routes: Vec::new(),
    };
    if listener.route.len() > ROUTES_MAX {
        let problem = format!("there are {} routes", listener.route.len());
        let fix = format!("write at most {ROUTES_MAX}");
        report.mistake(format!("listener[{i}].route"), problem, fix);
        return found;
    }
    for (n, route) in listener.route.iter().enumerate() {
        let at = |member: &str| format!("listener[{i}].route[{n}].{member}");
        if route.policy.is_none() && route.traffic.is_none() {
            let problem = "says nothing about its path";
            let fix = "set policy, traffic or both";
            report.mistake(format!("listener[{i}].route[{n}]"), problem, fix);
        }
        let (policy, traffic) = (
            (route.policy.as_ref()).map_or(found.policy, |name| {
                find(at("policy"), name, tables, policy, report)
            }),
            match &route.traffic {
                None => found.traffic.clone(),
                Some(name) => traffic.find(at("traffic"), Some(name), report),
            },
        );
        let path = match PathPattern::new(&route.path) {
            Ok(path) => path,
            Err(why) => {
                let problem = format!("{:?} {why}", route.path);
                let fix = "write a path such as \"/admin\" or \"/admin/**\"";
                report.mistake(at("path"), problem, fix);
                continue;
            }
        };
        if let Some(before) = (found.routes.iter()).find(|before| before.path.covers(&path)) {
            let problem = format!(
                "never applies: {:?} before it matches every path that it matches",
                before.path.as_str()
            );
            report.mistake(at("path"), problem, "put the narrower route first");
        }
        found.routes.push(ListenerRoute {
            path,
            policy,
            traffic,
        });
    }
    found
}

/// The tables of the listener's policies, each once. A policy that doesn't exist is left out.
pub(super) fn named<'a>(
    listener: &'a ListenerTable,
    tables: &'a File,
) -> impl Iterator<Item = &'a PolicySpec> {
    tables.policy.iter().filter(|policy| {
        policy.name == listener.policy
            || listener
                .route
                .iter()
                .any(|route| route.policy.as_ref() == Some(&policy.name))
    })
}

fn find<F: FnMut(ConfigError)>(
    setting: String,
    name: &str,
    tables: &File,
    policy: Option<&Policy>,
    report: &mut Reporter<F>,
) -> PolicyId {
    if !tables.policy.iter().any(|policy| policy.name == name) {
        let problem = format!("unknown policy \"{name}\"");
        let names = tables.policy.iter().map(|policy| &*policy.name);
        let fix = suggestion(name, "policies", names);
        report.mistake(setting, problem, fix);
    }
    // If the policy doesn't exist, a mistake is reported already and the result is never used.
    policy
        .and_then(|policy| policy.policy_id(name))
        .unwrap_or(PolicyId(0))
}
