//! gRPC clients get a status, and the right one.

use std::collections::BTreeMap;
use std::time::Duration;

use cellway_core::Reason;

use super::{Bounds, Invariant, shown};
use crate::fact::{Answer, Arrived, Fact, Sent};

/// A gRPC client always gets HTTP 200 and a `grpc-status`, also if its answer breaks off. If a cell ends its
/// call, that is the cell's status, unchanged. Otherwise it is the one that belongs to the router's reason.
/// Only if a cell answers without a gRPC status, the client gets the cell's HTTP status.
///
/// A cell gets a call as a call, and no more time for it than is left of the client's deadline. The client
/// has its answer when the deadline is over.
///
/// A call may end without an answer while a fault keeps clients from their routers.
#[derive(Debug)]
pub struct GrpcStatus {
    request_id: String,
    transit: Duration,
    delivery_max: Duration,
    cut_off: Vec<(Duration, Duration)>,
    /// Calls that aren't answered yet, by tag.
    open: BTreeMap<String, Call>,
    /// When each request was decided, by the router's id.
    decided: BTreeMap<String, Duration>,
}

#[derive(Debug)]
struct Call {
    client: String,
    sent: Duration,
    deadline: Option<Duration>,
    /// The status with which a cell has ended it.
    ended: Option<u8>,
    /// The statuses of HTTP and gRPC in the answer.
    came: Option<(u16, Option<u8>)>,
}

impl GrpcStatus {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            request_id: format!("{}request-id", bounds.header_prefix),
            transit: bounds.transit_max,
            delivery_max: bounds.delivery_max,
            cut_off: bounds.cut_off.clone(),
            open: BTreeMap::new(),
            decided: BTreeMap::new(),
        }
    }

    fn sent(&mut self, at: Duration, sent: &Sent) {
        let call = Call {
            client: sent.client.clone(),
            sent: at,
            deadline: sent.deadline,
            ended: None,
            came: None,
        };
        self.open.insert(sent.tag.clone(), call);
    }

    fn received(&self, at: Duration, arrived: &Arrived) -> Result<(), String> {
        let tag = arrived.tag.as_deref().unwrap_or_default();
        let Some(call) = self.open.get(tag) else {
            return Ok(());
        };
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
            let came = arrived.header(name);
            if came != Some(value) {
                return Err(format!(
                    "{tag} arrived at {} with the {name} {}, expected {value}",
                    arrived.host,
                    shown(came)
                ));
            }
        }
        let told = arrived.header("grpc-timeout");
        let Some(deadline) = call.deadline else {
            return match told {
                Some(told) => Err(format!(
                    "{tag} arrived with the deadline {told}, but it has none"
                )),
                None => Ok(()),
            };
        };
        let id = arrived.header(&self.request_id).unwrap_or_default();
        // The router had read its header before that.
        let decided = self.decided.get(id).copied().unwrap_or(at);
        let most = (decided + deadline + self.transit).saturating_sub(at);
        match told.and_then(timeout) {
            Some(told) if told <= most.min(deadline) => Ok(()),
            Some(_) | None => Err(format!(
                "{tag} arrived at {} with the deadline {}, but its client waits for {deadline:?} in all, \
                 and {most:?} longer",
                arrived.host,
                told.unwrap_or("none")
            )),
        }
    }

    fn answered(&mut self, at: Duration, tag: &str, answer: &Answer) -> Result<(), String> {
        let Some(call) = self.open.remove(tag) else {
            return Ok(());
        };
        let late = (call.deadline).map(|it| call.sent + it + self.transit + self.delivery_max);
        if late.is_some_and(|late| at > late) {
            return Err(format!(
                "{tag} has no answer until {at:?}, but it was sent at {:?}, and its deadline is {:?}",
                call.sent,
                call.deadline.unwrap_or_default()
            ));
        }
        let (http, status) = call.came.unwrap_or_default();
        let wrong = |expected: &str| {
            Err(format!(
                "{tag} was answered {answer} with the status {http} of HTTP and the gRPC status {}, \
                 expected 200 and {expected}",
                shown(status)
            ))
        };
        match answer {
            Answer::Ok | Answer::CellGrpc(_) if http == 200 && status == call.ended => Ok(()),
            // A cell that says no gRPC status, such as a proxy in front of it.
            Answer::Cell(_) if call.ended.is_none() && http != 200 => Ok(()),
            Answer::Ok | Answer::Cell(_) | Answer::CellGrpc(_) => wrong(&shown(call.ended)),
            Answer::Router(reason) => {
                let right = of_reason(reason);
                match status.is_some_and(|it| http == 200 && right.contains(&it)) {
                    true => Ok(()),
                    false => {
                        let right: Vec<_> = right.iter().map(u8::to_string).collect();
                        wrong(&right.join(" or "))
                    }
                }
            }
            // The client had no connection.
            Answer::Refused => Ok(()),
            Answer::Closed(_) | Answer::None => {
                let mut cut_off = self.cut_off.iter();
                match cut_off.any(|(from, until)| *from <= at && call.sent <= *until) {
                    true => Ok(()),
                    false => Err(format!("{tag} got no status: {answer}")),
                }
            }
        }
    }
}

/// The gRPC statuses that a router may give for this reason.
fn of_reason(reason: &str) -> &'static [u8] {
    let known = Reason::ALL.iter().find(|it| it.as_str() == reason);
    let http = known.and_then(|it| it.status()).map_or(0, |it| it.as_u16());
    match (reason, http) {
        ("rate_limited" | "body_too_large", _) => &[8],
        // A policy chooses.
        ("jwks_unreachable", _) => &[14, 16],
        (_, 401) => &[16],
        (_, 403) => &[7],
        (_, 502 | 503) => &[14],
        (_, 504) => &[4],
        (_, 400 | 431) => &[13],
        (_, 408) => &[1],
        (_, 501) => &[12],
        _ => &[],
    }
}

/// The time in a `grpc-timeout`.
fn timeout(value: &str) -> Option<Duration> {
    let (number, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

impl Invariant for GrpcStatus {
    fn name(&self) -> &'static str {
        "grpc_status"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Sent(sent) if sent.grpc => self.sent(at, sent),
            Fact::Decided(decided) if !self.open.is_empty() => {
                self.decided.insert(decided.request_id.clone(), at);
            }
            Fact::Arrived(arrived) => return self.received(at, arrived),
            Fact::CallEnded {
                tag: Some(tag),
                status,
                ..
            } => {
                if let Some(call) = self.open.get_mut(tag) {
                    call.ended = Some(*status);
                }
            }
            Fact::CallAnswered { tag, http, status } => {
                if let Some(call) = self.open.get_mut(tag) {
                    call.came = Some((*http, *status));
                }
            }
            Fact::ClientStopped(stopped) => self.open.retain(|_, call| call.client != *stopped),
            Fact::Answered { tag, answer } => return self.answered(at, tag, answer),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
