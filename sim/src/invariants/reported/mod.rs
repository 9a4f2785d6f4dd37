//! What a router reports about the end of a request is what its client got.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Invariant, shown};
use crate::fact::{Answer, Decided, Fact, Responded};

/// If a client gets a router's error, the router reports the end of that request with the same reason,
/// and decided so if no cell was chosen. If a client gets a cell's whole answer, the router reports no
/// reason, and the cell's status. Log, metrics and operators have only these reports.
#[derive(Debug, Default)]
pub struct ReportedTruly {
    /// By the router's id: what was decided, if the request may not pass.
    denied: BTreeMap<String, Arc<Decided>>,
    responded: BTreeMap<String, Responded>,
    /// The ids in answers, by tag.
    traced: BTreeMap<String, String>,
    /// Answers whose router has not reported the end yet, by id.
    answered: BTreeMap<String, Answer>,
}

impl ReportedTruly {
    fn check(&self, id: &str, answer: &Answer, reported: &Responded) -> Result<(), String> {
        let router = &reported.life.router;
        let reason = reported.reason.map(cellway_core::Reason::as_str);
        let (expected_reason, status) = match answer {
            Answer::Ok => (None, None),
            Answer::Cell(status) => (None, Some(*status)),
            Answer::CellGrpc(_) => (None, Some(200)),
            Answer::Router(reason) => (Some(reason.as_str()), None),
            Answer::Refused | Answer::Closed(_) | Answer::None => return Ok(()),
        };
        if reason != expected_reason {
            return Err(format!(
                "the client of {id} was answered {answer}, but {router} reports the reason {}",
                shown(reason)
            ));
        }
        if status.is_some() && status != reported.status {
            return Err(format!(
                "the client of {id} was answered {answer}, but {router} reports the status {}",
                shown(reported.status)
            ));
        }
        let denied = self.denied.get(id).map(|decided| decided.reason.as_str());
        match denied {
            Some(denied) if Some(denied) != expected_reason => Err(format!(
                "the client of {id} was answered {answer}, but {router} decided {denied}"
            )),
            _ => Ok(()),
        }
    }
}

impl Invariant for ReportedTruly {
    fn name(&self) -> &'static str {
        "reported_truly"
    }

    fn observe(&mut self, _: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Decided(decided) if decided.cell.is_none() => {
                let id = decided.request_id.clone();
                self.denied.insert(id, decided.clone());
            }
            Fact::Responded(responded) => {
                let id = &responded.request_id;
                self.responded.insert(id.clone(), responded.clone());
                if let Some(answer) = self.answered.remove(id) {
                    return self.check(id, &answer, responded);
                }
            }
            Fact::Traced { tag, request_id } => {
                self.traced.insert(tag.clone(), request_id.clone());
            }
            Fact::Answered { tag, answer } => {
                let Some(id) = self.traced.remove(tag) else {
                    return Ok(());
                };
                match self.responded.get(&id) {
                    Some(responded) => return self.check(&id, answer, responded),
                    None => self.answered.insert(id, answer.clone()),
                };
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
