//! The router's own pages: health and metrics, what is in force, a status page for a browser, and
//! gRPC's health service (`health_service`).
//!
//! There may be two listeners. The admin listener serves all pages, and also the public keys of
//! envelopes. Without `[admin.tls]` it binds loopback only, because it authenticates nobody. With it,
//! only operators with a certificate get a page. The health listener serves only `/healthz`,
//! `/readyz`, `/metrics` and gRPC's health service, and binds any address, because a kubelet and a
//! Prometheus connect from other addresses. Both have few connections, one page at a time on each, and
//! short timeouts, so that no client can use up the router's memory and no few addresses can take all
//! connections ([`shares`](crate::shares)).

mod local;
mod query;
mod serving;
mod status;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_core::envelope::JWKS_PATH;
use cellway_env::{Claim, Env, Listener};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use self::local::is_for_this_machine;
use self::query::Query;
use crate::envelope::{self, Page};
use crate::error::BindError;
use crate::health_service::Readiness;
use crate::observe::debug::{AskedCells, EndpointsPage, Facts, SnapshotPage};
use crate::observe::event::Event;
use crate::observe::metrics::Metrics;
use crate::observe::ready::Status;
use crate::settings::RouterSettings;
use crate::shares::{Bound, Holder, Holders, Share, Stake};
use crate::tls::AdminServer;

/// The most connections at a time. More wait in the kernel.
const CONNECTIONS_MAX: usize = 32;
/// The most of them that one address may have while no other has any, in percent. An address may
/// have less when fewer are free. A connection over the share is closed at once.
const ADDRESS_SHARE: u8 = 25;
/// How many reasons the status page shows.
const REASONS_MAX: usize = 10;
/// How long a request's header may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one connection may last after its first bytes, whatever it does. Over HTTP/2, what is
/// left of its streams then gets a little more.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait after a failure to accept, for example because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const LOOPBACK_ONLY: &str = "without [admin.tls] the admin listener binds loopback addresses only";

/// Who gets the pages of a listener. This decides which ones it serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Clients on this machine get all pages.
    Machine,
    /// Clients whose certificate has a name in
    /// [`AdminTls::clients`](crate::settings::AdminTls::clients) get all pages.
    Operators,
    /// Any client gets the pages of the health listener.
    Everybody,
}

impl Audience {
    /// The audience of the admin listener.
    pub fn of_admin(settings: &RouterSettings) -> Self {
        match settings.admin_tls {
            None => Self::Machine,
            Some(_) => Self::Operators,
        }
    }

    fn may_bind(self, address: SocketAddr) -> io::Result<()> {
        match self {
            Self::Machine if !address.ip().is_loopback() => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, LOOPBACK_ONLY))
            }
            Self::Machine | Self::Operators | Self::Everybody => Ok(()),
        }
    }

    fn sees_everything(self) -> bool {
        match self {
            Self::Machine | Self::Operators => true,
            Self::Everybody => false,
        }
    }
}

/// The admin or the health listener: bound, but not serving yet.
#[derive(Debug)]
pub struct Admin<E: Env> {
    env: E,
    listener: E::Listener,
    address: SocketAddr,
    audience: Audience,
}

impl<E: Env> Admin<E> {
    /// Binds an address.
    ///
    /// # Errors
    /// `InvalidInput` if the audience is this machine and the address isn't loopback; otherwise the
    /// system's error.
    pub async fn bind(env: E, address: SocketAddr, audience: Audience) -> Result<Self, BindError> {
        let refused = |error: io::Error| BindError::new(address, &error);
        audience.may_bind(address).map_err(refused)?;
        let listener = env.bind(address, false).await.map_err(refused)?;
        Self::on(env, listener, audience).map_err(refused)
    }

    /// Takes a socket of another process, instead of [`bind`](Self::bind).
    ///
    /// # Errors
    /// As [`bind`](Self::bind), or the socket doesn't listen.
    pub async fn adopt(env: E, socket: OwnedFd, audience: Audience) -> io::Result<Self> {
        let listener = env.adopt(socket)?.listen().await?;
        audience.may_bind(listener.local_addr()?)?;
        Self::on(env, listener, audience)
    }

