//! Bearer tokens.
//!
//! `carrier` finds the token in a request, `verify` finds out whether its issuer signed it for this
//! service, `claims` reads what that proves, and `memo` remembers it. `hint` reads what a log may say
//! about a token that was refused.

use super::{Denial, Stop};
use crate::jws::JwsRefused;
use crate::reason::Reason;

mod carrier;
mod claims;
mod hint;
mod memo;
mod verify;

pub use hint::{Hint, hint};
pub use memo::Memo;

impl From<JwsRefused> for Denial {
    fn from(refused: JwsRefused) -> Self {
        let (check, reason) = match refused {
            JwsRefused::Malformed(_) => ("token.form", Reason::MalformedToken),
            JwsRefused::ForbiddenAlgorithm => ("token.algorithm", Reason::ForbiddenAlgorithm),
        };
        Self::new(check, reason, refused.detail())
    }
}

impl From<JwsRefused> for Stop {
    fn from(refused: JwsRefused) -> Self {
        Self::Denied(refused.into())
    }
}
