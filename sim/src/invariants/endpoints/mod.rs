//! No request is refused because an endpoint is down while another endpoint of the cell is healthy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Answer, Assignment, Fact};

/// All endpoints of the cells, and what the scenario does to them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Endpoints {
    /// The hosts of each cell.
    pub hosts: BTreeMap<String, BTreeSet<String>>,
    /// When they may fail.
    pub troubles: Vec<EndpointTrouble>,
}

/// A time in which an endpoint may fail to serve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointTrouble {
    /// Its host.
    pub host: String,
    /// The start, since the start of the run.
    pub from: Duration,
    /// The end, since the start of the run.
    pub until: Duration,
    /// What may happen to requests.
    pub harm: Harm,
}

/// What may happen to requests in an endpoint's trouble.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Harm {
    /// They may be refused, with a status that is about the caller, such as 403 or 429, or only checks of the
    /// endpoint may fail. No router may eject the endpoint for this.
    Excused,
    /// They may fail once they have arrived.
    Answers,
    /// They may fail before they arrive too.
    Connections,
}

impl Endpoints {
    /// How many endpoints the cell has.
    pub(super) fn count(&self, cell: &str) -> usize {
        self.hosts.get(cell).map_or(0, BTreeSet::len)
    }

    /// Whether one of the cell's endpoints is healthy for all of this time.
    pub(super) fn one_is_healthy(&self, cell: &str, from: Duration, until: Duration) -> bool {
        self.healthy(cell, from, until).next().is_some()
    }

    /// Whether a router may eject the endpoint for what happens to it in this time.
    pub(super) fn may_be_ejected(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.may_harm(Harm::Answers, host, [from, until])
    }

    /// Whether the endpoint has any fault in this time.
    pub(super) fn has_fault(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.may_harm(Harm::Excused, host, [from, until])
    }

    /// Whether requests may fail on their way to the endpoint in this time.
    pub(super) fn may_lose(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.may_harm(Harm::Connections, host, [from, until])
    }

    fn may_harm(&self, least: Harm, host: &str, [from, until]: [Duration; 2]) -> bool {
        let mut troubles = self.troubles.iter().filter(|it| it.host == host);
        troubles.any(|it| it.harm >= least && it.from <= until && from <= it.until)
    }

    /// The cell's endpoints that are healthy for all of this time.
    pub(super) fn healthy(
        &self,
        cell: &str,
        from: Duration,
        until: Duration,
    ) -> impl Iterator<Item = &String> {
        let hosts = self.hosts.get(cell);
        let hosts = hosts.into_iter().flatten();
        hosts.filter(move |host| {
            let mut troubles = self.troubles.iter().filter(|it| it.host == **host);
            !troubles.any(|it| it.from <= until && from <= it.until)
        })
    }
}

/// A request is answered `cell_unreachable`, `circuit_open` or `no_endpoint_healthy` only if no
/// endpoint of its cell was healthy all the time, or if the router tried for as long as it may.
#[derive(Debug)]
pub struct EveryEndpoint {
    endpoints: Endpoints,
    settings: SettingsInForce,
    assignment: Assignment,
    /// Requests that aren't answered yet, by tag: when they were sent, where to, and for which tenant.
    open: BTreeMap<String, (Duration, String, String)>,
}

impl EveryEndpoint {
    /// Checks the endpoints in `bounds`.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            endpoints: bounds.endpoints.clone(),
            settings: bounds.settings.clone(),
            assignment: Assignment::new(),
            open: BTreeMap::new(),
        }
    }
}

impl Invariant for EveryEndpoint {
    fn name(&self) -> &'static str {
        "every_endpoint"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Published(said) => self.assignment = said.assignment.clone(),
            Fact::Sent(sent) => {
                let sent_for = (at, sent.to.clone(), sent.tenant.clone());
                self.open.insert(sent.tag.clone(), sent_for);
            }
            Fact::Answered { tag, answer } => {
                let Some((sent, to, tenant)) = self.open.remove(tag) else {
                    return Ok(());
                };
                let Some(refusal) = refuses(answer) else {
                    return Ok(());
                };
                let from = match refusal {
                    Refusal::Unreachable => sent,
                    Refusal::Resting => {
                        let late = self
                            .settings
                            .most(&to, [sent, at], |it| it.health.knows_late);
                        sent.saturating_sub(late)
                    }
                };
                let cells = self.assignment.get(&tenant);
                let mut cells = cells.into_iter().flatten().peekable();
                let well = cells.peek().is_some()
                    && cells.all(|cell| self.endpoints.one_is_healthy(cell, from, at));
                let failover = self
                    .settings
                    .least(&to, [sent, at], |it| it.timeouts.failover);
                if well && at < sent + failover {
                    return Err(format!(
                        "{tag} was answered {answer}, but every cell of {tenant} had a healthy endpoint \
                         all the time"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// What an answer says of the endpoints, if none could serve.
enum Refusal {
    /// All were tried.
    Unreachable,
    /// All rest after failures, which may have ended.
    Resting,
}

fn refuses(answer: &Answer) -> Option<Refusal> {
    let Answer::Router(reason) = answer else {
        return None;
    };
    match reason.as_str() {
        "cell_unreachable" => Some(Refusal::Unreachable),
        "circuit_open" | "no_endpoint_healthy" => Some(Refusal::Resting),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
