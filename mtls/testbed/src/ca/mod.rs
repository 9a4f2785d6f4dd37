//! A development certificate authority.

use std::net::IpAddr;
use std::time::Duration;

use cellway_core::Unix;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

use super::{Key, TestbedError};

/// A root that issues certificates for servers, clients and cells.
///
/// To rotate, make a second one and hand out [`bundle_pem`] of both until the last certificate of
/// the first has been replaced.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    /// A self-signed root with this common name.
    ///
    /// # Errors
    /// [`TestbedError::Certificate`] if the key or name is refused.
    pub fn new(
        name: &str,
        key: &Key,
        validity: Validity,
        serial: u64,
    ) -> Result<Self, TestbedError> {
        let mut params = params(name, validity, serial);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self {
            issuer: CertifiedIssuer::self_signed(params, key.pair()?)?,
        })
    }

    /// Issues a certificate for `key`.
    ///
    /// # Errors
    /// [`TestbedError::Certificate`] if a name isn't ASCII or the key is refused.
    pub fn issue(&self, spec: &CertificateSpec, key: &Key) -> Result<Credential, TestbedError> {
        let mut params = params(&spec.common_name, spec.validity, spec.serial);
        params.subject_alt_names = spec
            .sans
            .iter()
            .map(San::to_rcgen)
            .collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = spec.usage.purposes();
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key.pair()?, &self.issuer)?;
        Ok(Credential {
            pem: certificate.pem(),
            chain: vec![certificate.into()],
            key: key.clone(),
        })
    }

    /// A list that revokes the certificates with these serial numbers, in PEM. It is stale after
    /// `validity`.
    ///
    /// # Errors
    /// [`TestbedError::Certificate`] if the list can't be signed.
    pub fn revoke(&self, serials: &[u64], validity: Validity) -> Result<String, TestbedError> {
        let epoch = date_time_ymd(1970, 1, 1);
        let (from, until) = (validity.from.since_epoch(), validity.until.since_epoch());
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: epoch + from,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: epoch + from,
            next_update: epoch + until,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }

    /// The root certificate in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The root certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// A store that trusts these authorities.
    ///
    /// # Errors
    /// [`TestbedError::Tls`] if rustls can't read a root.
    pub fn roots(authorities: &[&Self]) -> Result<RootCertStore, TestbedError> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.der().clone())?;
        }
        Ok(roots)
    }
}

/// The roots of these authorities as one PEM trust bundle.
pub fn bundle_pem(authorities: &[&Ca]) -> String {
    authorities.iter().map(|ca| ca.pem()).collect()
}

/// The contents of a certificate.
#[derive(Clone, Debug)]
pub struct CertificateSpec {
    /// The subject's common name. Only people read it.
    pub common_name: String,
    /// The names that verifiers compare.
    pub sans: Vec<San>,
    /// What it may be used for.
    pub usage: Usage,
    /// When it is valid. For an expired certificate, choose an end in the past.
    pub validity: Validity,
    /// Its serial number, which must be unique for its CA.
    pub serial: u64,
}

impl CertificateSpec {
    /// A certificate with one SAN and a common name.
    pub fn new(common_name: &str, san: San, usage: Usage, validity: Validity, serial: u64) -> Self {
        Self {
            common_name: common_name.to_owned(),
            sans: vec![san],
            usage,
            validity,
            serial,
        }
    }
}

/// A subject alternative name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum San {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A URI, such as a SPIFFE ID.
    Uri(String),
}

impl San {
    fn to_rcgen(&self) -> Result<SanType, rcgen::Error> {
        Ok(match self {
            Self::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
            Self::Ip(address) => SanType::IpAddress(*address),
            Self::Uri(uri) => SanType::URI(uri.as_str().try_into()?),
        })
    }
}

/// What a certificate may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usage {
    /// To answer connections.
    Server,
    /// To make connections.
    Client,
    /// Both.
    Both,
}

impl Usage {
    fn purposes(self) -> Vec<ExtendedKeyUsagePurpose> {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        match self {
            Self::Server => vec![ServerAuth],
            Self::Client => vec![ClientAuth],
            Self::Both => vec![ServerAuth, ClientAuth],
        }
    }
}

/// When a certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// The first second.
    pub from: Unix,
    /// The last second.
    pub until: Unix,
}

impl Validity {
    /// From an hour before `now` (clocks differ) for `lifetime` more.
    pub fn around(now: Unix, lifetime: Duration) -> Self {
        let from = now.since_epoch().saturating_sub(Duration::from_secs(3600));
        Self {
            from: Unix::from_epoch(from),
            until: now.after(lifetime),
        }
    }
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The leaf, and the certificates between it and the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key.
    pub key: Key,
    pem: String,
}

impl Credential {
    /// The chain in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

fn params(common_name: &str, validity: Validity, serial: u64) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + validity.from.since_epoch();
    params.not_after = epoch + validity.until.since_epoch();
    params.serial_number = Some(SerialNumber::from(serial));
    params
}

/// The DNS and URI SANs of a certificate, in its order.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "x509-parser's enum: other kinds of names are left out"
)]
pub(super) fn sans(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let Ok(Some(sans)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let names = sans.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
