//! For services behind a router: verifies the identity envelopes that the router seals.
//!
//! [`EnvelopeLayer`] puts the verifier around a tower service, and [`JwksClient`] fetches the
//! router's public keys and keeps them current. A service that shares a key with its router needs
//! only the layer, with [`NoKeys`]. The example `backend` is a whole service.
//!
//! ```
//! use cellway_core::envelope::{TrustMode, Verifier, VerifierSpec};
//! use cellway_env::Env;
//! use cellway_env::tokio::TokioEnv;
//! use cellway_service::{EnvelopeLayer, JwksClient, JwksTiming};
//!
//! # async fn service() -> Result<(), Box<dyn std::error::Error>> {
//! let env = TokioEnv::new();
//! let page = "https://router.internal/.well-known/cellway/jwks.json";
//! // `None`: the router's certificate is from a CA that the system trusts.
//! let bundle = std::fs::read("router-ca.pem")?;
//! let log = |notice: &_| eprintln!("envelope keys: {notice:?}");
//! let timing = JwksTiming::default();
//! let keys = JwksClient::connect(env.clone(), page, Some(&bundle), timing, log).await?;
//! let verifier = Verifier::new(VerifierSpec {
//!     trust: TrustMode::GatewayEnforced,
//!     ..VerifierSpec::new("eu-1")
//! })?;
//! let layer = EnvelopeLayer::new(verifier, keys, move || env.unix_now());
//! // Put `layer` around your service, outermost. Handlers read the extension `Verdict`.
//! # let _: EnvelopeLayer<_, _> = layer;
//! # Ok(())
//! # }
//! ```
//!
//! Services use this crate, and so do the testbed's cells. It has no router, no server and no
//! configuration: a service brings its own server, and the verifier itself is
//! [`cellway_core::envelope`], which has no IO.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod jwks;
mod layer;

pub use self::jwks::{JwksClient, JwksConnectError, JwksTiming};
pub use self::layer::{EnvelopeLayer, Enveloped, KeyProvider, NoKeys};
