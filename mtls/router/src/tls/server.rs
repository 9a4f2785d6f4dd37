//! TLS to clients.

use std::sync::Arc;

use cellway_core::Unix;
use cellway_core::cert::{PeerCertificate, Signer};
use cellway_env::Env;
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use rustls::{Error, ServerConfig};

use super::chain::ChainVerifier;
use super::material::{MaterialError, load_key_pair, pair_refused};
use super::roots::ChainRefused;
use super::{Provider, Trust, server_alpn};
use crate::settings::{ClientCertificate, ListenerTls};

/// What a listener needs for TLS on new connections, and to verify clients of open ones again.
#[derive(Clone, Debug)]
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    /// Verifies clients' certificates. `None` if the listener doesn't ask for one.
    pub(crate) clients: Option<ClientVerifier>,
}

/// Verifies clients' chains.
#[derive(Clone, Debug)]
pub(crate) struct ClientVerifier {
    verifier: Arc<ChainVerifier>,
    time: Arc<dyn TimeProvider>,
}

impl ClientVerifier {
    /// Creates a verifier that trusts the bundles' CAs and checks the revocation lists.
    pub(crate) fn new(provider: &Provider, trust: &Arc<Trust>, optional: bool) -> Self {
        Self {
            verifier: Arc::new(ChainVerifier::new(trust, provider, optional)),
            time: provider.time.clone(),
        }
    }

    /// Verifies a chain now, and returns when the first certificate in it expires. The leaf comes
    /// first.
    ///
    /// # Errors
    /// Why the chain is refused.
    pub(crate) fn verify_chain(
        &self,
        chain: &[CertificateDer<'static>],
    ) -> Result<Unix, ChainRefused> {
        let (Some((leaf, rest)), Some(now)) = (chain.split_first(), self.time.current_time())
        else {
            return Err(ChainRefused::Untrusted);
        };
        self.verifier.verify(leaf, rest, now)
    }

    /// Returns when the first certificate in a chain expires, after the handshake verified it. It
    /// verifies the chain again only if a CA might expire before the leaf.
    pub(crate) fn ends(
        &self,
        peer: &PeerCertificate,
        chain: &[CertificateDer<'static>],
    ) -> Result<Unix, ChainRefused> {
        let leafs = peer.not_after();
        let outlives = |der: &CertificateDer<'_>| {
            Signer::from_der(der).is_ok_and(|signer| leafs <= signer.not_after())
        };
        let root = self.verifier.trust.first_root_end(peer);
        let above = chain.get(1..).unwrap_or_default();
        if root.is_some_and(|root| leafs <= root) && above.iter().all(outlives) {
            return Ok(leafs);
        }
        self.verify_chain(chain)
    }

    /// When the next revocation list becomes stale after `now`.
    pub(crate) fn next_staling(&self, now: Unix) -> Option<Unix> {
        self.verifier.trust.next_staling(now)
    }
}

impl ServerTls {
    /// Reads the listener's certificate and key, and prepares to verify clients against `trust`.
    pub(crate) async fn load<E: Env>(
        env: &E,
        provider: &Provider,
        tls: &ListenerTls,
        trust: Option<&Arc<Trust>>,
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
        .map_err(|error| pair_refused(&tls.identity, &error))?;
        config.alpn_protocols = server_alpn();
        if clients.is_some() {
            // A resumed session would skip the verifier, so it could outlive certificate and
            // bundle.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            config: Arc::new(config),
            clients,
        })
    }

    /// Verifies again a chain that was accepted before, and returns when the first certificate in
    /// it expires.
    ///
    /// # Errors
    /// Why the chain is refused.
    pub(crate) fn verify_chain(
        &self,
        chain: &[CertificateDer<'static>],
    ) -> Result<Unix, ChainRefused> {
        let clients = self.clients.as_ref();
        clients
            .ok_or(ChainRefused::Untrusted)
            .and_then(|clients| clients.verify_chain(chain))
    }
}

fn client_verifier(
    provider: &Provider,
    tls: &ListenerTls,
    trust: Option<&Arc<Trust>>,
) -> Result<Option<ClientVerifier>, MaterialError> {
    let optional = match tls.client_certificate {
        ClientCertificate::None => return Ok(None),
        ClientCertificate::Optional => true,
        ClientCertificate::Required => false,
    };
    let Some(trust) = trust else {
        return Err(MaterialError {
            source: "trust.bundle".to_owned(),
            problem: "is not set, and the listener asks clients for certificates".to_owned(),
        });
    };
    Ok(Some(ClientVerifier::new(provider, trust, optional)))
}
