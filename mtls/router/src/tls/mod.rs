//! TLS on both sides: clients' certificates against the trust bundle, cells' certificates against
//! the cells' bundle and the endpoint's SAN.
//!
//! Everything is made anew from its files at a reload and only then put in force, so that a bad
//! file leaves the old one live. Nothing here resumes a session whose peer was authenticated by a
//! certificate: a resumed handshake would outlive the certificate.

mod cell;
mod chain;
mod client;
mod dates;
mod lists;
mod material;
mod server;
mod source;
mod trust;
mod words;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

pub(crate) use self::cell::CellTls;
pub(crate) use self::chain::ChainRefused;
pub use self::client::verified_leaf;
pub(crate) use self::dates::certificate_dates;
pub use self::dates::{CERTIFICATES_MAX, CertificateDates};
pub(crate) use self::material::certificates;
pub use self::material::{MaterialError, load_key_pair, load_roots};
pub(crate) use self::server::{ClientVerifier, ServerTls, refusal};
pub use self::source::{router_source_config, source_config};
pub use self::trust::ListDates;
pub(crate) use self::trust::Trust;

/// Cryptography, and the clock that certificates are judged by: handed in, so that the simulator
/// has both in its hand.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Suites, groups, signatures, randomness.
    pub crypto: Arc<CryptoProvider>,
    /// The wall clock.
    pub time: Arc<dyn TimeProvider>,
}

impl Default for Provider {
    /// aws-lc-rs, and the machine's wall clock.
    fn default() -> Self {
        Self {
            crypto: Arc::new(aws_lc_rs::default_provider()),
            time: Arc::new(DefaultTimeProvider),
        }
    }
}

/// HTTP/2 first, for both sides.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

fn alpn() -> Vec<Vec<u8>> {
    ALPN.iter().map(|name| name.to_vec()).collect()
}

/// The same for clients of listeners, plus HTTP/1.0 for clients that offer nothing newer. The
/// handshake fails for a client without a common protocol (RFC 7301, section 3.2).
fn server_alpn() -> Vec<Vec<u8>> {
    let mut names = alpn();
    names.push(b"http/1.0".to_vec());
    names
}
