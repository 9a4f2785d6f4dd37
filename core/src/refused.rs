//! What a check of a decision returns if the request does not pass it.

use crate::explain::Recorder;
use crate::ids::IssuerId;
use crate::reason::Reason;
use crate::time::Mono;

/// Why a check failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The reason of the denial.
    pub reason: Reason,
    /// Which check failed, in words that hold nothing of the credential.
    pub detail: &'static str,
}

impl Refused {
    /// Itself, once `recorder` has heard of it.
    pub(crate) fn at(self, check: &'static str, recorder: &mut impl Recorder) -> Self {
        let Self { reason, detail } = self;
        recorder.fail(check, || format!("{reason}: {detail}"));
        self
    }
}

/// What a request waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyWait {
    /// Whose keys.
    pub issuer: IssuerId,
    /// The key that the token names.
    pub kid: Option<Box<str>>,
    /// The [`IssuerKeys::epoch`](crate::keys::IssuerKeys::epoch) that was found wanting; with a
    /// higher one of this issuer, ask again.
    pub seen: u64,
    /// When to stop waiting.
    pub until: Mono,
}
