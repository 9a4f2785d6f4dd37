//! What an answer says about the endpoint that sent it.

use http::StatusCode;

use super::Outcome;

/// The answers that count as failures of an endpoint.
///
/// An endpoint that answers works, unless its answer is on a list: a 403, or `PERMISSION_DENIED`, is
/// about the caller. An answer that refuses a caller for its rate says neither: it comes fast because
/// the endpoint did nothing, so it must not make a failing endpoint look good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailingAnswers {
    /// A bit for each status from 400 to 599.
    statuses: [u64; 4],
    /// A bit for each gRPC status up to 63.
    grpc: u64,
}

/// `RESOURCE_EXHAUSTED`, as a gRPC status.
const RESOURCE_EXHAUSTED: u8 = 8;

impl FailingAnswers {
    /// The statuses that a list may have.
    pub const STATUSES: std::ops::RangeInclusive<u16> = 400..=599;
    /// The statuses that are listed by default.
    pub const STATUSES_DEFAULT: &[u16] = &[502, 503, 504];
    /// The gRPC statuses that are listed by default: `UNAVAILABLE`.
    pub const GRPC_STATUSES_DEFAULT: &[u8] = &[14];
    /// The gRPC statuses that a list may have.
    pub const GRPC_STATUSES: std::ops::RangeInclusive<u8> = 1..=16;

    /// Lists these statuses, and these gRPC statuses in answers without messages. Numbers outside
    /// of [`STATUSES`](Self::STATUSES) and [`GRPC_STATUSES`](Self::GRPC_STATUSES) are left out.
    pub fn new(statuses: &[u16], grpc: &[u8]) -> Self {
        let mut listed = Self {
            statuses: [0; 4],
            grpc: 0,
        };
        for status in statuses {
            if let Some((word, bit)) = place(*status) {
                listed.statuses[word] |= bit;
            }
        }
        for status in grpc {
            if Self::GRPC_STATUSES.contains(status) {
                listed.grpc |= 1 << status;
            }
        }
        listed
    }

    /// The outcome of an exchange that was answered with this status. `grpc` is the `grpc-status` in
    /// the answer's header, if it has one. `None` if the answer says nothing about the endpoint.
    pub fn outcome(&self, status: StatusCode, grpc: Option<u8>) -> Option<Outcome> {
        let fails = self.lists(status.as_u16()) || grpc.is_some_and(|grpc| self.lists_grpc(grpc));
        if fails {
            return Some(Outcome::AnswerFailed);
        }
        let limited = status == StatusCode::TOO_MANY_REQUESTS || grpc == Some(RESOURCE_EXHAUSTED);
        (!limited).then_some(Outcome::Success)
    }

    /// The listed statuses, in order.
    pub fn statuses(&self) -> impl Iterator<Item = u16> {
        Self::STATUSES.filter(|status| self.lists(*status))
    }

    /// The listed gRPC statuses, in order.
    pub fn grpc_statuses(&self) -> impl Iterator<Item = u8> {
        Self::GRPC_STATUSES.filter(|status| self.lists_grpc(*status))
    }

    fn lists(&self, status: u16) -> bool {
        place(status).is_some_and(|(word, bit)| self.statuses[word] & bit != 0)
    }

    fn lists_grpc(&self, status: u8) -> bool {
        status < 64 && self.grpc & 1 << status != 0
    }
}

impl Default for FailingAnswers {
    fn default() -> Self {
        Self::new(Self::STATUSES_DEFAULT, Self::GRPC_STATUSES_DEFAULT)
    }
}

fn place(status: u16) -> Option<(usize, u64)> {
    let at = usize::from(status.checked_sub(*FailingAnswers::STATUSES.start())?);
    (status <= *FailingAnswers::STATUSES.end()).then(|| (at / 64, 1 << (at % 64)))
}
