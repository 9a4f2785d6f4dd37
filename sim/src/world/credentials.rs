//! The credentials of one request of a client.

use crate::fact::{CellBound, Token};

/// The credentials of one request.
#[derive(Clone)]
pub(super) struct RequestCredentials {
    pub(super) token: Option<String>,
    /// What is true of it, if it is good for a time.
    pub(super) truth: Option<Token>,
    /// A cell-bound authorization, where its client calls in a cell's name.
    pub(super) bound: Option<CellBoundToken>,
}

/// An authorization that goes with a request.
#[derive(Clone)]
pub(super) struct CellBoundToken {
    pub(super) token: String,
    /// What is true of it.
    pub(super) truth: CellBound,
}
