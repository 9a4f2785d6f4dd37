//! Routing keys: who is believed, and the page that tells signers how to sign.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

mod decisions;
mod vectors;
