//! Routing keys: who is believed, and the page that tells signers how to sign.

mod decisions;
mod vectors;
