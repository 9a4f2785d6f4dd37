use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, Request};
use http_body::Body as _;
use tokio::sync::Notify;

use super::*;

/// A router whose state the test sets.
#[derive(Default)]
struct Router {
    ready: AtomicBool,
    leaving: AtomicBool,
    changed: Arc<Notify>,
}

impl Router {
    fn ready() -> Arc<Self> {
        let router = Arc::<Self>::default();
        router.ready.store(true, SeqCst);
        router
    }

    fn set(&self, ready: bool, leaving: bool) {
        self.ready.store(ready, SeqCst);
        self.leaving.store(leaving, SeqCst);
        self.changed.notify_waiters();
    }
}

impl Readiness for Router {
    fn is_ready(&self) -> bool {
        self.ready.load(SeqCst)
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(SeqCst)
    }

    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let changed = Arc::clone(&self.changed);
        Box::pin(async move { changed.notified().await })
    }
}

fn question(service: &str) -> Bytes {
    let service = service.to_owned();
    grpc::write(&HealthCheckRequest { service })
}

/// The next thing that the caller sees: a status of health, or `end` and the status of the call.
fn next(body: &mut Body) -> String {
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(body).poll_frame(&mut context) {
        Poll::Pending => "nothing".to_owned(),
        Poll::Ready(None) => "no more".to_owned(),
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) => {
                let message: HealthCheckResponse = grpc::read(&data).unwrap();
                format!("{:?}", message.status())
            }
            Err(frame) => end(frame.trailers_ref().unwrap()),
        },
    }
}

fn end(headers: &HeaderMap) -> String {
    format!("end {}", headers["grpc-status"].to_str().unwrap())
}

fn all(answer: Response<Body>) -> Vec<String> {
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let only = answer
        .headers()
        .get("grpc-status")
        .map(|_| end(answer.headers()));
    let mut body = answer.into_body();
    assert_eq!(body.is_end_stream(), only.is_some());
    let frames = std::iter::from_fn(|| Some(next(&mut body)).filter(|it| it != "no more"));
    only.into_iter().chain(frames).collect()
}

#[test]
fn a_check_says_whether_the_router_is_ready() {
    let router = Router::ready();
    for service in SERVICES {
        for (ready, status) in [(true, "Serving"), (false, "NotServing")] {
            router.set(ready, false);
            let answer = answer(Call::Check, &question(service), router.clone());
            assert_eq!(all(answer), [status, "end 0"], "{service}");
        }
    }
}

#[test]
fn a_check_of_another_service_and_another_method_fail() {
    let fails = |call, body: &[u8]| all(answer(call, body, Router::ready()));
    assert_eq!(fails(Call::Check, &question("orders")), ["end 5"]);
    assert_eq!(fails(Call::Unknown, &question("")), ["end 12"]);
    for call in [Call::Check, Call::Watch] {
        assert_eq!(fails(call, &[1, 0, 0, 0, 0]), ["end 12"], "compressed");
        for body in [&b""[..], &[0, 0, 0, 0], &[0, 0, 0, 0, 2, 10], &[0; 10]] {
            assert_eq!(fails(call, body), ["end 13"], "{body:?}");
        }
    }
}

/// Catches: a change that a watch misses, one that it tells twice, and a watch that holds a drain up.
#[test]
fn a_watch_tells_each_change_once_and_ends_when_the_router_leaves() {
    let router = Arc::<Router>::default();
    let mut body = answer(Call::Watch, &question(""), router.clone()).into_body();
    assert_eq!(next(&mut body), "NotServing");
    assert_eq!(next(&mut body), "nothing");
    router.set(true, false);
    assert_eq!(next(&mut body), "Serving");
    // Something else changed.
    router.set(true, false);
    assert_eq!(next(&mut body), "nothing");
    router.set(false, false);
    assert_eq!(next(&mut body), "NotServing");
    router.set(false, true);
    assert_eq!(next(&mut body), "end 14");
    assert_eq!(next(&mut body), "no more");
}

#[test]
fn a_watch_of_a_leaving_router_and_of_an_unknown_service_are_told_so() {
    let router = Arc::<Router>::default();
    router.set(false, true);
    let watched = all(answer(Call::Watch, &question(""), router));
    assert_eq!(watched, ["NotServing", "end 14"]);
    let mut body = answer(Call::Watch, &question("orders"), Router::ready()).into_body();
    assert_eq!(next(&mut body), "ServiceUnknown");
    assert_eq!(next(&mut body), "nothing");
}

/// Catches: a request that isn't a call, but is answered as one.
#[test]
fn only_grpc_calls_of_its_paths_are_calls() {
    let of = |version, kind: &str, method, path: &str| {
        let mut request = Request::builder()
            .version(version)
            .method(method)
            .uri(path)
            .body(())
            .unwrap();
        let kind = HeaderValue::from_str(kind).unwrap();
        request.headers_mut().insert(CONTENT_TYPE, kind);
        Call::of(&request.into_parts().0)
    };
    let (h2, kind, post) = (Version::HTTP_2, "application/grpc", Method::POST);
    assert_eq!(of(h2, kind, post.clone(), CHECK_PATH), Some(Call::Check));
    assert_eq!(
        of(h2, "application/grpc+proto", post.clone(), WATCH_PATH),
        Some(Call::Watch)
    );
    let list = "/grpc.health.v1.Health/List";
    assert_eq!(of(h2, kind, post.clone(), list), Some(Call::Unknown));
    assert_eq!(of(Version::HTTP_11, kind, post.clone(), CHECK_PATH), None);
    assert_eq!(of(h2, "application/json", post.clone(), CHECK_PATH), None);
    assert_eq!(of(h2, kind, Method::GET, CHECK_PATH), None);
    assert_eq!(of(h2, kind, post, "/grpc.health.v1.Healthy/Check"), None);
}
