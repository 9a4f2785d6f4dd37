//! From a request's credentials to the identity that they prove.

use std::sync::Arc;

use crate::decision::KeyWait;
use crate::evidence::Evidence;
use crate::explain::Recorder;
use crate::identity::Identity;
use crate::keys::KeyTable;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::text::Text;
use crate::time::Now;

mod memo;

pub use memo::Memo;

/// Why [`identify`] found no identity.
#[derive(Clone, PartialEq, Debug)]
pub enum Refusal {
    /// The credentials don't hold.
    Deny {
        /// Why.
        reason: Reason,
        /// Which check failed, in words that hold nothing of the credential.
        detail: &'static str,
        /// The tenant, where one was proved all the same.
        tenant: Option<Text>,
    },
    /// The token may be good, but keys are missing.
    ///
    /// Control must hear of it (`handle_unknown_key`). A `until` that isn't later than now asks for
    /// no waiting: ask again at once, with `waited` set, for the final answer.
    Wait(KeyWait),
}

/// Collects and verifies the credentials that the listener's policy accepts.
///
/// Returns `verified`, `anonymous` or `insecure` and whom the request counts as. Whether the tenant
/// is known, active, and the issuer's to speak for, is for the registry to say; see
/// [`Policy::may_speak`].
///
/// # Errors
/// [`Refusal`] says what is wrong, or what to wait for.
pub fn identify(
    policy: &Policy,
    keys: &KeyTable,
    evidence: &Evidence<'_>,
    now: Now,
    memo: &mut Memo,
    recorder: &mut impl Recorder,
) -> Result<(Reason, Arc<Identity>), Refusal> {
    let _ = (policy, keys, evidence, now, memo, recorder);
    Err(Refusal::Deny {
        reason: Reason::MissingToken,
        detail: "",
        tenant: None,
    })
}
