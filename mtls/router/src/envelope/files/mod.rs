//! The files in a folder of keys.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cellway_core::envelope::{HmacKey, KeyError, SigningKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use crate::settings::EnvelopeForm;

/// The length of a line in PEM (RFC 7468, section 2).
const PEM_LINE: usize = 64;

/// The file name of the key with this id. The extension says which kind of key it is.
pub fn key_file(form: EnvelopeForm, kid: &str) -> String {
    match form {
        EnvelopeForm::Jws => format!("{kid}.pem"),
        EnvelopeForm::Hmac | EnvelopeForm::Compatible => format!("{kid}.key"),
    }
}

/// The content of a signing key's file: PKCS#8 in PEM, as `openssl genpkey` writes it.
///
/// # Errors
/// The key can't be encoded. This doesn't happen to a generated key.
pub fn signing_pem(key: &SigningKey) -> Result<String, KeyError> {
    let text = STANDARD.encode(key.to_pkcs8()?);
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for line in text.as_bytes().chunks(PEM_LINE) {
        let _ = writeln!(pem, "{}", String::from_utf8_lossy(line));
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(pem)
}

/// The content of a shared key's file: base64url, one line.
pub fn secret_text(secret: &[u8]) -> String {
    format!("{}\n", URL_SAFE_NO_PAD.encode(secret))
}

pub(super) fn signing_key(kid: &str, pem: &[u8]) -> Result<SigningKey, KeyError> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| KeyError::NotEd25519)?;
    SigningKey::from_pkcs8(kid, der.secret_pkcs8_der())
}

pub(super) fn shared_key(kid: &str, cell: &str, text: &[u8]) -> Result<HmacKey, KeyError> {
    let text = std::str::from_utf8(text).map_err(|_| KeyError::NotBase64)?;
    HmacKey::from_text(kid, cell, text)
}

#[cfg(test)]
mod tests;
