//! Endpoints that fail are ejected, and what requests do meanwhile.

use std::time::Duration;

use cellway_core::health::WhenAllEjected;
use cellway_testbed::{CellFault, EchoCell, Request, ServerTls};
use http::StatusCode;
use serde_json::json;

use crate::memory::{self, Memory, World};
use crate::world::{plain, reason, registry};

const LONG: Duration = Duration::from_secs(600);

/// Starts a cell with this fault, and returns it with its port.
async fn cell(env: &Memory, fault: CellFault) -> (EchoCell, u16) {
    let (listener, port) = env.listen().await;
    let (cell, host) = (EchoCell::new("a", |_| ()), env.clone());
    cell.set_fault(fault);
    let serving = cell.clone();
    tokio::spawn(async move { serving.serve(host, listener, ServerTls::plain()).await });
    (cell, port)
}

/// Sends a request every second until this line is emitted, and says whether it was.
async fn send_until(world: &World, line: &str) -> bool {
    let client = world.client(LONG);
    for _ in 0..60 {
        client.send(Request::get("/")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        if world.events.lines().iter().any(|told| told == line) {
            return true;
        }
    }
    false
}

/// A router before a good endpoint and one that answers with this status.
async fn two(status: u16) -> (World, EchoCell, EchoCell) {
    let env = Memory::new();
    let status = StatusCode::from_u16(status).unwrap();
    let (good, first) = cell(&env, CellFault::None).await;
    let (bad, second) = cell(&env, CellFault::Status(status)).await;
    let urls = [first, second].map(|port| json!({"url": format!("http://127.0.0.1:{port}")}));
    let world = memory::start(&env, plain(registry(urls.into_iter().collect()))).await;
    (world, good, bad)
}

/// Catches: answers that say something about the caller and count against the endpoint.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_callers_stays_in_traffic() {
    for status in [403, 404, 429, 500] {
        let (world, good, bad) = two(status).await;
        assert!(
            !send_until(&world, "ejected answer_failed").await,
            "{status}"
        );
        assert_eq!((good.arrivals(), bad.arrivals()), (30, 30), "{status}");
    }
}

/// Catches: an ejected endpoint that gets a request while another one is usable.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_is_ejected_and_comes_back() {
    for status in [502, 503, 504] {
        let (world, good, bad) = two(status).await;
        assert!(
            send_until(&world, "ejected answer_failed").await,
            "{status}"
        );
        let (client, before) = (world.client(LONG), (good.arrivals(), bad.arrivals()));
        for _ in 0..40 {
            let answer = client.send(Request::get("/")).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK);
        }
        let after = (good.arrivals(), bad.arrivals());
        assert_eq!(after, (before.0 + 40, before.1), "{status}");
        bad.set_fault(CellFault::None);
        tokio::time::sleep(Duration::from_secs(10)).await;
        world.events.line("returned").await;
        for _ in 0..100 {
            client.send(Request::get("/")).await.unwrap();
        }
        assert!(bad.arrivals() > before.1, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cell_without_a_usable_endpoint_is_refused_if_the_policy_says_so() {
    for fails in [true, false] {
        let env = Memory::new();
        let (cell, port) = cell(&env, CellFault::Status(StatusCode::BAD_GATEWAY)).await;
        let url = json!([{"url": format!("http://127.0.0.1:{port}")}]);
        let mut settings = plain(registry(url));
        settings.upstream.health.outlier.ejected_percent_max = 100;
        if fails {
            settings.upstream.health.when_all_ejected = WhenAllEjected::Fail;
        }
        let world = memory::start(&env, settings).await;
        assert!(send_until(&world, "ejected answer_failed").await);
        let before = cell.arrivals();
        let answer = world.client(LONG).send(Request::get("/")).await.unwrap();
        match fails {
            true => {
                assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
                assert_eq!(reason(&answer), "no_endpoint_healthy");
                assert!(answer.headers.contains_key("retry-after"));
                assert_eq!(cell.arrivals(), before);
            }
            false => assert_eq!(cell.arrivals(), before + 1),
        }
    }
}
