//! The headers that a cell gets match the router's decision.

use std::time::Duration;

use super::{Invariant, Passed};

/// The router's own headers. Every request has each of them once; a value may be empty.
const STAMPS: [&str; 9] = [
    "cell",
    "tenant",
    "sub",
    "workspace",
    "org",
    "roles",
    "auth",
    "placement-epoch",
    "request-id",
];

/// A request that arrives has each of the router's own headers once. They name the cell where it
/// arrived, the tenant, the registry version and the reason of the decision, and the true user of its
/// token.
#[derive(Debug)]
pub struct StampsTrue {
    /// Without the prefix, and whole.
    names: [(&'static str, String); STAMPS.len()],
}

impl StampsTrue {
    /// With this prefix of the router's own headers.
    pub fn new(prefix: &str) -> Self {
        Self {
            names: STAMPS.map(|short| (short, format!("{prefix}{short}"))),
        }
    }
}

impl Invariant for StampsTrue {
    fn name(&self) -> &'static str {
        "stamps_true"
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        check(&self.names, passed)
    }
}

fn check(names: &[(&str, String)], passed: &Passed<'_>) -> Result<(), String> {
    let Passed {
        sent,
        decided,
        arrived,
        ..
    } = passed;
    let version = decided.registry_version.map(|version| version.to_string());
    for (short, name) in names {
        let found = || arrived.headers.iter().filter(|(n, _)| n == name);
        let (Some((_, value)), None) = (found().next(), found().nth(1)) else {
            return Err(format!(
                "{} arrived at {} with {} headers {name}, expected 1",
                sent.tag,
                arrived.cell,
                found().count()
            ));
        };
        // A replayed authorization names the user who was shown it first, so `cell_bound` checks it.
        let user = match &sent.claims {
            _ if sent.anonymous => Some(""),
            Some(_) if sent.cell_bound.is_none() => Some(sent.client.as_str()),
            Some(_) | None => None,
        };
        let expected = match *short {
            "cell" => Some(arrived.cell.as_str()),
            "tenant" => Some(decided.tenant.as_deref().unwrap_or_default()),
            "auth" => Some(decided.reason.as_str()),
            "placement-epoch" => version.as_deref(),
            "sub" => user,
            _ => None,
        };
        if expected.is_some_and(|expected| value != expected) {
            return Err(format!(
                "{} arrived at {} with {name}: {value}, expected {}",
                sent.tag,
                arrived.cell,
                expected.unwrap_or_default()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
