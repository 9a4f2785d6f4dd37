//! TLS to cells.

use std::sync::Arc;

use cellway_core::cert::PeerCertificate;
use cellway_core::registry::{Endpoint, San};
use cellway_env::Env;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::material::{MaterialError, load_key_pair, load_roots, pair_refused};
use super::name_refused::NameRefused;
use super::{Provider, alpn};
use crate::settings::{Pem, UpstreamSettings};

/// What the pools need to open TLS connections to cells.
#[derive(Clone, Debug)]
pub(crate) struct CellTls {
    /// Everything but the verifier, because each endpoint has its own.
    base: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl CellTls {
    /// Reads the cells' bundle and the router's own certificate. `None` if no bundle is configured.
    pub(crate) async fn load<E: Env>(
        env: &E,
        provider: &Provider,
        upstream: &UpstreamSettings,
    ) -> Result<Option<Self>, MaterialError> {
        let Some(bundle) = &upstream.bundle else {
            return Ok(None);
        };
        let roots = Arc::new(load_roots(env, bundle).await?);
        let refuse = |pem: &Pem, error: Error| MaterialError::new(pem, error);
        let builder =
            ClientConfig::builder_with_details(provider.crypto.clone(), provider.time.clone())
                .with_safe_default_protocol_versions()
                .map_err(|error| refuse(bundle, error))?
                .with_root_certificates(roots.clone());
        let mut base = match &upstream.identity {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let (chain, key) = load_key_pair(env, pair).await?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| pair_refused(pair, &error))?
            }
        };
        base.alpn_protocols = alpn();
        // rustls stores sessions by server name, but two endpoints may share a name and differ in
        // their SAN.
        base.resumption = Resumption::disabled();
        Ok(Some(Self {
            base: Arc::new(base),
            roots,
            algorithms: provider.crypto.signature_verification_algorithms,
        }))
    }

    /// The configuration for one endpoint, and the name to send it as SNI.
    ///
    /// # Errors
    /// The endpoint's host can't be a server name.
    pub(crate) fn endpoint(
        &self,
        endpoint: &Endpoint,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), Error> {
        let host = endpoint.url.host();
        let asked = match &endpoint.san {
            Some(San::Dns(name)) => name,
            Some(San::Uri(_)) | None => host,
        };
        let asked = ServerName::try_from(asked.to_owned())
            .map_err(|_| Error::General(format!("{asked} is not a server name")))?;
        let expected = match &endpoint.san {
            Some(San::Uri(uri)) => Expected::Uri(uri.clone()),
            Some(San::Dns(_)) | None => Expected::Name(asked.clone()),
        };
        let mut config = ClientConfig::clone(&self.base);
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(EndpointVerifier {
                expected,
                roots: self.roots.clone(),
                algorithms: self.algorithms,
            }));
        Ok((Arc::new(config), asked))
    }
}

/// The name that an endpoint's certificate must have.
#[derive(Debug)]
enum Expected {
    /// A DNS name or an address.
    Name(ServerName<'static>),
    /// A URI. It must be the certificate's only one, and equal byte for byte.
    Uri(Box<str>),
}

/// Verifies the chain, then the endpoint's SAN. rustls's own verifier can't check a URI, because a
/// `ServerName` is never one.
#[derive(Debug)]
struct EndpointVerifier {
    expected: Expected,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for EndpointVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        match &self.expected {
            Expected::Name(name) => {
                let named = verify_server_name(&certificate, name);
                named.map_err(|_| other_name(end_entity, &name.to_str()))?;
            }
            Expected::Uri(uri) => verify_uri(end_entity, uri)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn verify_uri(leaf: &CertificateDer<'_>, expected: &str) -> Result<(), Error> {
    let certificate = PeerCertificate::from_der(leaf)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    match certificate.uris() {
        [only] if **only == *expected => Ok(()),
        _ => Err(other_name(leaf, expected)),
    }
}

fn other_name(leaf: &CertificateDer<'_>, expected: &str) -> Error {
    NameRefused::new(leaf, expected).into()
}
