//! One request over a fresh connection: a GET for a document, or a POST.
//!
//! A source is asked every few seconds or minutes, so connections aren't kept. Each fetch resolves
//! the name, connects and verifies the certificate again, so a source that moves is found without a
//! special rule. The connection lives inside the call. When the time limit is over, everything that
//! belongs to it is dropped.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::encoding::Collector;
use super::error::FetchError;
use super::freshness;
use super::proxy::Proxies;
use super::roots::{BundleError, bundle_roots, system_roots};
use super::url::SourceUrl;
use crate::Env;
use crate::words::handshake_failure;

/// How many redirects are followed.
const REDIRECTS_MAX: usize = 3;
/// The most bytes of an answer's header.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// The types of key sets, discovery documents and registries. Any other type is accepted too,
/// because a source that uses another name for JSON would answer 406 (RFC 9110, section 12.5.1).
const ACCEPT: &str = "application/json, application/jwk-set+json, */*;q=0.1";

/// Fetches documents for one router.
#[derive(Clone, Debug)]
pub struct Client<E> {
    env: E,
    /// `None` if the client never connects.
    tls: Option<Arc<ArcSwap<ClientConfig>>>,
    reach: Arc<ArcSwap<Reach>>,
}

/// How sources are reached.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reach {
    /// The time limit for a whole fetch, with connecting, redirects and the last byte.
    pub total_timeout: Duration,
    /// Which sources are reached through a proxy.
    pub proxies: Proxies,
}

/// What to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Get<'a> {
    /// The address of the source.
    pub url: &'a SourceUrl,
    /// The `ETag` of the present document.
    pub if_none_match: Option<&'a HeaderValue>,
    /// The whole value of `Authorization`. A redirect to another origin never gets it.
    pub authorization: Option<&'a HeaderValue>,
    /// The most bytes of the body.
    pub body_max: usize,
}

/// What to send.
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// The address of the receiver.
    pub url: &'a SourceUrl,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

/// The answer of a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The present document is still current.
    NotModified {
        /// How long it may be used without asking again, if the answer says so.
        max_age: Option<Duration>,
    },
    /// A document, and its `ETag`.
    Document {
        /// The body.
        body: Bytes,
        /// The value of `If-None-Match` for the next fetch.
        etag: Option<HeaderValue>,
        /// How long it may be used without asking again, if the answer says so.
        max_age: Option<Duration>,
    },
}

enum Step {
    Done(Answer),
    Redirect(SourceUrl),
    /// The receiver has taken what was sent.
    Taken,
}

/// What an answer is read for.
#[derive(Clone, Copy)]
enum Reading<'a> {
    Document { url: &'a SourceUrl, body_max: usize },
    Success,
}

impl<E: Env> Client<E> {
    /// Creates a client with the CAs and the certificate in `tls`. A whole fetch may take
    /// `total_timeout`: connecting, redirects and the last byte.
    pub fn new(env: E, tls: Arc<ArcSwap<ClientConfig>>, total_timeout: Duration) -> Self {
        let proxies = Proxies::default();
        let reach = Reach {
            total_timeout,
            proxies,
        };
        Self::reaching(env, tls, Arc::new(ArcSwap::from_pointee(reach)))
    }

    /// Creates a client that reaches sources as `reach` says. A new value there applies from the
    /// next fetch on.
    pub fn reaching(env: E, tls: Arc<ArcSwap<ClientConfig>>, reach: Arc<ArcSwap<Reach>>) -> Self {
        let tls = Some(tls);
        Self { env, tls, reach }
    }

    /// As [`new`](Self::new), with a TLS configuration that never changes.
    pub fn with_tls(env: E, tls: Arc<ClientConfig>, total_timeout: Duration) -> Self {
        Self::new(env, Arc::new(ArcSwap::new(tls)), total_timeout)
    }

