//! Revocation lists: checks that a list can be used at all.

use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::time::Unix;

use super::{CertificateError, unix};

/// The dates of a revocation list, and what its issuer signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevocationList {
    this_update: Unix,
    next_update: Unix,
    signed: Box<[u8]>,
    signature: Box<[u8]>,
}

impl RevocationList {
    /// Reads a list.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`]: it is no DER list, or one without the time of the next, which
    /// RFC 5280 (section 5.1.2.5) asks for.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, list) =
            CertificateRevocationList::from_der(der).map_err(|_| CertificateError::Malformed)?;
        let next = list.next_update();
        match next {
            Some(next) if rest.is_empty() => Ok(Self {
                this_update: unix(list.last_update()),
                next_update: unix(next),
                signed: list.tbs_cert_list.as_ref().into(),
                signature: list.signature_value.data.as_ref().into(),
            }),
            Some(_) | None => Err(CertificateError::Malformed),
        }
    }

    /// When it was issued.
    pub fn this_update(&self) -> Unix {
        self.this_update
    }

    /// When the next list is due. From then on this one is stale.
    pub fn next_update(&self) -> Unix {
        self.next_update
    }

    /// What is signed.
    pub fn signed(&self) -> &[u8] {
        &self.signed
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}
