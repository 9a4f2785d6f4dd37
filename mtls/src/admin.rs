//! Health and metrics, for those who run the router: `/healthz`, `/readyz`, `/metrics`; and the public
//! keys of envelopes, for services of the same machine.
//!
//! The listener authenticates nobody, so it binds loopback only. It has few connections and short
//! times, so that whoever reaches it can't hold the router's memory.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::env::{Env, Listener};
use crate::envelope::{self, Page};
use crate::event::Sink;
use crate::metrics::{self, Metrics};
use crate::opening::BindError;
use crate::ready::{ReadyLatch, Status};
use crate::router::Handle;

/// Most connections at a time; more wait in the kernel.
const CONNECTIONS_MAX: usize = 32;
/// How long one connection may last, whatever it does.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait after a failure to accept, for want of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The admin listener, bound and not yet serving.
#[derive(Debug)]
pub struct Admin<E: Env> {
    env: E,
    listener: E::Listener,
    address: SocketAddr,
}

impl<E: Env> Admin<E> {
    /// Binds a loopback address.
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
        let listener = env.bind(address, false).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self {
            env,
            listener,
            address,
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
            latch: ReadyLatch::default(),
        });
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let permit = Arc::clone(&permits).acquire_owned().await;
            let Ok((stream, _peer)) = self.listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
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
                    .serve_connection(TokioIo::new(stream), service);
                // Whether it ended well is the other side's concern.
                let _ = timeout(CONNECTION_TIMEOUT, connection).await;
                drop(permit);
            });
        }
    }
}

struct Pages<E: Env, S> {
    router: Handle<E, S>,
    metrics: Metrics,
    latch: ReadyLatch,
}

impl<E: Env, S: Sink> Pages<E, S> {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if envelope::is_asked(request.uri()) {
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
                page(StatusCode::OK, PROMETHEUS, text)
            }
            _ => {
                let text = "There is /healthz, /readyz and /metrics.\n";
                page(StatusCode::NOT_FOUND, TEXT, text.to_owned())
            }
        }
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        let (snapshot, now) = (self.router.shared().snapshot(), self.router.clock().now());
        let ready = self.latch.check(&snapshot, now.mono);
        let status = Status::new(&snapshot, now, ready, self.router.is_draining())
            .with_open(self.router.is_open())
            .with_listeners(&snapshot.policy, &self.router.listeners())
            .with_revocation_lists(now.unix, &self.router.revocation_lists())
            .with_envelope(self.router.envelope());
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
    }
}
