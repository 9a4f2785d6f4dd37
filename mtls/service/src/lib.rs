//! For services behind a router: verifies the identity envelopes that the router seals.
//!
//! [`EnvelopeLayer`] puts the verifier around a tower service, and [`JwksClient`] fetches the
//! router's public keys and keeps them current. A service that shares a key with its router needs
//! only the layer. The example `backend` is a whole service.
//!
//! Services use this crate, and so do the testbed's cells. It has no router, no server and no
//! configuration: a service brings its own server, and the verifier itself is
//! [`cellway_core::envelope`], which has no IO.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod jwks;
mod layer;

pub use self::jwks::{JwksClient, JwksTiming};
pub use self::layer::{EnvelopeLayer, Enveloped, KeyProvider, NoKeys};
