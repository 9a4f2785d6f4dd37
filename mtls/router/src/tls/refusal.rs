//! Why handshakes with clients fail.

/// Why a client's TLS handshake failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TlsRefusal {
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

impl TlsRefusal {
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
