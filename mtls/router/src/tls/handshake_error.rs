//! Why handshakes with clients fail.

use std::{fmt, io};

use rustls::{CertificateError, Error};

use super::roots::ChainRefused;

/// Why a client's TLS handshake failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It took too long.
    Timeout,
    /// The client went away.
    Closed,
    /// What the client sent is not TLS, or violates it.
    Protocol,
    /// The two sides have no TLS version, cipher suite, group or application protocol in common.
    Incompatible,
    /// The client has no certificate and the listener requires one.
    NoCertificate,
    /// The client's certificate has expired or is not valid yet.
    CertificateExpired,
    /// No CA in the trust bundle issued the client's certificate.
    UnknownIssuer,
    /// The client's certificate is revoked.
    CertificateRevoked,
    /// No current revocation list says whether the client's certificate is revoked.
    RevocationUnknown,
    /// The certificate is not a client certificate: its extended key usage lacks `clientAuth`.
    CertificateUsage,
    /// The client's certificate is invalid in another way.
    BadCertificate,
    /// The client refused the router's certificate, or ended the handshake with another alert.
    Alert,
}

impl HandshakeError {
    /// All values.
    pub const ALL: &'static [Self] = &[
        Self::Timeout,
        Self::Closed,
        Self::Protocol,
        Self::Incompatible,
        Self::NoCertificate,
        Self::CertificateExpired,
        Self::UnknownIssuer,
        Self::CertificateRevoked,
        Self::RevocationUnknown,
        Self::CertificateUsage,
        Self::BadCertificate,
        Self::Alert,
    ];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::Incompatible => "incompatible",
            Self::NoCertificate => "no_certificate",
            Self::CertificateExpired => "certificate_expired",
            Self::UnknownIssuer => "unknown_issuer",
            Self::CertificateRevoked => "certificate_revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::CertificateUsage => "certificate_usage",
            Self::BadCertificate => "bad_certificate",
            Self::Alert => "alert",
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for HandshakeError {}

impl From<&io::Error> for HandshakeError {
    fn from(error: &io::Error) -> Self {
        let error = error.get_ref().and_then(|e| e.downcast_ref());
        error.map_or(Self::Closed, from_rustls)
    }
}

impl From<ChainRefused> for HandshakeError {
    fn from(refused: ChainRefused) -> Self {
        from_rustls(&refused.into())
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls's errors")]
fn from_rustls(error: &Error) -> HandshakeError {
    match error {
        Error::NoCertificatesPresented => HandshakeError::NoCertificate,
        Error::InvalidCertificate(certificate) => certificate_error(certificate),
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => HandshakeError::Incompatible,
        Error::AlertReceived(_) => HandshakeError::Alert,
        _ => HandshakeError::Protocol,
    }
}

/// The chain verifier returns only the errors listed here. The others are about the handshake's own
/// signature.
#[expect(clippy::wildcard_enum_match_arm, reason = "rustls's errors")]
fn certificate_error(error: &CertificateError) -> HandshakeError {
    match error {
        CertificateError::Expired => HandshakeError::CertificateExpired,
        CertificateError::Revoked => HandshakeError::CertificateRevoked,
        CertificateError::UnknownRevocationStatus => HandshakeError::RevocationUnknown,
        CertificateError::UnknownIssuer => HandshakeError::UnknownIssuer,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            HandshakeError::CertificateUsage
        }
        _ => HandshakeError::BadCertificate,
    }
}
