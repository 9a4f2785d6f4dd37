//! The testbed: everything around a router, small enough to read, real enough to trust.
//!
//! A development [`Ca`], an [`IdentityProvider`], a [`ControlPlane`], [`EchoCell`]s and a
//! [`Client`], all generic over [`Env`](cellway_env::Env). `cellway demo` runs them on tokio's
//! network and the simulator on its own, so that what the simulator proves was proved of the same
//! code that a newcomer sees.
//!
//! Each host is a handle that clones cheaply: build it, call its `serve` future on the host that
//! shall run it (again after a crash: the state lives in the handle), and keep a clone to set
//! faults and to read counts while it runs.
//!
//! Nothing here reads a clock or draws randomness, except where a function's name starts with
//! `generate`: times, serial numbers and key seeds come in as parameters, and TLS takes its
//! randomness from the [`CryptoProvider`](rustls::crypto::CryptoProvider) that is handed in.
//!
//! ```
//! use std::time::Duration;
//!
//! use cellway_env::tokio::TokioEnv;
//! use cellway_env::{Env, Listener};
//! use cellway_testbed::{Client, EchoCell, Protocol, Request, ServerTls, Target};
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! let env = TokioEnv::new();
//! let listener = env.bind("127.0.0.1:0".parse()?, false).await?;
//! let port = listener.local_addr()?.port();
//! let cell = EchoCell::new("eu-1", |report| println!("{report:?}"));
//! let (host, here) = (cell.clone(), env.clone());
//! env.spawn(async move {
//!     let _ = host.serve(here, listener, ServerTls::plain()).await;
//! });
//!
//! let target = Target {
//!     host: "127.0.0.1".to_owned(),
//!     port,
//!     tls: None,
//!     protocol: Protocol::Http1,
//! };
//! let client = Client::new(env, target, Duration::from_secs(5));
//! let answer = client.send(Request::get("/hello")).await?;
//! assert_eq!(answer.status, 200);
//! assert_eq!(cell.arrivals(), 1);
//! # Ok(())
//! # }
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(ask()).unwrap();
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![warn(missing_docs)]

mod body;
mod ca;
mod cell;
mod client;
mod control_plane;
mod departure;
mod envoy;
mod host;
mod idp;
mod key;
mod script;
mod serve;
mod signer;
#[cfg(test)]
mod tests;
mod tls;
mod token;

pub use ca::{Ca, CertificateSpec, Credential, San, Usage, Validity, bundle_pem};
pub use cell::{CellFault, EchoCell, Ended, EnvelopeJudge, Judging, Received, Report, Unserved};
pub use client::{Answer, Client, ClientError, Connection, Protocol, Request, Target};
pub use control_plane::{ControlPlane, ControlPlaneCounts, ControlPlaneFault};
pub use envoy::{Envoy, Heard};
pub use host::{Host, Memory};
pub use idp::{IdentityProvider, IdpCounts, IdpFault};
pub use key::Key;
pub use script::{Script, ScriptedServer, ScriptedSource};
pub use signer::{Algorithm, Signer};
pub use tls::{ServerTls, TlsProvider};
pub use token::{Claims, unsigned};

/// Why a key, certificate, token or TLS configuration couldn't be made.
#[derive(Debug)]
pub enum LabError {
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

impl std::fmt::Display for LabError {
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

impl std::error::Error for LabError {}

impl From<rcgen::Error> for LabError {
    fn from(why: rcgen::Error) -> Self {
        Self::Certificate(why)
    }
}

impl From<rustls::Error> for LabError {
    fn from(why: rustls::Error) -> Self {
        Self::Tls(why)
    }
}
