//! Services of others that answer in place of a host of the testbed.

use std::fmt;
use std::future::{self, Future};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;

use super::body::Buffered;

type Answering = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

/// A service that answers whole requests with whole answers: a function, or a service for tower or hyper.
///
/// An error of a service becomes an answer with status 500 and the error as its body.
#[derive(Clone)]
pub struct OwnService(Arc<dyn Fn(Request<Bytes>) -> Answering + Send + Sync>);

impl OwnService {
    /// Answers what this function answers.
    pub fn from_fn<F>(answer: impl Fn(Request<Bytes>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Bytes>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(answer(request))))
    }

    /// Answers as a tower service does, such as a router of axum. Each request gets a clone of it. If it
    /// takes bodies of any type, name one: `OwnService::tower::<_, Full<Bytes>, _>(service)`.
    pub fn tower<S, I, O>(service: S) -> Self
    where
        S: tower_service::Service<Request<I>, Response = Response<O>>,
        S: Clone + Send + Sync + 'static,
        S::Error: fmt::Display + Send,
        S::Future: Send + 'static,
        I: From<Bytes> + Send,
        O: Body + Send + 'static,
        O::Data: Send,
        O::Error: fmt::Display,
    {
        Self::from_fn(move |request| {
            let mut service = service.clone();
            async move {
                let ready = future::poll_fn(|context| service.poll_ready(context)).await;
                match ready {
                    Ok(()) => whole(service.call(request.map(I::from)).await).await,
                    Err(error) => failed(&error),
                }
            }
        })
    }

    /// Answers as a service for hyper's server does. If it takes bodies of any type, name one:
    /// `OwnService::hyper::<_, Full<Bytes>, _>(service)`.
    pub fn hyper<S, I, O>(service: S) -> Self
    where
        S: hyper::service::Service<Request<I>, Response = Response<O>>,
        S: Clone + Send + Sync + 'static,
        S::Error: fmt::Display + Send,
        S::Future: Send + 'static,
        I: From<Bytes> + Send,
        O: Body + Send + 'static,
        O::Data: Send,
        O::Error: fmt::Display,
    {
        Self::from_fn(move |request| {
            let service = service.clone();
            async move { whole(service.call(request.map(I::from)).await).await }
        })
    }

    /// Its answer to a request.
    pub async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        (self.0)(request).await
    }

    /// Its answer to a request that is still being received. One that breaks off gets no answer that anybody
    /// reads.
    pub(super) async fn answer_to<B: Body>(&self, request: Request<B>) -> Response<Buffered> {
        let (head, body) = request.into_parts();
        match body.collect().await {
            Ok(body) => {
                let request = Request::from_parts(head, body.to_bytes());
                self.answer(request).await.map(Buffered::whole)
            }
            Err(_) => Buffered::empty(StatusCode::BAD_REQUEST),
        }
    }
}

impl fmt::Debug for OwnService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnService")
    }
}

async fn whole<O, E>(answered: Result<Response<O>, E>) -> Response<Bytes>
where
    O: Body,
    O::Error: fmt::Display,
    E: fmt::Display,
{
    let (head, body) = match answered {
        Ok(response) => response.into_parts(),
        Err(error) => return failed(&error),
    };
    match body.collect().await {
        Ok(body) => Response::from_parts(head, body.to_bytes()),
        Err(error) => failed(&error),
    }
}

fn failed(error: &impl fmt::Display) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(error.to_string()));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
