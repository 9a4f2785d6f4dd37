//! The testbed: everything around a router, for tests, the demo and the simulator.
//!
//! It has a development [`Ca`], an [`IdentityProvider`], a [`ControlPlane`], [`EchoCell`]s and a
//! [`Client`], all generic over [`Env`](cellway_env::Env). `cellway demo` runs them on tokio's
//! network, and the simulator runs the same code on its own network.
//!
//! Each host is a handle that is cheap to clone. Create it, run its `serve` future on the host, and
//! keep a clone to set faults and to read counts while it runs. After a crash, call `serve` again:
//! the state is in the handle.
//!
//! Nothing here reads a clock or uses randomness, except functions whose names start with
//! `generate`. Times, serial numbers and key seeds are parameters, and TLS gets its randomness from
//! the [`CryptoProvider`](rustls::crypto::CryptoProvider) that the caller passes in.
//!
//! ```
//! use cellway_env::tokio::TokioEnv;
//! use cellway_testbed::{Client, EchoCell, IdentityProvider, Request};
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! let env = TokioEnv::new();
//! let (cell, address) = EchoCell::start(&env, "eu-1").await?;
//! let idp = IdentityProvider::start(&env).await?;
//! let token = idp.token(&env, "acme")?;
//!
//! // With a router between them, its address goes here.
//! let client = Client::plain(env, address);
//! let answer = client.send(Request::get("/hello").bearer(&token)).await?;
//! assert_eq!(answer.status, 200);
//! assert_eq!(cell.arrivals(), 1);
//! # Ok(())
//! # }
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(ask()).unwrap();
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod body;
mod ca;
mod cell;
mod cell_fault;
mod client;
mod control_plane;
mod early_hints;
mod ears;
mod envoy;
mod folder;
mod host;
mod idp;
mod key;
mod later;
mod own;
mod protocol;
pub mod sample;
mod script;
mod serve;
mod signer;
mod spawner;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod websocket;
mod wire;

pub use ca::{Ca, CertificateSpec, Credential, San, Usage, Validity, bundle_pem};
pub use cell::{CallEnding, EchoCell, Ended, EnvelopeVerifier, Received, Report, Verifying};
pub use cell_fault::{CellFault, Reads, Unserved};
pub use client::{Answer, Client, ClientError, Connection, Refused, Request, Target};
pub use control_plane::{ControlPlane, ControlPlaneCounts, ControlPlaneFault};
pub use envoy::{CheckOutcome, Envoy};
pub use folder::Folder;
pub use host::{Host, Memory};
pub use idp::{AUDIENCE, IdentityProvider, IdpCounts, IdpFault};
pub use key::Key;
pub use own::OwnService;
pub use protocol::Protocol;
pub use script::{Script, ScriptedServer, ScriptedSource};
pub use signer::{Algorithm, Signer};
pub use tls::{ServerTls, TlsProvider};
pub use token::{Claims, unsigned};
pub use websocket::{Message, WebSocket};
pub use wire::Excess;

/// Why a key, certificate, token or TLS configuration couldn't be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum TestbedError {
    /// A key couldn't be generated or read.
    Key(String),
    /// A certificate couldn't be made.
    Certificate(rcgen::Error),
    /// A token couldn't be signed.
    Token(String),
    /// rustls refused a configuration.
    Tls(rustls::Error),
    /// The roots for verifying clients were refused.
    Verifier(rustls::server::VerifierBuilderError),
}

impl std::fmt::Display for TestbedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(why) => write!(f, "key: {why}"),
            Self::Certificate(why) => write!(f, "certificate: {why}"),
            Self::Token(why) => write!(f, "token: {why}"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Verifier(why) => write!(f, "client verifier: {why}"),
        }
    }
}

impl std::error::Error for TestbedError {}

impl From<rcgen::Error> for TestbedError {
    fn from(why: rcgen::Error) -> Self {
        Self::Certificate(why)
    }
}

impl From<rustls::Error> for TestbedError {
    fn from(why: rustls::Error) -> Self {
        Self::Tls(why)
    }
}
