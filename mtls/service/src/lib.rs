//! For services behind a router: verifies the identity envelopes that it seals.
//!
//! [`EnvelopeLayer`] puts the verifier around a tower service, and [`JwksClient`] fetches the
//! router's public keys and keeps them current. A service that shares a key with its router needs
//! only the layer. There is no router in this crate, and no server.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![warn(missing_docs)]

mod keys;
mod layer;

pub use self::keys::{JwksClient, JwksTiming};
pub use self::layer::*;