    /// Creates a client that trusts the CAs of `bundle_pem`, or without one those that the system
    /// trusts. It shows no certificate, and uses aws-lc-rs and the machine's wall clock. A whole
    /// fetch may take `total_timeout`.
    ///
    /// # Errors
    /// The bundle can't be used.
    pub async fn trusting(
        env: E,
        bundle_pem: Option<&[u8]>,
        total_timeout: Duration,
    ) -> Result<Self, BundleError> {
        let roots = match bundle_pem {
            Some(pem) => bundle_roots(pem)?,
            None => env.heavy(system_roots).await,
        };
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs has the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::with_tls(env, Arc::new(tls), total_timeout))
    }

    /// The environment that it connects from.
    pub fn env(&self) -> &E {
        &self.env
    }

    /// Creates a client that fetches nothing, for sources that are files.
    pub fn unconnected(env: E) -> Self {
        Self {
            env,
            tls: None,
            reach: Arc::default(),
        }
    }

    /// Fetches a document.
    ///
    /// # Errors
    /// [`FetchError`]. Nothing is retried here.
    pub async fn get(&self, get: Get<'_>) -> Result<Answer, FetchError> {
        let total_timeout = self.reach.load().total_timeout;
        timeout(total_timeout, self.follow(get))
            .await
            .unwrap_or(Err(FetchError::Timeout(total_timeout)))
    }

    async fn follow(&self, mut get: Get<'_>) -> Result<Answer, FetchError> {
        let mut url = get.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            if !url.same_origin(get.url) {
                get.authorization = None;
            }
            let reading = Reading::Document {
                url: &url,
                body_max: get.body_max,
            };
            match self.step(&url, request(&url, get)?, reading).await? {
                Step::Done(answer) => return Ok(answer),
                Step::Redirect(next) => url = next,
                // Only a POST is read for success alone.
                Step::Taken => return Err(FetchError::NotAskedAbout),
            }
        }
        Err(FetchError::TooManyRedirects(REDIRECTS_MAX))
    }

    /// Sends something. Redirects are not followed.
    ///
    /// # Errors
    /// [`FetchError`], for example because the answer's status is not 2xx. Nothing is retried here.
    pub async fn post(&self, post: Post<'_>) -> Result<(), FetchError> {
        let Post {
            url,
            content_type,
            body,
        } = post;
        let request = Request::post(url.target())
            .header(header::HOST, url.authority())
            .header(header::CONTENT_TYPE, content_type)
            .header(header::CONNECTION, "close")
            .body(Full::new(body))
            .map_err(FetchError::http)?;
        let total_timeout = self.reach.load().total_timeout;
        timeout(total_timeout, self.step(url, request, Reading::Success))
            .await
            .unwrap_or(Err(FetchError::Timeout(total_timeout)))
            .map(|_taken| ())
    }

    async fn step(
        &self,
        url: &SourceUrl,
        request: Request<Full<Bytes>>,
        reading: Reading<'_>,
    ) -> Result<Step, FetchError> {
        let Some(tls) = &self.tls else {
            let error = io::Error::other("the network isn't asked");
            return Err(FetchError::Connect(error));
        };
        let reach = self.reach.load_full();
        let stream = reach.proxies.connect(&self.env, url).await?;
        if !url.is_https() {
            return exchange(stream, request, reading).await;
        }
        let name = ServerName::try_from(url.host().to_owned())
            .map_err(|_| FetchError::Tls("the host is not a valid server name".to_owned()))?;
        let stream = TlsConnector::from(tls.load_full())
            .connect(name, stream)
            .await
            .map_err(|error| FetchError::Tls(handshake_failure(&error)))?;
        exchange(stream, request, reading).await
    }
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    reading: Reading<'_>,
) -> Result<Step, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(FetchError::http)?;
    // The connection's own result isn't needed, because the request gets its errors.
    let connection = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(FetchError::http)?;
        match reading {
            Reading::Document { url, body_max } => read(response, url, body_max).await,
            Reading::Success if response.status().is_success() => Ok(Step::Taken),
            Reading::Success => Err(FetchError::Status(response.status())),
        }
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        never = connection => match never {},
    }
}

fn request(url: &SourceUrl, get: Get<'_>) -> Result<Request<Full<Bytes>>, FetchError> {
    let mut request = Request::get(url.target())
        .header(header::HOST, url.authority())
        .header(header::ACCEPT, ACCEPT)
        .header(header::ACCEPT_ENCODING, "identity, gzip;q=0.5")
        .header(header::CONNECTION, "close")
        .body(Full::default())
        .map_err(FetchError::http)?;
    let headers = request.headers_mut();
    if let Some(etag) = get.if_none_match {
        headers.insert(header::IF_NONE_MATCH, etag.clone());
    }
    if let Some(authorization) = get.authorization {
        headers.insert(header::AUTHORIZATION, authorization.clone());
    }
    Ok(request)
}

async fn read(
    response: Response<Incoming>,
    url: &SourceUrl,
    body_max: usize,
) -> Result<Step, FetchError> {
    let (parts, body) = response.into_parts();
    let max_age = freshness::max_age(&parts.headers);
    match parts.status {
        StatusCode::OK => {
            let body = collect(&parts.headers, body, body_max).await?;
            let etag = parts.headers.get(header::ETAG).cloned();
            Ok(Step::Done(Answer::Document {
                body,
                etag,
                max_age,
            }))
        }
        StatusCode::NOT_MODIFIED => Ok(Step::Done(Answer::NotModified { max_age })),
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => {
            let location = parts.headers.get(header::LOCATION);
            let location = location.and_then(|l| l.to_str().ok()).unwrap_or_default();
            url.follow(location)
                .map(Step::Redirect)
                .map_err(FetchError::Redirect)
        }
        status => Err(FetchError::Status(status)),
    }
}

async fn collect(
    headers: &HeaderMap,
    mut body: Incoming,
    body_max: usize,
) -> Result<Bytes, FetchError> {
    let mut collector = Collector::new(headers, body_max)?;
    let announced = hyper::body::Body::size_hint(&body).upper();
    if collector.is_plain() && announced.is_some_and(|len| len > body_max as u64) {
        return Err(FetchError::TooLarge { limit: body_max });
    }
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(FetchError::http)?.into_data() {
            collector.push(&data)?;
        }
    }
    collector.finish()
}
