//! TLS of the admin listener.

use std::sync::Arc;

use cellway_core::cert::PeerCertificate;
use cellway_env::Env;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Provider;
use super::handshake_error::HandshakeError;
use super::material::MaterialError;
use super::names::names_any;
use super::server::ServerTls;
use super::trust::Trust;
use crate::settings::{AdminTls, ClientCertificate, ListenerTls};

/// What the admin listener needs for new connections.
#[derive(Clone, Debug)]
pub(crate) struct AdminServer {
    config: Arc<ServerConfig>,
    clients: Arc<[Box<str>]>,
    /// The operators' CAs and their revocation lists.
    pub(crate) trust: Option<Arc<Trust>>,
}

impl AdminServer {
    /// Reads the files.
    ///
    /// # Errors
    /// The setting, and what is wrong with its file.
    pub(crate) async fn load<E: Env>(
        env: &E,
        provider: &Provider,
        settings: &AdminTls,
    ) -> Result<Self, (String, MaterialError)> {
        let trust = Trust::load(env, settings).await?;
        let tls = ListenerTls {
            identity: settings.identity.clone(),
            client_certificate: ClientCertificate::Required,
        };
        let loaded = ServerTls::load(env, provider, &tls, trust.as_ref()).await;
        let loaded = loaded.map_err(|error| ("admin.tls".to_owned(), error))?;
        Ok(Self {
            config: loaded.config,
            clients: settings.clients.as_slice().into(),
            trust,
        })
    }

    /// Does the handshake, and says whether the client is an operator. Anybody else has a
    /// certificate of the CA, but none of the names.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> Result<(TlsStream<S>, bool), HandshakeError> {
        let accepting = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream);
        let stream = accepting
            .await
            .map_err(|error| HandshakeError::from(&error))?;
        let chain = stream.get_ref().1.peer_certificates();
        let leaf = chain.and_then(|chain| PeerCertificate::from_der(chain.first()?).ok());
        let is_operator = leaf.is_some_and(|leaf| names_any(&leaf, &self.clients, false));
        Ok((stream, is_operator))
    }
}
