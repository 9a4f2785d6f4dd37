//! Towards clients.

use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CertificateError, Error, RootCertStore, ServerConfig};

use super::material::{MaterialError, load_key_pair};
use super::{Provider, alpn};
use crate::env::Env;
use crate::event::TlsRefusal;
use crate::settings::{ClientCertificate, ListenerTls, Pem};

/// What a listener needs for new connections, and to look at its standing ones again.
#[derive(Clone, Debug)]
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    /// Who judges clients' certificates; `None` where none is asked for.
    clients: Option<ClientVerifier>,
}

/// Judges clients' chains.
#[derive(Clone, Debug)]
pub(crate) struct ClientVerifier {
    verifier: Arc<dyn ClientCertVerifier>,
    provider: Provider,
}

impl ClientVerifier {
    /// Trusts whom the bundle names.
    pub(crate) fn new(
        provider: &Provider,
        (bundle, roots): (&Pem, &Arc<RootCertStore>),
        optional: bool,
    ) -> Result<Self, MaterialError> {
        let builder =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.crypto.clone());
        let builder = if optional {
            builder.allow_unauthenticated()
        } else {
            builder
        };
        let verifier = builder
            .build()
            .map_err(|error| MaterialError::new(bundle, error))?;
        Ok(Self {
            verifier,
            provider: provider.clone(),
        })
    }

    /// Whether a chain, its leaf first, is good at present.
    pub(crate) fn accepts(&self, chain: &[CertificateDer<'static>]) -> bool {
        let Some((leaf, rest)) = chain.split_first() else {
            return false;
        };
        let Some(now) = self.provider.time.current_time() else {
            return false;
        };
        self.verifier.verify_client_cert(leaf, rest, now).is_ok()
    }
}

impl ServerTls {
    /// Reads the listener's certificate and key, and makes ready to verify clients against
    /// `roots`.
    pub(crate) async fn load<E: Env>(
        env: &E,
        provider: &Provider,
        tls: &ListenerTls,
        roots: Option<(&Pem, &Arc<RootCertStore>)>,
    ) -> Result<Self, MaterialError> {
        let (chain, key) = load_key_pair(env, &tls.identity).await?;
        let clients = client_verifier(provider, tls, roots)?;
        let refuse = |error: Error| MaterialError::new(&tls.identity.certificate, error);
        let builder =
            ServerConfig::builder_with_details(provider.crypto.clone(), provider.time.clone())
                .with_safe_default_protocol_versions()
                .map_err(refuse)?;
        let mut config = match &clients {
            Some(clients) => builder.with_client_cert_verifier(clients.verifier.clone()),
            None => builder.with_no_client_auth(),
        }
        .with_single_cert(chain, key)
        .map_err(refuse)?;
        config.alpn_protocols = alpn();
        if clients.is_some() {
            // A resumed session would skip the verifier, and so outlive certificate and bundle.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            config: Arc::new(config),
            clients,
        })
    }

    /// Whether a chain that was accepted before a reload is still good.
    pub(crate) fn still_accepts(&self, chain: &[CertificateDer<'static>]) -> bool {
        self.clients
            .as_ref()
            .is_some_and(|clients| clients.accepts(chain))
    }
}

fn client_verifier(
    provider: &Provider,
    tls: &ListenerTls,
    roots: Option<(&Pem, &Arc<RootCertStore>)>,
) -> Result<Option<ClientVerifier>, MaterialError> {
    let optional = match tls.client_certificate {
        ClientCertificate::None => return Ok(None),
        ClientCertificate::Optional => true,
        ClientCertificate::Required => false,
    };
    let Some((bundle, roots)) = roots else {
        return Err(MaterialError {
            source: "trust.bundle".to_owned(),
            problem: "is needed to verify clients' certificates".to_owned(),
        });
    };
    ClientVerifier::new(provider, (bundle, roots), optional).map(Some)
}

/// Sorts a failed handshake.
pub(crate) fn refusal(error: &io::Error) -> TlsRefusal {
    let Some(error) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) else {
        return TlsRefusal::Closed;
    };
    match error {
        Error::NoCertificatesPresented => TlsRefusal::NoCertificate,
        Error::InvalidCertificate(certificate) => certificate_refusal(certificate),
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => TlsRefusal::Incompatible,
        Error::AlertReceived(_) => TlsRefusal::Alert,
        _ => TlsRefusal::Protocol,
    }
}

fn certificate_refusal(error: &CertificateError) -> TlsRefusal {
    use CertificateError as C;
    match error {
        C::Expired | C::ExpiredContext { .. } => TlsRefusal::CertificateExpired,
        C::NotValidYet | C::NotValidYetContext { .. } => TlsRefusal::CertificateExpired,
        C::UnknownIssuer => TlsRefusal::UnknownIssuer,
        C::Revoked => TlsRefusal::CertificateRevoked,
        _ => TlsRefusal::BadCertificate,
    }
}
