//! Bearer tokens.
//!
//! `bearer` finds the token in a request, `verify` checks that its issuer signed it for this
//! service, `claims` reads its claims, and `memo` caches the result. `hint` reads what a log may
//! say about a refused token.

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

/// The refusal for a token that can't be read.
fn unreadable(error: JwsError) -> Refused {
    let (check, reason) = match error {
        JwsError::Malformed(_) => ("token.form", Reason::MalformedToken),
        JwsError::ForbiddenAlgorithm => ("token.algorithm", Reason::ForbiddenAlgorithm),
    };
    Refused::new(check, reason, error.detail())
}
