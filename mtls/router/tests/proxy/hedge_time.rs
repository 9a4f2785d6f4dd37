//! How long the attempts of a hedged request may take if each has a time of its own (`try_timeout_ms`), and
//! who is asked after them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cellway_router::settings::{TotalTimeout, TrafficSettings};
use cellway_testbed::{Answer, Request};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::adaptive_limit::cell;
use crate::memory::{self, Memory, World};
use crate::world::{plain, reason, registry};

const LONG: Duration = Duration::from_secs(600);
const HEDGE_AFTER: Duration = Duration::from_millis(200);
const TRY_TIMEOUT: Duration = Duration::from_millis(500);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nserved";
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n";
/// It can't be passed on.
const UNFIT: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n";

/// After how long an attempt is answered, and with what.
type Reply = (Duration, &'static [u8]);

const AT_ONCE: Reply = (Duration::ZERO, OK);
const NEVER: Reply = (LONG, OK);

/// A request to a cell with three endpoints.
struct Asked {
    answer: Answer,
    took: Duration,
    /// The endpoints in the order in which they got it.
    asked: Vec<usize>,
    world: World,
}

impl Asked {
    fn lines(&self, starts: &str) -> Vec<String> {
        let mut lines = self.world.events.lines();
        lines.retain(|line| line.starts_with(starts));
        lines
    }
}

/// Sends a request whose attempts are answered like this, in the order in which they arrive. The last answer
/// is that to all others.
async fn ask(answers: [Reply; 3]) -> Asked {
    ask_within(answers, TotalTimeout::Upstream).await
}

async fn ask_within(answers: [Reply; 3], total_timeout: TotalTimeout) -> Asked {
    let env = Memory::new();
    let came = Arc::new(AtomicUsize::new(0));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut urls = Vec::new();
    for endpoint in 0..3 {
        let (came, asked) = (came.clone(), asked.clone());
        let (_, port) = cell(&env, move || {
            asked.lock().unwrap().push(endpoint);
            let attempt = came.fetch_add(1, Ordering::Relaxed);
            let (after, answer) = answers[attempt.min(answers.len() - 1)];
            async move {
                sleep(after).await;
                answer
            }
        })
        .await;
        urls.push(json!({"url": format!("http://127.0.0.1:{port}")}));
    }
    let mut settings = plain(registry(urls.into()));
    settings.listeners[0].traffic = Arc::new(TrafficSettings {
        hedge_after: Some(HEDGE_AFTER),
        try_timeout: Some(TRY_TIMEOUT),
        retry_statuses: vec![429],
        total_timeout,
        ..TrafficSettings::default()
    });
    let world = memory::start(&env, settings).await;
    let began = Instant::now();
    let answer = world.client(LONG).send(Request::get("/")).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    Asked {
        answer,
        took: began.elapsed(),
        asked,
        world,
    }
}

/// Catches: a hedge that keeps a request from its third endpoint for longer than one attempt may take, so
/// that hedging makes the request slower, and one that is then no failure of its endpoint.
#[tokio::test(start_paused = true)]
async fn a_hedge_has_the_time_of_one_attempt_if_another_may_follow() {
    let declines = (Duration::from_millis(300), TOO_MANY);
    for (first, failures) in [(NEVER, 2), (declines, 1)] {
        let asked = ask([first, NEVER, AT_ONCE]).await;
        assert_eq!(asked.answer.status, 200);
        assert_eq!(asked.took, HEDGE_AFTER + TRY_TIMEOUT);
        assert_eq!(asked.lines("hedge"), ["hedge failed"]);
        let expected = vec!["cell failed cell_timeout_header"; failures];
        assert_eq!(asked.lines("cell failed"), expected);
    }
}

/// Catches: a hedge that is given up although nothing else can answer the request.
#[tokio::test(start_paused = true)]
async fn a_hedge_has_all_the_time_if_no_other_attempt_may_follow() {
    let unfit = (Duration::from_millis(300), UNFIT);
    let late = (Duration::from_secs(2), OK);
    let asked = ask([unfit, late, AT_ONCE]).await;
    assert_eq!(asked.answer.status, 200);
    assert_eq!(asked.took, HEDGE_AFTER + late.0);
    assert_eq!(asked.asked.len(), 2);
}

/// Catches: a time limit of the whole exchange that ends a hedge, and is then told as that of the first
/// attempt, or followed by a retry that has no time.
#[tokio::test(start_paused = true)]
async fn the_time_of_the_whole_exchange_ends_both_attempts() {
    let total = HEDGE_AFTER + Duration::from_millis(400);
    let asked = ask_within([NEVER; 3], TotalTimeout::After(total)).await;
    assert_eq!(reason(&asked.answer), "cell_timeout_total");
    assert_eq!(asked.took, total);
    assert_eq!(asked.asked.len(), 2);
    assert_eq!(asked.lines("retry"), Vec::<String>::new());
}

/// Catches: a request that is sent to the endpoint of its hedge again while there is one that hasn't had it.
#[tokio::test(start_paused = true)]
async fn the_endpoint_of_a_hedge_is_asked_again_after_the_others() {
    let asked = ask([NEVER, (Duration::ZERO, TOO_MANY), AT_ONCE]).await;
    assert_eq!(asked.answer.status, 200);
    let mut endpoints = asked.asked.clone();
    endpoints.sort_unstable();
    assert_eq!(endpoints, [0, 1, 2], "{:?}", asked.asked);
}
