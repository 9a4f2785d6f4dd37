//! The credentials of one request of a client.

use crate::fact::{CellBound, Token};

/// The credentials of one request.
#[derive(Clone)]
pub(super) struct RequestCredentials {
    pub(super) token: Option<String>,
    /// The truth about the token, if it is valid for a time.
    pub(super) truth: Option<Token>,
    /// A cell-bound authorization, if the client calls on behalf of a cell.
    pub(super) bound: Option<CellBoundToken>,
}

/// A cell-bound authorization of a request.
#[derive(Clone)]
pub(super) struct CellBoundToken {
    pub(super) token: String,
    /// The truth about it.
    pub(super) truth: CellBound,
}
