//! TLS on both sides: verifies clients' certificates against the trust bundle, and cells'
//! certificates against the cells' bundle and the endpoint's SAN.
//!
//! A reload first builds everything from its files and then puts it in force, so the old one stays
//! in use if a file is bad. If a certificate authenticated the peer, its TLS session is never
//! resumed: a resumed session could outlive the certificate.

mod admin;
mod cell;
mod chain;
mod client;
mod dates;
mod handshake_error;
mod lists;
mod material;
mod name_refused;
mod names;
mod roots;
mod server;
mod source;
mod trust;
mod verified;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

pub(crate) use self::admin::AdminServer;
pub(crate) use self::cell::CellTls;
pub use self::client::verified_leaf;
pub(crate) use self::dates::certificate_dates;
pub use self::dates::{CERTIFICATES_MAX, CertificateDates};
pub use self::handshake_error::HandshakeError;
pub(crate) use self::material::certificates;
pub use self::material::{MaterialError, load_key_pair, load_roots};
pub(crate) use self::names::names_any;
pub(crate) use self::roots::ChainRefused;
pub(crate) use self::server::{ClientVerifier, ServerTls};
pub use self::source::router_source_config;
pub use self::trust::ListDates;
pub(crate) use self::trust::Trust;

/// The cryptography, and the clock for certificates' dates. The caller passes both in, so that the
/// simulator can replace them.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Cipher suites, groups, signature algorithms and randomness.
    pub crypto: Arc<CryptoProvider>,
    /// The wall clock.
    pub time: Arc<dyn TimeProvider>,
}

impl Default for Provider {
    /// Uses aws-lc-rs and the machine's wall clock.
    fn default() -> Self {
        Self {
            crypto: Arc::new(aws_lc_rs::default_provider()),
            time: Arc::new(DefaultTimeProvider),
        }
    }
}

/// The application protocols for both sides, HTTP/2 first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

fn alpn() -> Vec<Vec<u8>> {
    ALPN.iter().map(|name| name.to_vec()).collect()
}

/// The protocols for clients of listeners: also HTTP/1.0, for clients that offer nothing newer. If
/// client and router have no protocol in common, the handshake fails (RFC 7301, section 3.2).
fn server_alpn() -> Vec<Vec<u8>> {
    let mut names = alpn();
    names.push(b"http/1.0".to_vec());
    names
}
