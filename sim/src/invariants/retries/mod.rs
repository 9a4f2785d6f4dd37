//! Requests are sent to a cell again when they must be, and only then.

use std::collections::BTreeMap;
use std::time::Duration;

use cellway_router::{RESENDS_MAX, RETRIES_RESERVE};
use cellway_testbed::Unserved;

use super::endpoints::Endpoints;
use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Answer, Arrived, Fact, Sent};

/// The cost of a retry, and the most that a cell's budget holds, in percent of a request.
const RETRY: i64 = 100;
const BALANCE_MAX: i64 = RETRIES_RESERVE as i64 * RETRY;

/// How much must be left of a budget, as counted from cells' and clients' facts, so that the
/// router's own budget surely isn't empty: the router sees these events at other times.
const LEFT_FOR_SURE: i64 = 3 * RETRY;

/// A request that a cell disclaims is sent again, with its body if it has one, while the budget lasts
/// and the cell has a healthy endpoint. This is not checked if the router hedges: no fact shows how much of
/// the budget hedges have used that were cancelled on their way.
#[derive(Debug)]
pub struct Retried {
    endpoints: Endpoints,
    settings: SettingsInForce,
    open: BTreeMap<String, Open>,
    /// The least that can be left, by router and cell.
    budgets: BTreeMap<(String, String), i64>,
}

/// A request that isn't answered yet.
#[derive(Debug)]
struct Open {
    sent: Duration,
    to: String,
    disclaimed: u32,
    /// The cell that disclaimed it.
    cell: Option<String>,
    arrived: bool,
}

impl Retried {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            endpoints: bounds.endpoints.clone(),
            settings: bounds.settings.clone(),
            open: BTreeMap::new(),
            budgets: BTreeMap::new(),
        }
    }

    fn sent(&mut self, at: Duration, sent: &Sent) {
        let open = Open {
            sent: at,
            to: sent.to.clone(),
            disclaimed: 0,
            cell: None,
            arrived: false,
        };
        self.open.insert(sent.tag.clone(), open);
    }

    fn unserved(&mut self, cell: &str, tag: &str, how: Unserved) {
        let Some(open) = self.open.get_mut(tag) else {
            return;
        };
        if how.is_unprocessed() {
            open.disclaimed += 1;
            open.cell = Some(cell.to_owned());
        }
        let budget = (open.to.clone(), cell.to_owned());
        let left = self.budgets.entry(budget).or_insert(BALANCE_MAX);
        *left = (*left - RETRY).max(0);
    }

    fn answered(&mut self, at: Duration, tag: &str, answer: &Answer) -> Result<(), String> {
        let Some(open) = self.open.remove(tag) else {
            return Ok(());
        };
        let Some(cell) = &open.cell else {
            return Ok(());
        };
        let budget = (open.to.clone(), cell.clone());
        let left = self.budgets.get(&budget).copied().unwrap_or(BALANCE_MAX);
        let gave_up = match answer {
            Answer::Router(reason) => {
                matches!(
                    reason.as_str(),
                    "cell_refused" | "cell_reset" | "cell_unreachable"
                )
            }
            Answer::Ok
            | Answer::Cell(_)
            | Answer::CellGrpc(_)
            | Answer::Refused
            | Answer::Closed(_)
            | Answer::None => false,
        };
        let percent = percent_least(&self.settings, &open.to, [open.sent, at]);
        let hedges = (self.settings).most(&open.to, [Duration::ZERO, at], |it| it.retries.hedges);
        let due = percent > 0 && !hedges && open.disclaimed <= u32::from(RESENDS_MAX);
        if gave_up
            && due
            && !open.arrived
            && left >= LEFT_FOR_SURE
            && self.endpoints.one_is_healthy(cell, open.sent, at)
        {
            return Err(format!(
                "{tag} was answered {answer}: {cell} disclaimed it, but the router didn't send it to \
                 another healthy endpoint of {cell}"
            ));
        }
        Ok(())
    }
}

