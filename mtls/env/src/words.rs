//! Describes TLS errors in plain words instead of a library's type names.

use std::io;

use rustls::{CertificateError, Error, OtherError};

/// How to make a self-signed server certificate.
const SELF_SIGNED: &str = "the certificate is a CA's (basicConstraints CA:TRUE), and a CA certificate is not \
     accepted as a server's: issue one under that CA, or make a self-signed one with `openssl req -x509 -newkey ed25519 \
     -nodes -keyout server.key -out server.pem -days 365 -subj /CN=server -addext \
     subjectAltName=DNS:server.example -addext basicConstraints=critical,CA:FALSE`";

/// A TLS error as text for people.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls may add errors; one without words of ours is shown as rustls shows it"
)]
pub fn tls_error(error: &Error) -> String {
    use CertificateError as C;
    let Error::InvalidCertificate(certificate) = error else {
        return error.to_string();
    };
    let text = match certificate {
        C::Other(other) if shows_a_ca(other) => SELF_SIGNED,
        C::Other(OtherError(why)) => return why.to_string(),
        C::Expired | C::ExpiredContext { .. } => "the certificate has expired",
        C::NotValidYet | C::NotValidYetContext { .. } => "the certificate is not valid yet",
        C::UnknownIssuer => "no CA of the bundle issued the certificate",
        C::Revoked => "the certificate is revoked",
        C::BadEncoding => "the certificate can't be parsed",
        C::BadSignature => "the signature of the certificate is not valid",
        C::NotValidForName | C::NotValidForNameContext { .. } => "the certificate has another name",
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "the certificate's extended key usage doesn't allow this side of a connection \
             (serverAuth for servers, clientAuth for clients)"
        }
        other => return format!("the certificate is not accepted: {other}"),
    };
    text.to_owned()
}

/// Why a handshake with a server failed.
pub fn handshake_failure(error: &io::Error) -> String {
    let tls = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<Error>());
    tls.map_or_else(|| error.to_string(), tls_error)
}

/// Whether the server's certificate is a CA certificate.
fn shows_a_ca(other: &OtherError) -> bool {
    let inner = other.0.downcast_ref::<webpki::Error>();
    matches!(inner, Some(webpki::Error::CaUsedAsEndEntity))
}
