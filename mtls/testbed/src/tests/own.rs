//! Services of others in place of a host.

use std::convert::Infallible;
use std::future::{self, Ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;

use super::super::OwnService;

/// Repeats a request's body, or fails.
#[derive(Clone)]
struct Echo {
    ready: Result<(), &'static str>,
}

impl tower_service::Service<Request<Full<Bytes>>> for Echo {
    type Response = Response<Full<Bytes>>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(self.ready)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        future::ready(Ok(Response::new(request.into_body())))
    }
}

async fn answer(service: OwnService) -> (StatusCode, Bytes) {
    let answer = service.answer(Request::new(Bytes::from("ping"))).await;
    (answer.status(), answer.into_body())
}

#[tokio::test]
async fn a_tower_service_answers() {
    let echo = Echo { ready: Ok(()) };
    let pinged = (StatusCode::OK, Bytes::from("ping"));
    assert_eq!(answer(OwnService::tower(echo)).await, pinged);
    let broken = Echo {
        ready: Err("no database"),
    };
    let failed = (
        StatusCode::INTERNAL_SERVER_ERROR,
        Bytes::from("no database"),
    );
    assert_eq!(answer(OwnService::tower(broken)).await, failed);
}

#[tokio::test]
async fn a_hyper_service_answers() {
    let service = service_fn(|request: Request<Full<Bytes>>| async {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(
            [&body[..], b"!"].concat(),
        )))
    });
    let pinged = (StatusCode::OK, Bytes::from("ping!"));
    assert_eq!(
        answer(OwnService::hyper::<_, Full<Bytes>, _>(service)).await,
        pinged
    );
}
