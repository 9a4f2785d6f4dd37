//! The requests: one for each route and rule of each listener, and a plain one.

use cellway_core::policy::{PolicySpec, RuleSpec};
use cellway_router::settings::ListenerSettings;
use toml::{Table, Value};

use super::super::folder::Side;

/// The most requests for one listener. Those of further rules are counted as left out.
const REQUESTS_MAX: usize = 64;

/// A request to a listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::rehearse) struct Asked {
    pub(in crate::rehearse) listener: String,
    pub(in crate::rehearse) method: String,
    pub(in crate::rehearse) path: String,
    pub(in crate::rehearse) grpc: bool,
    /// The origin of the page that asks by a preflight.
    pub(in crate::rehearse) preflight: Option<String>,
}

impl Asked {
    /// `GET /orders/x at public`; without the listener if there is only one.
    pub(in crate::rehearse) fn describe(&self, with_listener: bool) -> String {
        let what = match (&self.preflight, self.grpc) {
            (Some(origin), _) => format!("preflight {} from {origin}", self.path),
            (None, true) => format!("gRPC {}", self.path),
            (None, false) => format!("{} {}", self.method, self.path),
        };
        match with_listener {
            true => format!("{what} at {}", self.listener),
            false => what,
        }
    }

    /// The `[[request]]` of a file of cases.
    pub(in crate::rehearse) fn case(&self, name: &str) -> Table {
        let mut case = Table::new();
        let mut set = |key: &str, value: Value| case.insert(key.to_owned(), value);
        set("name", name.into());
        set("method", self.method.clone().into());
        set("path", self.path.clone().into());
        set("listener", self.listener.clone().into());
        set("grpc", self.grpc.into());
        if let Some(origin) = &self.preflight {
            let headers = [
                ("origin", origin.as_str()),
                ("access-control-request-method", "GET"),
            ];
            let headers = headers.map(|(name, value)| (name.to_owned(), Value::from(value)));
            set("headers", Value::Table(Table::from_iter(headers)));
        }
        case
    }
}

/// The requests of both sides, and how many were left out.
pub(in crate::rehearse) fn requests(old: &Side, new: &Side) -> (Vec<Asked>, usize) {
    let mut all: Vec<Asked> = Vec::new();
    let mut left_out = 0;
    for side in [old, new] {
        for listener in &side.settings.listeners {
            for asked in of_listener(side, listener) {
                if all.contains(&asked) {
                    continue;
                }
                let here = all.iter().filter(|it| it.listener == asked.listener);
                match here.count() < REQUESTS_MAX {
                    true => all.push(asked),
                    false => left_out += 1,
                }
            }
        }
    }
    (all, left_out)
}

fn of_listener(side: &Side, listener: &ListenerSettings) -> Vec<Asked> {
    let plain = Asked {
        listener: listener.name.to_string(),
        method: "GET".to_owned(),
        path: "/".to_owned(),
        grpc: false,
        preflight: None,
    };
    let mut asked = vec![plain.clone()];
    let at = |path: &str| Asked {
        path: concrete(path),
        ..plain.clone()
    };
    let routes = listener.routes.iter().map(|route| route.path.as_str());
    asked.extend(routes.map(at));
    let policies = &side.settings.policy;
    let used = listener.routes.iter().map(|route| route.policy);
    let used: std::collections::BTreeSet<_> = used.chain([listener.policy]).collect();
    for policy in used {
        let name = &policies.auth(policy).name;
        let specs = policies.specs().policy.iter();
        for spec in specs.filter(|spec| spec.name == name.as_str()) {
            asked.extend(of_policy(spec, &plain));
        }
    }
    asked
}

fn of_policy(spec: &PolicySpec, plain: &Asked) -> Vec<Asked> {
    let rules = spec.rule.iter().flatten();
    let mut asked: Vec<_> = rules.flat_map(|rule| of_rule(rule, plain)).collect();
    let cors = spec.cors.as_ref();
    if let Some(origin) = cors.and_then(|cors| cors.origins.first()) {
        asked.push(Asked {
            method: "OPTIONS".to_owned(),
            preflight: Some(origin.replace('*', "x")),
            ..plain.clone()
        });
    }
    asked
}

fn of_rule(rule: &RuleSpec, plain: &Asked) -> Vec<Asked> {
    if let Some(grpc) = &rule.grpc {
        return vec![Asked {
            method: "POST".to_owned(),
            path: concrete(&format!("/{grpc}")),
            grpc: true,
            ..plain.clone()
        }];
    }
    let any = ["GET", "POST"].map(str::to_owned).to_vec();
    let methods = rule.methods.clone().unwrap_or(any).into_iter();
    let path = concrete(rule.path.as_deref().unwrap_or("/"));
    methods
        .map(|method| Asked {
            method,
            path: path.clone(),
            ..plain.clone()
        })
        .collect()
}

/// A path that a pattern matches.
pub(in crate::rehearse) fn concrete(pattern: &str) -> String {
    let word = |segment: &str| match segment {
        "*" | "**" => "x".to_owned(),
        name if name.starts_with('{') => "1".to_owned(),
        other => other.to_owned(),
    };
    let segments: Vec<_> = pattern.split('/').map(word).collect();
    segments.join("/")
}