impl Invariant for Retried {
    fn name(&self) -> &'static str {
        "retried"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Sent(sent) if sent.via.is_none() => self.sent(at, sent),
            Fact::Started(life) => self.budgets.retain(|(router, _), _| *router != life.router),
            // No fact shows how many retries fail because of this, so assume that none are left.
            Fact::EndpointStopped(_) => self.budgets.values_mut().for_each(|left| *left = 0),
            Fact::Unserved {
                cell,
                tag: Some(tag),
                how,
                ..
            } => self.unserved(cell, tag, *how),
            Fact::Arrived(Arrived {
                cell,
                tag: Some(tag),
                ..
            }) => {
                if let Some(open) = self.open.get_mut(tag) {
                    open.arrived = true;
                    open.cell = Some(cell.clone());
                }
            }
            Fact::Answered { tag, answer } => {
                let earned = matches!(answer, Answer::Ok | Answer::Cell(_) | Answer::CellGrpc(_));
                if let Some(open) = self.open.get(tag).filter(|_| earned)
                    && let Some(cell) = &open.cell
                {
                    let budget = (open.to.clone(), cell.clone());
                    let left = self.budgets.entry(budget).or_insert(BALANCE_MAX);
                    let percent = percent_least(&self.settings, &open.to, [open.sent, at]);
                    *left = (*left + percent).min(BALANCE_MAX);
                }
                return self.answered(at, tag, answer);
            }
            _ => {}
        }
        Ok(())
    }
}

/// A request that a cell accepted is not sent again, with three exceptions. If it is idempotent and its
/// connection, which was not opened for it, died, it is sent again once. If it is idempotent and its
/// router's settings allow to send such requests again (`try_timeout_ms`, `retry_statuses`,
/// `retry_resets`), it is sent again to the same cell, but not after an answer that says when to come back.
/// If it is safe and has no body, and its router hedges (`hedge_after_ms`), it is sent once to another
/// endpoint of the same cell. All that stays within the cell's budget.
#[derive(Debug)]
pub struct RetriesBounded {
    settings: SettingsInForce,
    /// When endpoints give no other answers than those that say when to come back.
    asks_to_wait: Vec<(String, Duration, Duration)>,
    requests: BTreeMap<String, Attempts>,
    /// By router and cell.
    budgets: BTreeMap<(String, String), Budget>,
}

/// What cells reported about a request.
#[derive(Debug)]
struct Attempts {
    sent: Duration,
    to: String,
    idempotent: bool,
    /// It is safe and has no body.
    may_be_hedged: bool,
    /// It was.
    hedged: bool,
    /// How often it came to a cell.
    times: u32,
    /// It was left behind when its connection was closed in order. The first retry then costs no budget,
    /// because the cell gets no more requests than without the close.
    after_goaway: bool,
    /// The cells where it arrived.
    arrived: Vec<Attempt>,
}

#[derive(Debug)]
struct Attempt {
    at: Duration,
    host: String,
    cell: String,
    /// Whether it was the first request on its connection.
    first: bool,
    /// Whether the connection died before the answer.
    died: bool,
}

/// The most that can be left of a budget.
#[derive(Debug)]
struct Budget {
    left: i64,
    /// Requests that have arrived and aren't answered yet. The router may count them at any time.
    open: i64,
}

impl RetriesBounded {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            asks_to_wait: bounds.asks_to_wait.clone(),
            requests: BTreeMap::new(),
            budgets: BTreeMap::new(),
        }
    }

    /// A request came to a cell, which took it or disclaimed it.
    fn came(&mut self, cell: &str, tag: &str) -> Result<(), String> {
        let Some(attempts) = self.requests.get_mut(tag) else {
            return Ok(());
        };
        attempts.times += 1;
        if attempts.times == 1 {
            return Ok(());
        }
        if attempts.times > 1 + u32::from(RESENDS_MAX) {
            return Err(format!(
                "{tag} was sent to cells {} times, the last time to {cell}; at most {} are allowed",
                attempts.times,
                1 + u32::from(RESENDS_MAX)
            ));
        }
        if std::mem::take(&mut attempts.after_goaway) && attempts.times == 2 {
            return Ok(());
        }
        let budget = budget(&mut self.budgets, &attempts.to, cell);
        budget.left -= RETRY;
        if budget.left < 0 {
            return Err(format!(
                "{tag} was sent to {cell} again, but the retry budget of {} for this cell is used up",
                attempts.to
            ));
        }
        Ok(())
    }

    fn received(&mut self, at: Duration, arrived: &Arrived, tag: &str) -> Result<(), String> {
        let Some(attempts) = self.requests.get_mut(tag) else {
            return Ok(());
        };
        let cell = &arrived.cell;
        if let [.., before] = &attempts.arrived[..] {
            let host = &before.host;
            let time = [attempts.sent, at];
            let processed = (self.settings).most(&attempts.to, time, |it| it.retries.processed);
            let by_setting = processed && attempts.idempotent && before.cell == *cell;
            let by_death =
                before.died && !before.first && attempts.idempotent && attempts.arrived.len() == 1;
            let by_hedge = !by_setting
                && !by_death
                && attempts.may_be_hedged
                && !std::mem::replace(&mut attempts.hedged, true)
                && (self.settings).most(&attempts.to, time, |it| it.retries.hedges)
                && before.cell == *cell
                && (attempts.arrived.iter()).all(|it| it.host != arrived.host);
            if !before.died && !by_hedge && has_asked_to_wait(&self.asks_to_wait, before, at) {
                return Err(format!(
                    "{tag} arrived again, at {cell}, although {host} had answered when to come back"
                ));
            }
            if !before.died && !by_setting && !by_hedge {
                return Err(format!(
                    "{tag} arrived again, at {cell}, but {host} already had it"
                ));
            }
            if !by_death && !by_setting && !by_hedge {
                return Err(format!(
                    "{tag} arrived again, at {cell}, after its connection to {host} had died; only an \
                     idempotent request on a reused connection may be sent again, and once"
                ));
            }
        }
        attempts.arrived.push(Attempt {
            at,
            host: arrived.host.clone(),
            cell: cell.clone(),
            first: arrived.on_connection == 0,
            died: false,
        });
        let to = attempts.to.clone();
        // The router counts it with the settings of any time until it is answered.
        let time = [at, Duration::MAX];
        let percent = i64::from(self.settings.most(&to, time, |it| it.retries.percent));
        let budget = budget(&mut self.budgets, &to, cell);
        budget.open += 1;
        budget.left = (budget.left + percent).min(BALANCE_MAX + percent * budget.open);
        Ok(())
    }

    fn answered(&mut self, tag: &str) {
        let Some(attempts) = self.requests.remove(tag) else {
            return;
        };
        for at in &attempts.arrived {
            budget(&mut self.budgets, &attempts.to, &at.cell).open -= 1;
        }
    }

    /// The connections of these requests have died.
    fn died(&mut self, dead: impl Fn(&String, &Attempt) -> bool) {
        for (tag, attempts) in &mut self.requests {
            for at in attempts.arrived.iter_mut().filter(|at| dead(tag, at)) {
                at.died = true;
            }
        }
    }
}