    fn on(env: E, listener: E::Listener, audience: Audience) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self {
            env,
            listener,
            address,
            audience,
        })
    }

    /// A copy of the socket, to pass it to another process.
    ///
    /// # Errors
    /// The process has too many open files.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.listener.duplicate()
    }

    /// The address it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves without end.
    pub(crate) async fn serve_pages<R: Overview>(
        mut self,
        router: R,
        metrics: Metrics,
    ) -> Infallible {
        let pages = Arc::new(Pages {
            router,
            metrics,
            audience: self.audience,
        });
        let places = Arc::new(Places::new(&self.env));
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let permit = Arc::clone(&permits).acquire_owned().await;
            let Ok((stream, peer)) = self.listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Some(place) = places.take(peer.ip()) else {
                continue;
            };
            let (env, pages) = (self.env.clone(), Arc::clone(&pages));
            self.env.spawn(async move {
                serving::serve(env, (stream, peer), pages).await;
                drop((place, permit));
            });
        }
    }
}

/// What the pages show of a router.
pub(crate) trait Overview: Send + Sync + 'static {
    /// The status for `/readyz`.
    fn status(&self) -> Status;
    /// What the gRPC health service says.
    fn readiness(&self) -> Arc<dyn Readiness>;
    /// The text for `/metrics`, with these counters in it.
    fn metrics(&self, metrics: &Metrics) -> String;
    /// What is in force, for the status page.
    fn facts(&self) -> Facts;
    /// The page for `/debug/snapshot`, with what the registry says about a tenant.
    fn snapshot(&self, tenant: Option<&str>) -> SnapshotPage;
    /// The page for `/debug/endpoints`. `None` if the control task doesn't answer.
    fn endpoints(&self, asked: &AskedCells) -> impl Future<Output = Option<EndpointsPage>> + Send;
    /// TLS for operators. `None` without `[admin.tls]`.
    fn admin_server(&self) -> Option<AdminServer>;
    /// Emits an event.
    fn tell(&self, event: &Event<'_>);
    /// The page of envelopes' public keys, as every listener answers it.
    fn envelope_keys(&self, method: &Method, headers: &HeaderMap) -> Page;
}

struct Pages<R> {
    router: R,
    metrics: Metrics,
    audience: Audience,
}

/// The connections of one listener. Each address has a share of them.
#[derive(Debug, Default)]
struct Places {
    bound: Bound,
    holders: Holders,
}

/// One connection of an address.
struct Place {
    places: Arc<Places>,
    holder: Holder,
}

impl Places {
    /// Creates the table with a random hash key, so that nobody outside can predict collisions.
    fn new<E: Env>(env: &E) -> Self {
        let mut seed = [0; 8];
        env.fill(&mut seed);
        let places = Self::default();
        places.holders.key(u64::from_le_bytes(seed));
        places
    }

    /// Takes a place. `None` if the address has used up its share.
    fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let holder = self.holders.address(Share::Address, peer);
        let stake = Stake::new(Share::Address, holder, ADDRESS_SHARE);
        self.bound.take(CONNECTIONS_MAX, &[stake]).ok()?;
        let places = Arc::clone(self);
        Some(Place { places, holder })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.bound.give_back([self.holder]);
    }
}

