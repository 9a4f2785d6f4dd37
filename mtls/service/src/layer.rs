//! The verifier as a layer around a Rust service: axum, tonic, hyper or whatever speaks tower.
//!
//! Put it outermost. An envelope is bound to the path as it came, and a layer that rewrites it
//! first (axum's `nest` for example) takes that away.
//!
//! ```
//! # use std::convert::Infallible;
//! # use std::sync::Arc;
//! use cellway_service::{EnvelopeLayer, NoKeys};
//! use cellway_core::envelope::{HmacKey, Verdict, Verifier, VerifierSpec};
//! use http::{Request, Response};
//! use tower_layer::Layer;
//!
//! # fn service<F>(f: F) -> F { f }
//! // A service that shares a key with the router, and so fetches none.
//! let verifier = Verifier::new(VerifierSpec {
//!     jws: false,
//!     hmac: vec![HmacKey::new("eu-1-a", "eu-1", b"a secret of at least thirty-two bytes")?],
//!     ..VerifierSpec::new("eu-1")
//! })?;
//! # let clock = || cellway_core::Unix::from_secs(0);
//! let layer = EnvelopeLayer::new(verifier, NoKeys, clock);
//!
//! async fn orders(request: Request<String>) -> Result<Response<String>, Infallible> {
//!     // Set by the layer. In the mode `gateway_enforced` it is always `Verified`.
//!     let tenant = match request.extensions().get::<Verdict>() {
//!         Some(Verdict::Verified(caller)) => caller.tenant.clone(),
//!         Some(Verdict::Local(_)) | None => None,
//!     };
//!     Ok(Response::new(format!("orders of {tenant:?}")))
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use cellway_core::Unix;
use cellway_core::headers::{HeaderRules, remove_reserved};
use cellway_core::keys::KeySet;

use cellway_core::envelope::{EnvelopeRefused, Verdict, Verifier, target};

/// Where a layer has the router's published keys from.
pub trait KeyProvider: Clone + Send + Sync + 'static {
    /// What was fetched last, unless it is too old to serve.
    fn keys(&self) -> Option<Arc<KeySet>>;

    /// Asks for newer keys, because none of those there has this id, and waits for them: until
    /// they came, or can't come in time. Must be bounded, and must not fetch as often as it is
    /// asked: whoever reaches the service can make up ids.
    fn newer(&self, kid: &str) -> impl Future<Output = ()> + Send;
}

/// No keys: for services that share one with the router.
#[derive(Clone, Copy, Debug)]
pub struct NoKeys;

impl KeyProvider for NoKeys {
    fn keys(&self) -> Option<Arc<KeySet>> {
        None
    }

    fn newer(&self, _: &str) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// Keys that never change: for tests.
impl KeyProvider for Arc<KeySet> {
    fn keys(&self) -> Option<Arc<KeySet>> {
        Some(self.clone())
    }

    fn newer(&self, _: &str) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// Lets requests through to a service as its [`Verifier`] says, each with its [`Verdict`] as an
/// extension.
///
/// A request that isn't let through is answered 403 (there is nothing that a client could be asked
/// for), or 503 while there are no keys, with an empty body and the name of the reason in the
/// router's `reason` header. Envelopes are taken out of the requests that are; so are, where
/// nothing was proved, all other headers under the router's prefix: what nobody has proved shall
/// not be read by accident.
#[derive(Clone, Debug)]
pub struct EnvelopeLayer<K, C> {
    shared: Arc<Shared<K, C>>,
}

#[derive(Debug)]
struct Shared<K, C> {
    verifier: Verifier,
    keys: K,
    clock: C,
}

impl<K: KeyProvider, C: Fn() -> Unix + Send + Sync + 'static> EnvelopeLayer<K, C> {
    /// A layer that verifies with these keys by this wall clock.
    pub fn new(verifier: Verifier, keys: K, clock: C) -> Self {
        let shared = Shared {
            verifier,
            keys,
            clock,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What the layer says of a request with this head, for services that don't speak tower. Waits
    /// for newer keys where these may change that.
    ///
    /// # Errors
    /// The request must not be served.
    pub async fn judge(&self, head: &Parts) -> Result<Verdict, EnvelopeRefused> {
        self.shared.judge(head).await
    }
}

impl<S, K, C> Layer<S> for EnvelopeLayer<K, C> {
    type Service = Enveloped<S, K, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Enveloped {
            inner,
            shared: Arc::clone(&self.shared),
        }
    }
}

/// A service behind an [`EnvelopeLayer`].
#[derive(Debug)]
pub struct Enveloped<S, K, C> {
    inner: S,
    shared: Arc<Shared<K, C>>,
}

impl<S: Clone, K, C> Clone for Enveloped<S, K, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S, B, R, K, C> Service<Request<B>> for Enveloped<S, K, C>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
    K: KeyProvider,
    C: Fn() -> Unix + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was found ready is the one to call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let rules = shared.verifier.rules();
            // Apart, because a body may be one that threads can't share.
            let (mut head, body) = request.into_parts();
            match shared.judge(&head).await {
                Ok(verdict) => {
                    clean(rules, &verdict, &mut head.headers);
                    head.extensions.insert(verdict);
                    inner.call(Request::from_parts(head, body)).await
                }
                Err(refused) => Ok(refusal(rules, refused)),
            }
        })
    }
}

impl<K: KeyProvider, C: Fn() -> Unix> Shared<K, C> {
    async fn judge(&self, head: &Parts) -> Result<Verdict, EnvelopeRefused> {
        let judged = self.once(head);
        let refused = match &judged {
            Ok(Verdict::Verified(_)) => return judged,
            Ok(Verdict::Local(refused)) | Err(refused) => *refused,
        };
        let kid = self.verifier.kid(&head.headers);
        let (true, Some(kid)) = (refused.wants_keys(), kid) else {
            return judged;
        };
        self.keys.newer(&kid).await;
        self.once(head)
    }

    fn once(&self, head: &Parts) -> Result<Verdict, EnvelopeRefused> {
        let keys = self.keys.keys();
        let (target, now) = (target(&head.uri), (self.clock)());
        self.verifier
            .check(keys.as_deref(), &head.method, &target, &head.headers, now)
    }
}

fn clean(rules: &HeaderRules, verdict: &Verdict, headers: &mut HeaderMap) {
    match verdict {
        Verdict::Verified(_) => {
            for name in rules.envelope_hmac().iter().chain([rules.envelope()]) {
                headers.remove(name);
            }
        }
        Verdict::Local(_) => remove_reserved(rules, headers),
    }
}

fn refusal<R: Default>(rules: &HeaderRules, refused: EnvelopeRefused) -> Response<R> {
    let mut response = Response::new(R::default());
    let headers = response.headers_mut();
    let reason = HeaderValue::from_static(refused.as_str());
    headers.insert(rules.reason(), reason);
    let status = if refused == EnvelopeRefused::NoKeys {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::FORBIDDEN
    };
    *response.status_mut() = status;
    response
}
