//! What is counted of requests that are allowed, however they end.

use cellway_testbed::{Protocol, Request, Signer};
use cellway_tests::world::World;
use http::{Method, StatusCode};

const LIMITED: &str = r#"
[[traffic]]
name = "default"
body_bytes_max = 3
rate_limit = [{ per = "tenant", requests = 1, window_secs = 3600 }]
"#;

/// Catches: requests that count as in flight for ever, because they end between the decision and the
/// cell.
#[tokio::test]
async fn an_allowed_request_that_a_limit_refuses_ends_at_its_cell() {
    let world = World::up(Signer::from_seed("one", [7; 32]).unwrap()).await;
    world.configure(&format!("{}{LIMITED}", world.config()));
    let router = world.router().await;
    let client = router.client(Protocol::Http2, &[&world.authorities.servers], None);
    let token = world.token();
    let send = async |body: &'static str| {
        let request = Request {
            method: Method::POST,
            body: body.into(),
            ..Request::get("/").bearer(&token)
        };
        client.send(request).await.unwrap().status
    };
    assert_eq!(send("long").await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send("ok").await, StatusCode::TOO_MANY_REQUESTS);
    let page = router.admin("/metrics").await.body;
    let page = String::from_utf8(page.into()).unwrap();
    assert!(page.contains("\ncellway_requests_in_flight 0\n"), "{page}");
}
