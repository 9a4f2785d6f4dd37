//! Certificates for programs on BoringSSL, such as Envoy and grpcio: they know ECDSA, and the testbed signs
//! with Ed25519.

#![expect(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use std::sync::Arc;

use crate::world::{Folder, provider};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// One authority for everybody in a test.
pub struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// A new authority.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        // A leaf of the same name would look self-signed.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        Self { issuer }
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Certificate and key, in PEM.
    pub fn issue(&self, san: &str) -> (String, String) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![match san.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::URI(san.try_into().unwrap()),
        }];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Writes `name.pem` and `name.key`.
    pub fn write(&self, folder: &Folder, name: &str, san: &str) {
        let (certificate, key) = self.issue(san);
        folder.write(&format!("{name}.pem"), &certificate);
        folder.write(&format!("{name}.key"), &key);
    }

    /// TLS of a client that shows a certificate with this name.
    pub fn client(&self, san: Option<&str>, alpn: &[u8]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider().crypto)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match san {
            None => builder.with_no_client_auth(),
            Some(san) => {
                let (certificate, key) = self.issue(san);
                let chain = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }
}
