//! Bearer tokens.
//!
//! `bearer` finds the token in a request, `verify` finds out whether its issuer signed it for this
//! service, `claims` reads what that proves, and `memo` remembers it. `hint` reads what a log may say
//! about a token that was refused.

use crate::jws::JwsError;
use crate::reason::Reason;
use crate::refused::Refused;

mod bearer;
mod claims;
mod hint;
mod memo;
mod verify;

pub use hint::{Hint, hint};
pub use memo::Memo;

/// What a token is refused with that can't be read.
fn unreadable(error: JwsError) -> Refused {
    let (check, reason) = match error {
        JwsError::Malformed(_) => ("token.form", Reason::MalformedToken),
        JwsError::ForbiddenAlgorithm => ("token.algorithm", Reason::ForbiddenAlgorithm),
    };
    Refused::new(check, reason, error.detail())
}
