//! A check of a decision that failed.

use crate::explain::Recorder;
use crate::reason::Reason;

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
