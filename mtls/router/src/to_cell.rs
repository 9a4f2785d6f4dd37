//! Reaches an endpoint of a cell: TCP, then TLS if its URL says so. The pools and the health checks
//! both connect with this, so that a check meets what a request would meet.

use std::future::Future;
use std::io;
use std::sync::Arc;

use cellway_core::Reason;
use cellway_core::registry::{Endpoint, Scheme};
use cellway_env::{Env, handshake_failure};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::settings::CellTimeouts;
use crate::tls::CellTls;
use crate::wire::Wire;

/// Which versions of HTTP a new connection may speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Versions {
    /// The one that the endpoint prefers.
    Any,
    /// Only HTTP/1.1, for a request to switch protocols that HTTP/2 can't carry.
    Http1,
}

/// Why an endpoint couldn't be reached.
#[derive(Clone, Debug)]
pub(crate) struct NotReached {
    pub(crate) reason: Reason,
    pub(crate) error: String,
}

impl NotReached {
    fn new(reason: Reason, error: impl ToString) -> Self {
        Self {
            reason,
            error: error.to_string(),
        }
    }
}

/// Connects to an endpoint. If it is `https`, its certificate is checked, chain and SAN.
///
/// # Errors
/// No connection could be made, the handshake failed, or one of them took too long.
pub(crate) async fn reach<E: Env>(
    env: &E,
    endpoint: &Endpoint,
    tls: Option<&CellTls>,
    timeouts: &CellTimeouts,
    versions: Versions,
) -> Result<Wire<E::Stream>, NotReached> {
    let connecting = env.connect(endpoint.url.host(), endpoint.url.port());
    let stream = match timeout(timeouts.connect, connecting).await {
        Err(_) => {
            return Err(NotReached::new(
                Reason::CellTimeoutConnect,
                "connecting took too long",
            ));
        }
        Ok(Err(error)) => return Err(NotReached::new(Reason::CellUnreachable, error)),
        Ok(Ok(stream)) => stream,
    };
    match endpoint.url.scheme() {
        Scheme::Http | Scheme::H2c => Ok(Wire::Plain(stream)),
        Scheme::Https => secure(endpoint, tls, timeouts, versions, stream).await,
    }
}

/// Whether the endpoint speaks HTTP/2 on this connection: by prior knowledge, or by ALPN.
pub(crate) fn speaks_http2<S>(endpoint: &Endpoint, wire: &Wire<S>) -> bool {
    match endpoint.url.scheme() {
        Scheme::Http => false,
        Scheme::H2c => true,
        Scheme::Https => wire.alpn() == Some(b"h2"),
    }
}

async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    endpoint: &Endpoint,
    tls: Option<&CellTls>,
    timeouts: &CellTimeouts,
    versions: Versions,
    stream: S,
) -> Result<Wire<S>, NotReached> {
    let untrusted =
        |error: &dyn ToString| NotReached::new(Reason::CellUntrusted, error.to_string());
    let Some(tls) = tls else {
        return Err(untrusted(
            &"upstream.bundle is not set, so no cell's certificate is trusted",
        ));
    };
    let (mut config, name) = tls.endpoint(endpoint).map_err(|error| untrusted(&error))?;
    if versions == Versions::Http1 {
        Arc::make_mut(&mut config).alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    let shaking = TlsConnector::from(config).connect(name, stream);
    match timeout(timeouts.tls, shaking).await {
        Ok(Ok(stream)) => Ok(Wire::Tls(Box::new(TlsStream::Client(stream)))),
        Ok(Err(error)) => Err(NotReached::new(
            tls_reason(&error),
            handshake_failure(&error),
        )),
        Err(_) => Err(NotReached::new(
            Reason::CellTimeoutTls,
            "the TLS handshake took too long",
        )),
    }
}

/// Tells a bad certificate from a connection that breaks during the handshake.
fn tls_reason(error: &io::Error) -> Reason {
    let tls = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => Reason::CellUntrusted,
        Some(_) | None => Reason::CellUnreachable,
    }
}

/// Runs hyper's tasks through the environment.
#[derive(Clone, Debug)]
pub(crate) struct Spawner<E>(pub(crate) E);

impl<E, F> hyper::rt::Executor<F> for Spawner<E>
where
    E: Env,
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
