//! Whose certificate it is and who issued it, to check the order of a chain.

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::CertificateError;

/// The subject and the issuer of a certificate. The certificate is otherwise unchecked: verification
/// is the other side's task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateNames {
    /// As DER. A CA must write its own name and its name as an issuer the same way (RFC 5280,
    /// section 4.1.2.4), so the bytes can be compared.
    subject_der: Box<[u8]>,
    issuer_der: Box<[u8]>,
    subject: Box<str>,
    issuer: Box<str>,
}

impl CertificateNames {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = X509Certificate::from_der(der);
        let (rest, certificate) = parsed.map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let (subject, issuer) = (certificate.subject(), certificate.issuer());
        Ok(Self {
            subject_der: subject.as_raw().into(),
            issuer_der: issuer.as_raw().into(),
            subject: subject.to_string().into(),
            issuer: issuer.to_string().into(),
        })
    }

    /// Whether `other` names this certificate's subject as its issuer.
    pub fn is_issuer_of(&self, other: &Self) -> bool {
        self.subject_der == other.issuer_der
    }

    /// The subject as text, in the form of RFC 4514.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The issuer as text, in the form of RFC 4514.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}
