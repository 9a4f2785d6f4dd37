//! The verifier as a layer around a Rust service: axum, tonic, hyper or whatever speaks tower.
//!
//! Put it outermost. An envelope is bound to the path that the router sent. A layer outside this one
//! that rewrites the path (such as axum's `nest`) makes the envelope invalid.
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
//! // A service that shares a key with the router. It fetches no keys.
//! let verifier = Verifier::new(VerifierSpec {
//!     jws: false,
//!     hmac: vec![HmacKey::new("eu-1-a", "eu-1", b"a secret of at least thirty-two bytes")?],
//!     ..VerifierSpec::new("eu-1")
//! })?;
//! # let clock = || cellway_core::Unix::from_secs(0);
//! let layer = EnvelopeLayer::new(verifier, NoKeys, clock);
//!
//! async fn orders(request: Request<String>) -> Result<Response<String>, Infallible> {
//!     // The layer sets this. In the mode `gateway_enforced` it is always `Verified`.
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
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use cellway_core::Unix;
use cellway_core::headers::{HeaderRules, remove_reserved};
use cellway_core::keys::KeySet;

use cellway_core::envelope::{EnvelopeRefused, Verdict, Verifier, target};

/// Gives a layer the router's published keys. [`JwksClient`](crate::JwksClient) fetches them.
pub trait KeyProvider: Clone + Send + Sync + 'static {
    /// The last good key set, unless it is too old to use.
    fn keys(&self) -> Option<Arc<KeySet>>;

    /// Asks for newer keys, because no known key has this id. Returns when there are newer keys, or
    /// when they can't come in time. It must bound this wait, and it must not fetch at each call:
    /// anybody who reaches the service can invent ids.
    fn newer(&self, kid: &str) -> impl Future<Output = ()> + Send;
}

/// No keys: for services that share a key with the router.
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

/// Keys that never change, for tests.
impl KeyProvider for Arc<KeySet> {
    fn keys(&self) -> Option<Arc<KeySet>> {
        Some(self.clone())
    }

    fn newer(&self, _: &str) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// Verifies each request with a [`Verifier`] and passes it to the service with its [`Verdict`] as an
/// extension.
///
/// A refused request is answered with an empty body and with the reason in the router's `reason`
/// header. Its status is 503 while there are no keys, and 403 otherwise: no credential of the client's
/// would help. The layer removes the envelope from requests that pass. If nothing was proved, it also
/// removes all other headers with the router's prefix, so that the service can't read them by
/// accident.
#[derive(Clone, Debug)]
pub struct EnvelopeLayer<K, C> {
    verification: Arc<Verification<K, C>>,
}

/// How one layer verifies. All services that it wraps share this.
#[derive(Debug)]
struct Verification<K, C> {
    verifier: Verifier,
    keys: K,
    clock: C,
}

impl<K: KeyProvider, C: Fn() -> Unix + Send + Sync + 'static> EnvelopeLayer<K, C> {
    /// Creates a layer from a verifier, the router's keys, and a wall clock.
    pub fn new(verifier: Verifier, keys: K, clock: C) -> Self {
        let verification = Verification {
            verifier,
            keys,
            clock,
        };
        Self {
            verification: Arc::new(verification),
        }
    }

    /// Verifies a request by its head, for services that don't use tower. Waits for newer keys if
    /// they could change the result.
    ///
    /// # Errors
    /// Why the request must not be served.
    pub async fn verify(&self, head: &Parts) -> Result<Verdict, EnvelopeRefused> {
        self.verification.verify(head).await
    }
}

impl<S, K, C> Layer<S> for EnvelopeLayer<K, C> {
    type Service = Enveloped<S, K, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Enveloped {
            inner,
            verification: Arc::clone(&self.verification),
        }
    }
}

/// A service behind an [`EnvelopeLayer`].
#[derive(Debug)]
pub struct Enveloped<S, K, C> {
    inner: S,
    verification: Arc<Verification<K, C>>,
}

impl<S: Clone, K, C> Clone for Enveloped<S, K, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            verification: Arc::clone(&self.verification),
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
        // `poll_ready` was called on this service and not on its clone, so this one must be called.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let verification = Arc::clone(&self.verification);
        Box::pin(async move {
            let rules = verification.verifier.rules();
            // Without the body, which may not be `Sync`.
            let (mut head, body) = request.into_parts();
            match verification.verify(&head).await {
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

impl<K: KeyProvider, C: Fn() -> Unix> Verification<K, C> {
    async fn verify(&self, head: &Parts) -> Result<Verdict, EnvelopeRefused> {
        let verdict = self.verify_once(head);
        let refused = match &verdict {
            Ok(Verdict::Verified(_)) => return verdict,
            Ok(Verdict::Local(refused)) | Err(refused) => *refused,
        };
        let kid = self.verifier.kid(&head.headers);
        let (true, Some(kid)) = (refused.wants_keys(), kid) else {
            return verdict;
        };
        self.keys.newer(&kid).await;
        self.verify_once(head)
    }

    fn verify_once(&self, head: &Parts) -> Result<Verdict, EnvelopeRefused> {
        let keys = self.keys.keys();
        let (target, now) = (target(&head.uri), (self.clock)());
        let method = decided_method(head);
        self.verifier
            .check(keys.as_deref(), method, &target, &head.headers, now)
    }
}

/// The method that the router decided. It decides an extended CONNECT (RFC 8441), which only HTTP/2
/// has, as the `GET` that it stands for. A plain CONNECT has no scheme.
fn decided_method(head: &Parts) -> &Method {
    match head.method == Method::CONNECT && head.uri.scheme().is_some() {
        true => &Method::GET,
        false => &head.method,
    }
}

/// Removes what the service must not read.
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
