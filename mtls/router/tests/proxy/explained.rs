//! How many explanations a router gives.

use std::time::Duration;

use cellway_core::rate_limit::{RateLimit, RateLimitSpec};
use cellway_router::settings::ExplainSettings;
use cellway_testbed::{EchoCell, Request, ServerTls};
use http::{HeaderName, HeaderValue};

use crate::memory::{self, Memory};
use crate::world::{plain, plain_endpoint, registry};

/// Explanations for whoever shows this token, two in ten seconds.
pub(crate) fn explains(token: &str) -> ExplainSettings {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    ExplainSettings {
        tokens: vec![digest.as_ref().try_into().unwrap()],
        rate: RateLimit::new(RateLimitSpec {
            requests: 2,
            window_secs: Some(10),
            burst: None,
        })
        .unwrap(),
        subjects: false,
    }
}

/// Catches: an operator whose script takes the router's time, and a limit that refuses the request
/// itself.
#[tokio::test(start_paused = true)]
async fn explanations_have_a_rate() {
    let env = Memory::new();
    let (listener, port) = env.listen().await;
    let (cell, host) = (EchoCell::new("a", |_| ()), env.clone());
    let serving = cell.clone();
    tokio::spawn(async move { serving.serve(host, listener, ServerTls::plain()).await });
    let mut settings = plain(registry(plain_endpoint("http", port)));
    settings.explain = Some(explains("operator"));
    let world = memory::start(&env, settings).await;
    let client = world.client(Duration::from_secs(60));
    let is_explained = async || {
        let ask = HeaderName::from_static("x-cellway-explain");
        let request = Request::get("/").header(ask, HeaderValue::from_static("operator"));
        let answer = client.send(request).await.unwrap();
        assert_eq!(answer.status, 200);
        answer.headers.contains_key("x-cellway-explanation")
    };
    let first = [
        is_explained().await,
        is_explained().await,
        is_explained().await,
    ];
    assert_eq!(first, [true, true, false]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!([is_explained().await, is_explained().await], [true, false]);
    assert_eq!(cell.arrivals(), 5);
}
