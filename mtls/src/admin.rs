//! Health and metrics for operators: `/healthz`, `/readyz`, `/metrics`.
//!
//! There may be two listeners. The admin listener serves all pages, and also the public keys of
//! envelopes for services on the same machine. It binds loopback only, because it authenticates
//! nobody. The health listener serves only the three pages and binds any address, because a kubelet
//! and a Prometheus connect from other addresses. Both have few connections and short timeouts, so
//! that no client can use up the router's memory and no single address can take all connections.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::env::{Env, Listener};
use crate::envelope::{self, Page};
use crate::event::Sink;
use crate::live::private;
use crate::metrics::{self, Metrics};
use crate::opening::BindError;
use crate::router::Handle;

/// Most connections at a time; more wait in the kernel.
const CONNECTIONS_MAX: usize = 32;
/// Most connections from one address at a time; more are closed at once.
const CONNECTIONS_PER_PEER_MAX: usize = 8;
/// How long a request's header may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one connection may last, whatever it does.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait after a failure to accept, for want of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who can reach a listener, and so what it shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Audience {
    /// Clients on this machine.
    Machine,
    /// Any client.
    Everybody,
}

/// The admin or the health listener, bound and not yet serving.
#[derive(Debug)]
pub struct Admin<E: Env> {
    env: E,
    listener: E::Listener,
    address: SocketAddr,
    audience: Audience,
}

impl<E: Env> Admin<E> {
    /// Binds a loopback address, for all pages.
    ///
    /// # Errors
    /// `InvalidInput` for another address; otherwise what the system said.
    pub async fn bind(env: E, address: SocketAddr) -> Result<Self, BindError> {
        let refused = |error: io::Error| BindError::new(address, &error);
        if !address.ip().is_loopback() {
            let problem = "the admin listener binds loopback addresses only";
            return Err(refused(io::Error::new(
                io::ErrorKind::InvalidInput,
                problem,
            )));
        }
        Self::bind_for(env, address, Audience::Machine).await
    }

    /// Binds any address, for the pages of the health listener.
    ///
    /// # Errors
    /// What the system said.
    pub async fn bind_health(env: E, address: SocketAddr) -> Result<Self, BindError> {
        Self::bind_for(env, address, Audience::Everybody).await
    }

    async fn bind_for(env: E, address: SocketAddr, audience: Audience) -> Result<Self, BindError> {
        let refused = |error: io::Error| BindError::new(address, &error);
        let listener = env.bind(address, false).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self {
            env,
            listener,
            address,
            audience,
        })
    }

    /// The address it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves without end.
    pub async fn serve<S: Sink>(mut self, router: Handle<E, S>, metrics: Metrics) -> Infallible {
        let pages = Arc::new(Pages {
            router,
            metrics,
            audience: self.audience,
        });
        let peers = Arc::new(Peers::default());
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let permit = Arc::clone(&permits).acquire_owned().await;
            let Ok((stream, peer)) = self.listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Some(place) = Peers::place(&peers, peer.ip()) else {
                continue;
            };
            let pages = Arc::clone(&pages);
            self.env.spawn(async move {
                let service = service_fn(|request| {
                    let answer = pages.answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection = http1::Builder::new()
                    .auto_date_header(false)
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                // Whether it ended well is the other side's concern.
                let _ = timeout(CONNECTION_TIMEOUT, connection).await;
                drop((place, permit));
            });
        }
    }
}

struct Pages<E: Env, S> {
    router: Handle<E, S>,
    metrics: Metrics,
    audience: Audience,
}

/// The number of connections from each address.
#[derive(Debug, Default)]
struct Peers(Mutex<BTreeMap<IpAddr, usize>>);

/// One connection of an address.
struct Place {
    peers: Arc<Peers>,
    peer: IpAddr,
}

impl Peers {
    /// `None` if the address is at its limit.
    fn place(peers: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut counts = private(&peers.0);
        let count = counts.entry(peer).or_default();
        if *count >= CONNECTIONS_PER_PEER_MAX {
            return None;
        }
        *count += 1;
        let peers = Arc::clone(peers);
        Some(Place { peers, peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = private(&self.peers.0);
        match counts.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.peer)),
        }
    }
}

impl<E: Env, S: Sink> Pages<E, S> {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if self.audience == Audience::Machine && envelope::is_asked(request.uri()) {
            let Page {
                status,
                headers,
                body,
            } = self
                .router
                .envelope_keys(request.method(), request.headers());
            let mut page = Response::new(Full::new(body));
            (*page.status_mut(), *page.headers_mut()) = (status, headers);
            return page;
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD\n".into());
            let allowed = HeaderValue::from_static("GET, HEAD");
            refused.headers_mut().insert(ALLOW, allowed);
            return refused;
        }
        match request.uri().path() {
            "/healthz" => page(StatusCode::OK, TEXT, "ok\n".into()),
            "/readyz" => self.readyz(),
            "/metrics" => {
                let snapshot = self.router.shared().snapshot();
                let (now, loads) = (self.router.clock().mono(), self.router.cell_loads());
                let mut text = self.metrics.render(&snapshot, now, &loads);
                let lists = self.router.revocation_lists();
                text += &metrics::ages(&snapshot, self.router.clock().now().unix, &lists);
                text += &metrics::ends(&self.router.certificates());
                page(StatusCode::OK, PROMETHEUS, text)
            }
            _ => {
                let text = "There is /healthz, /readyz and /metrics.\n";
                page(StatusCode::NOT_FOUND, TEXT, text.to_owned())
            }
        }
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        let status = self.router.status();
        let code = match status.is_ready() {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        let json = serde_json::to_string(&status).unwrap_or_default();
        page(code, "application/json", json + "\n")
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut page = Response::new(Full::new(Bytes::from(text)));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[tokio::test]
    async fn binds_loopback_only() {
        let bind = |address: &str| Admin::bind(Host::new(), address.parse().unwrap());
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let error = bind(address).await.err().expect(address);
            assert_eq!(error.kind, io::ErrorKind::InvalidInput, "{address}");
        }
        assert!(bind("127.0.0.1:0").await.is_ok());
        let everywhere = "0.0.0.0:0".parse().unwrap();
        assert!(Admin::bind_health(Host::new(), everywhere).await.is_ok());
    }

    #[test]
    fn no_address_takes_all_connections() {
        let peers = Arc::new(Peers::default());
        let [one, other] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        let place = |peer| Peers::place(&peers, peer);
        let mut taken: Vec<_> = (0..CONNECTIONS_PER_PEER_MAX).map(|_| place(one)).collect();
        assert!(taken.iter().all(Option::is_some) && place(one).is_none());
        assert!(place(other).is_some());
        taken.pop();
        assert!(place(one).is_some(), "a place is given back");
        taken.clear();
        assert!(private(&peers.0).is_empty(), "nobody is remembered");
    }
}
