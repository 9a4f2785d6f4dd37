//! TLS configurations of the testbed's hosts.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::protocol::Protocol;
use super::{Credential, TestbedError};

/// Where TLS takes its cryptography, randomness and time from.
#[derive(Clone, Debug)]
pub struct TlsProvider {
    /// Cipher suites, key exchange, signatures and randomness.
    pub crypto: Arc<CryptoProvider>,
    /// The clock that certificates are checked against.
    pub time: Arc<dyn TimeProvider>,
}

/// The cryptography of aws-lc-rs and the system's clock.
impl Default for TlsProvider {
    fn default() -> Self {
        Self {
            crypto: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            time: Arc::new(DefaultTimeProvider),
        }
    }
}

impl TlsProvider {
    /// A server's configuration, which prefers HTTP/2 to HTTP/1.1. With `clients`, a connection
    /// needs a client certificate under one of those roots.
    ///
    /// Sessions aren't resumed, so each connection presents its certificates.
    ///
    /// # Errors
    /// [`TestbedError::Tls`] or [`TestbedError::Verifier`] if rustls refuses a certificate, key or root.
    pub fn server(
        &self,
        credential: &Credential,
        clients: Option<RootCertStore>,
    ) -> Result<Arc<ServerConfig>, TestbedError> {
        let builder = ServerConfig::builder_with_details(self.crypto.clone(), self.time.clone())
            .with_safe_default_protocol_versions()?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(roots) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), self.crypto.clone())
                    .build()
                    .map_err(TestbedError::Verifier)?,
            ),
        };
        let mut config =
            builder.with_single_cert(credential.chain.clone(), credential.key.der())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// A client's configuration, which offers only `protocol`.
    ///
    /// # Errors
    /// [`TestbedError::Tls`] if rustls refuses the certificate or key.
    pub fn client(
        &self,
        roots: RootCertStore,
        credential: Option<&Credential>,
        protocol: Protocol,
    ) -> Result<Arc<ClientConfig>, TestbedError> {
        let builder = ClientConfig::builder_with_details(self.crypto.clone(), self.time.clone())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match credential {
            None => builder.with_no_client_auth(),
            Some(credential) => {
                builder.with_client_auth_cert(credential.chain.clone(), credential.key.der())?
            }
        };
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// How a server serves: plain or TLS, replaceable while it runs. Connections made after
/// [`ServerTls::set`] see the new configuration.
#[derive(Clone, Debug)]
pub struct ServerTls(Arc<Mutex<Serving>>);

#[derive(Clone, Debug)]
pub(super) enum Serving {
    Http1,
    Http2,
    Tls(Arc<ServerConfig>),
}

impl ServerTls {
    /// TLS with this configuration; ALPN picks the protocol.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self::serving(Serving::Tls(config))
    }

    /// Plain HTTP/1.1.
    pub fn plain() -> Self {
        Self::serving(Serving::Http1)
    }

    /// Plain HTTP/2 with prior knowledge (`h2c`).
    pub fn plain_h2() -> Self {
        Self::serving(Serving::Http2)
    }

    /// Rotates the certificate, or the roots that clients are verified against.
    pub fn set(&self, config: Arc<ServerConfig>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Serving::Tls(config);
    }

    pub(super) fn get(&self) -> Serving {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn serving(serving: Serving) -> Self {
        Self(Arc::new(Mutex::new(serving)))
    }
}