impl<R: Overview> Pages<R> {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Bytes> {
        if self.audience == Audience::Machine && !is_for_this_machine(request) {
            return page(StatusCode::MISDIRECTED_REQUEST, TEXT, OTHER_HOST.into());
        }
        let sees_everything = self.audience.sees_everything();
        if sees_everything && envelope::is_asked(request.uri()) {
            let Page {
                status,
                headers,
                body,
            } = self
                .router
                .envelope_keys(request.method(), request.headers());
            let mut page = Response::new(body);
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
                let text = self.router.metrics(&self.metrics);
                page(StatusCode::OK, PROMETHEUS, text)
            }
            "/" if sees_everything => self.status(request.uri().query()).await,
            "/debug/snapshot" if sees_everything => self.snapshot(request.uri().query()),
            "/debug/endpoints" if sees_everything => self.endpoints(request.uri().query()).await,
            _ => {
                let text = match sees_everything {
                    true => format!(
                        "There is /, /healthz, /readyz, /metrics, /debug/snapshot, /debug/endpoints and \
                         {JWKS_PATH}.\n"
                    ),
                    false => "There is /healthz, /readyz and /metrics.\n".to_owned(),
                };
                page(StatusCode::NOT_FOUND, TEXT, text)
            }
        }
    }

    fn snapshot(&self, query: Option<&str>) -> Response<Bytes> {
        match Query::read(query, &["tenant"]) {
            Ok(Query { value, .. }) => {
                json(StatusCode::OK, &self.router.snapshot(value.as_deref()))
            }
            Err(problem) => bad_request(&problem),
        }
    }

    async fn status(&self, query: Option<&str>) -> Response<Bytes> {
        let asked = match asked_cells(query) {
            Ok(asked) => asked,
            Err(problem) => return bad_request(&problem),
        };
        let seen = status::Seen {
            status: self.router.status(),
            facts: self.router.facts(),
            endpoints: self.router.endpoints(&asked).await,
            reasons: self.metrics.top_reasons(REASONS_MAX),
        };
        let mut page = page(StatusCode::OK, "text/html; charset=utf-8", seen.render());
        let headers = page.headers_mut();
        let policy = HeaderValue::try_from(status::content_security_policy());
        headers.extend(policy.map(|policy| (CONTENT_SECURITY_POLICY, policy)));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        page
    }

    async fn endpoints(&self, query: Option<&str>) -> Response<Bytes> {
        let asked = match asked_cells(query) {
            Ok(asked) => asked,
            Err(problem) => return bad_request(&problem),
        };
        let shown = self.router.endpoints(&asked).await;
        match (shown, asked) {
            (Some(page), AskedCells::Only(id)) if page.cells.is_empty() => {
                no_such_cell(&id, page.registry_version.is_some())
            }
            (Some(page), _) => json(StatusCode::OK, &page),
            (None, _) => page(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "the control task doesn't answer\n".into(),
            ),
        }
    }

    fn readyz(&self) -> Response<Bytes> {
        let status = self.router.status();
        let code = match status.is_ready() {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        json(code, &status)
    }
}

/// Which cells a page's query asks for.
fn asked_cells(query: Option<&str>) -> Result<AskedCells, String> {
    Ok(match Query::read(query, &["cell", "after"])? {
        Query {
            name: "cell",
            value: Some(id),
        } => AskedCells::Only(id),
        Query {
            value: Some(id), ..
        } => AskedCells::After(id),
        Query { value: None, .. } => AskedCells::All,
    })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Bytes> {
    let json = serde_json::to_string(value).unwrap_or_default();
    page(status, "application/json", json + "\n")
}

/// In the page's own form, for a program that asks about one cell after the other.
fn no_such_cell(id: &str, has_registry: bool) -> Response<Bytes> {
    let error = match has_registry {
        true => format!("no cell of the registry in force is called {id:?}"),
        false => "no registry is loaded yet, so there are no cells".to_owned(),
    };
    json(
        StatusCode::NOT_FOUND,
        &serde_json::json!({ "error": error }),
    )
}

fn bad_request(problem: &str) -> Response<Bytes> {
    page(StatusCode::BAD_REQUEST, TEXT, format!("{problem}\n"))
}

const NOT_AN_OPERATOR: &str =
    "your client certificate has none of the names in admin.tls.clients\n";
const OTHER_HOST: &str =
    "without [admin.tls] ask for localhost or a loopback address, not for another host\n";
const TEXT: &str = "text/plain; charset=utf-8";
/// Fetch, section 3.7.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Bytes> {
    let mut page = Response::new(Bytes::from(text));
    *page.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A page of another site must not get at it with the certificate of an operator's browser.
        (RESOURCE_POLICY, "same-origin"),
    ] {
        page.headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    page
}

#[cfg(test)]
mod tests;
