//! `[admin.tls]`: who may use the admin listener.

use super::{KeyPair, Pem, RevocationSettings};

/// Mutual TLS of the admin listener. Its pages are for operators only, whoever else is trusted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminTls {
    /// The router's own certificate.
    pub identity: KeyPair,
    /// The CAs of operators' certificates.
    pub bundle: Pem,
    /// Revocation of operators' certificates.
    pub revocation: RevocationSettings,
    /// The URI or DNS SANs of the operators. A certificate needs one of them.
    pub clients: Vec<Box<str>>,
}
