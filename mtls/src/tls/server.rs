//! Towards clients.

use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error, ServerConfig};

use super::material::{MaterialError, load_key_pair};
use super::{Provider, Trust, alpn};
use crate::env::Env;
use crate::event::TlsRefusal;
use crate::settings::{ClientCertificate, ListenerTls};

/// What a listener needs for new connections, and to look at its standing ones again.
#[derive(Clone, Debug)]
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    /// Who judges clients' certificates; `None` where none is asked for.
    clients: Option<ClientVerifier>,
}

/// Why a chain is not good, or no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChainRefused {
    /// A certificate of it is past its end, or before its start.
    Expired,
    /// A certificate of it is revoked.
    Revoked,
    /// No revocation list that is still fresh says whether it holds.
    RevocationUnknown,
    /// Nobody in the bundle stands behind it, or it is bad in another way.
    Untrusted,
}

impl From<&CertificateError> for ChainRefused {
    fn from(error: &CertificateError) -> Self {
        use CertificateError as C;
        match error {
            C::Expired | C::ExpiredContext { .. } => Self::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => Self::Expired,
            C::Revoked => Self::Revoked,
            C::UnknownRevocationStatus
            | C::ExpiredRevocationList
            | C::ExpiredRevocationListContext { .. } => Self::RevocationUnknown,
            _ => Self::Untrusted,
        }
    }
}

/// Judges clients' chains.
#[derive(Clone, Debug)]
pub(crate) struct ClientVerifier {
    verifier: Arc<dyn ClientCertVerifier>,
    provider: Provider,
}

impl ClientVerifier {
    /// Trusts whom the bundle names and no list revokes.
    pub(crate) fn new(
        provider: &Provider,
        trust: &Trust,
        optional: bool,
    ) -> Result<Self, MaterialError> {
        Ok(Self {
            verifier: trust.verifier(provider, optional)?,
            provider: provider.clone(),
        })
    }

    /// Whether a chain, its leaf first, is good at present.
    ///
    /// # Errors
    /// Why it isn't.
    pub(crate) fn judge(&self, chain: &[CertificateDer<'static>]) -> Result<(), ChainRefused> {
        let now = self.provider.time.current_time();
        let (Some((leaf, rest)), Some(now)) = (chain.split_first(), now) else {
            return Err(ChainRefused::Untrusted);
        };
        match self.verifier.verify_client_cert(leaf, rest, now) {
            Ok(_) => Ok(()),
            Err(Error::InvalidCertificate(error)) => Err((&error).into()),
            Err(Error::InvalidCertRevocationList(_)) => Err(ChainRefused::RevocationUnknown),
            Err(_) => Err(ChainRefused::Untrusted),
        }
    }
}

impl ServerTls {
    /// Reads the listener's certificate and key, and makes ready to verify clients against
    /// `trust`.
    pub(crate) async fn load<E: Env>(
        env: &E,
        provider: &Provider,
        tls: &ListenerTls,
        trust: Option<&Trust>,
    ) -> Result<Self, MaterialError> {
        let (chain, key) = load_key_pair(env, &tls.identity).await?;
        let clients = client_verifier(provider, tls, trust)?;
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

    /// Whether a chain that was accepted before is still good.
    ///
    /// # Errors
    /// Why it isn't.
    pub(crate) fn judge(&self, chain: &[CertificateDer<'static>]) -> Result<(), ChainRefused> {
        let clients = self.clients.as_ref();
        clients
            .ok_or(ChainRefused::Untrusted)
            .and_then(|clients| clients.judge(chain))
    }
}

fn client_verifier(
    provider: &Provider,
    tls: &ListenerTls,
    trust: Option<&Trust>,
) -> Result<Option<ClientVerifier>, MaterialError> {
    let optional = match tls.client_certificate {
        ClientCertificate::None => return Ok(None),
        ClientCertificate::Optional => true,
        ClientCertificate::Required => false,
    };
    let Some(trust) = trust else {
        return Err(MaterialError {
            source: "trust.bundle".to_owned(),
            problem: "is needed to verify clients' certificates".to_owned(),
        });
    };
    ClientVerifier::new(provider, trust, optional).map(Some)
}

/// Sorts a failed handshake.
pub(crate) fn refusal(error: &io::Error) -> TlsRefusal {
    let Some(error) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) else {
        return TlsRefusal::Closed;
    };
    match error {
        Error::NoCertificatesPresented => TlsRefusal::NoCertificate,
        Error::InvalidCertificate(certificate) => certificate_refusal(certificate),
        // A list that isn't signed by the issuer whose name it bears.
        Error::InvalidCertRevocationList(_) => TlsRefusal::RevocationUnknown,
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => TlsRefusal::Incompatible,
        Error::AlertReceived(_) => TlsRefusal::Alert,
        _ => TlsRefusal::Protocol,
    }
}

fn certificate_refusal(error: &CertificateError) -> TlsRefusal {
    match ChainRefused::from(error) {
        ChainRefused::Expired => TlsRefusal::CertificateExpired,
        ChainRefused::Revoked => TlsRefusal::CertificateRevoked,
        ChainRefused::RevocationUnknown => TlsRefusal::RevocationUnknown,
        ChainRefused::Untrusted if *error == CertificateError::UnknownIssuer => {
            TlsRefusal::UnknownIssuer
        }
        ChainRefused::Untrusted => TlsRefusal::BadCertificate,
    }
}