/// Whether the endpoint of an attempt has answered before `at` that its client should come back later, if it
/// has answered at all.
fn has_asked_to_wait(
    asks: &[(String, Duration, Duration)],
    attempt: &Attempt,
    at: Duration,
) -> bool {
    let mut asks = asks.iter();
    asks.any(|(host, from, until)| *host == attempt.host && *from <= attempt.at && at <= *until)
}

/// The least percent of a cell's answered requests that a router may send again.
fn percent_least(settings: &SettingsInForce, router: &str, time: [Duration; 2]) -> i64 {
    i64::from(settings.least(router, time, |it| it.retries.percent))
}

fn budget<'a>(
    budgets: &'a mut BTreeMap<(String, String), Budget>,
    router: &str,
    cell: &str,
) -> &'a mut Budget {
    let full = Budget {
        left: BALANCE_MAX,
        open: 0,
    };
    let key = (router.to_owned(), cell.to_owned());
    budgets.entry(key).or_insert(full)
}

impl Invariant for RetriesBounded {
    fn name(&self) -> &'static str {
        "retries_bounded"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            // Requests through an Envoy aren't covered.
            Fact::Sent(sent) if sent.via.is_none() => {
                let attempts = Attempts {
                    sent: at,
                    to: sent.to.clone(),
                    // RFC 9110, section 9.2.2.
                    idempotent: matches!(
                        sent.method.as_str(),
                        "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE"
                    ),
                    // RFC 9110, section 9.2.1.
                    may_be_hedged: sent.body == Some(0)
                        && matches!(sent.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE"),
                    hedged: false,
                    times: 0,
                    after_goaway: false,
                    arrived: Vec::new(),
                };
                self.requests.insert(sent.tag.clone(), attempts);
            }
            Fact::Started(life) => self.budgets.retain(|(router, _), _| *router != life.router),
            Fact::EndpointStopped(host) => self.died(|_, at| at.host == *host),
            Fact::Unserved {
                cell,
                tag: Some(tag),
                how,
                ..
            } => match how {
                Unserved::StreamRefused | Unserved::TooManyStreams(_) => {
                    return self.came(cell, tag);
                }
                Unserved::AfterGoaway => {
                    let came = self.came(cell, tag);
                    if let Some(attempts) = self.requests.get_mut(tag) {
                        attempts.after_goaway = true;
                    }
                    return came;
                }
                Unserved::ConnectionClosed => self.died(|other, _| other == tag),
                Unserved::StreamReset => {}
            },
            Fact::Arrived(arrived) => {
                if let Some(tag) = &arrived.tag {
                    self.came(&arrived.cell, tag)?;
                    return self.received(at, arrived, tag);
                }
            }
            Fact::Answered { tag, .. } => self.answered(tag),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
