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

    /// Whether requests may fail on their way to one of the cell's endpoints in this time.
    pub(super) fn may_lose_some(&self, cell: &str, from: Duration, until: Duration) -> bool {
        let mut hosts = self.hosts.get(cell).into_iter().flatten();
        hosts.any(|host| self.may_lose(host, from, until))
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
    /// By registry version.
    assignments: BTreeMap<u64, Assignment>,
    /// The registry version of a decision, by the router's id of the request.
    decided_on: BTreeMap<String, u64>,
    /// Requests that aren't answered yet, by tag.
    open: BTreeMap<String, Open>,
}

#[derive(Debug)]
struct Open {
    sent: Duration,
    to: String,
    tenant: String,
    /// The registry version of its decision, once its answer names the decision.
    version: Option<u64>,
}

impl EveryEndpoint {
    /// Checks the endpoints in `bounds`.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            endpoints: bounds.endpoints.clone(),
            settings: bounds.settings.clone(),
            assignments: BTreeMap::new(),
            decided_on: BTreeMap::new(),
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
            Fact::Published(said) => {
                self.assignments
                    .insert(said.version, said.assignment.clone());
            }
            Fact::Decided(decided) => {
                if let (Some(_), Some(version)) = (&decided.cell, decided.registry_version) {
                    self.decided_on.insert(decided.request_id.clone(), version);
                }
            }
            Fact::Sent(sent) => {
                let open = Open {
                    sent: at,
                    to: sent.to.clone(),
                    tenant: sent.tenant.clone(),
                    version: None,
                };
                self.open.insert(sent.tag.clone(), open);
            }
            Fact::Traced { tag, request_id } => {
                if let Some(open) = self.open.get_mut(tag) {
                    open.version = self.decided_on.remove(request_id);
                }
            }
            Fact::Answered { tag, answer } => {
                let open = self.open.remove(tag);
                return open.map_or(Ok(()), |open| self.answered(at, tag, answer, &open));
            }
            _ => {}
        }
        Ok(())
    }
}

impl EveryEndpoint {
    fn answered(
        &self,
        at: Duration,
        tag: &str,
        answer: &Answer,
        open: &Open,
    ) -> Result<(), String> {
        let Open {
            sent, to, tenant, ..
        } = open;
        let from = match refuses(answer) {
            None => return Ok(()),
            Some(Refusal::Unreachable) => *sent,
            Some(Refusal::Resting) => {
                let late = self
                    .settings
                    .most(to, [*sent, at], |it| it.health.knows_late);
                sent.saturating_sub(late)
            }
        };
        // Its router may not know yet that the tenant has moved.
        let assignment = open.version.and_then(|it| self.assignments.get(&it));
        let cells = assignment.and_then(|it| it.get(tenant));
        let mut cells = cells.into_iter().flatten().peekable();
        let well = cells.peek().is_some()
            && cells.all(|cell| self.endpoints.one_is_healthy(cell, from, at));
        let failover = self
            .settings
            .least(to, [*sent, at], |it| it.timeouts.failover);
        if well && at < *sent + failover {
            return Err(format!(
                "{tag} was answered {answer}, but every cell of {tenant} had a healthy endpoint all the time"
            ));
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
