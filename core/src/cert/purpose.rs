//! The purposes that a certificate's extended key usage allows (RFC 5280, section 4.2.1.12).

use super::parse;

/// A side of a TLS connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// `serverAuth`.
    Server,
    /// `clientAuth`.
    Client,
}

impl Purpose {
    /// The name of the extended key usage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
        }
    }
}

/// Whether a certificate may be used for this purpose: it has no extended key usage, or one that
/// lists the purpose. A certificate that can't be parsed passes here; verification refuses it.
pub fn serves(der: &[u8], purpose: Purpose) -> bool {
    let Ok(certificate) = parse(der) else {
        return true;
    };
    let Ok(Some(usage)) = certificate.extended_key_usage() else {
        return true;
    };
    // As in webpki, `anyExtendedKeyUsage` alone is not enough.
    match purpose {
        Purpose::Server => usage.value.server_auth,
        Purpose::Client => usage.value.client_auth,
    }
}
