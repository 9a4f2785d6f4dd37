//! What a failed handshake is told of: rustls's words, and more where they don't help.

use std::io;

use rustls::{CertificateError, Error};

/// How to make a certificate that signs for itself and may be a server's.
const SELF_SIGNED: &str = "the certificate is a CA's (basicConstraints CA:TRUE), and a CA's may not be a \
     server's: issue one under that CA, or make a self-signed one with `openssl req -x509 -newkey ed25519 \
     -nodes -keyout server.key -out server.pem -days 365 -subj /CN=server -addext \
     subjectAltName=DNS:server.example -addext basicConstraints=critical,CA:FALSE`";

/// Why a handshake with a server failed.
pub(crate) fn handshake_failure(error: &io::Error) -> String {
    let inner = error.get_ref();
    let tls = inner.and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(tls) if shows_a_ca(tls) => format!("{error}: {SELF_SIGNED}"),
        _ => error.to_string(),
    }
}

fn shows_a_ca(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    let inner = other.0.downcast_ref::<webpki::Error>();
    matches!(inner, Some(webpki::Error::CaUsedAsEndEntity))
}
