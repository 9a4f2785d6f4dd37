//! What is decided under both configurations: callers with credentials, and requests.
//!
//! Credentials are those that callers have today. A token has the claims and the audience that the old
//! configuration asks for, also when the new configuration decides. So a change that refuses the tokens in
//! use is a decision that changes.

mod callers;
mod requests;
mod tokens;

pub(super) use self::callers::{Caller, Grant, Proof, callers, issuers};
pub(super) use self::requests::{Asked, requests};
