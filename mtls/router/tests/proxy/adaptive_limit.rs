//! A cell gets fewer requests at once while its answers take longer than usual.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cellway_core::adaptive_limit::AdaptiveSettings;
use cellway_env::Listener;
use cellway_router::settings::CellShares;
use cellway_testbed::Request;
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::memory::{self, Memory};
use crate::world::{plain, registry};

const LONG: Duration = Duration::from_secs(6000);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// How many requests the cell works on at once.
const WIDTH: usize = 4;
/// How many clients send requests, one after the other.
const CLIENTS: usize = 150;

/// The requests that the cell has at once, and the most since this was last taken.
#[derive(Default)]
pub(crate) struct Load {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Load {
    fn begins(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    fn take_peak(&self) -> usize {
        let now = self.now.load(Ordering::Relaxed);
        self.peak.swap(now, Ordering::Relaxed)
    }
}

/// A cell that answers a request as `work` says, and counts those that it has at once.
pub(crate) async fn cell<W>(
    env: &Memory,
    work: impl Fn() -> W + Clone + Send + 'static,
) -> (Arc<Load>, u16)
where
    W: Future<Output = &'static [u8]> + Send,
{
    let (mut listener, port) = env.listen().await;
    let load = Arc::new(Load::default());
    let seen = load.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (seen, work) = (seen.clone(), work.clone());
            tokio::spawn(async move {
                let mut read = [0; 4096];
                while stream.read(&mut read).await.is_ok_and(|read| read > 0) {
                    seen.begins();
                    let answer = work().await;
                    seen.now.fetch_sub(1, Ordering::Relaxed);
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    (load, port)
}

/// A cell that works on [`WIDTH`] requests at once, ten milliseconds on each.
async fn busy_cell(env: &Memory) -> (Arc<Load>, u16) {
    let width = Arc::new(Semaphore::new(WIDTH));
    cell(env, move || {
        let width = width.clone();
        async move {
            let _working = width.acquire().await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            OK
        }
    })
    .await
}

/// A router before this cell, without shares.
async fn router(env: &Memory, port: u16, adaptive: Option<AdaptiveSettings>) -> memory::World {
    let url = json!([{"url": format!("http://127.0.0.1:{port}")}]);
    let mut settings = plain(registry(url));
    let limits = &mut settings.upstream.limits;
    limits.adaptive = adaptive;
    limits.queue_timeout = LONG;
    limits.shares = CellShares {
        connection: 100,
        caller: 100,
        tenant: 100,
    };
    memory::start(env, settings).await
}

/// The most requests that the cell has at once after a while.
async fn settled(adaptive: Option<AdaptiveSettings>) -> usize {
    let env = Memory::new();
    let (load, port) = busy_cell(&env).await;
    let world = router(&env, port, adaptive).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let client = world.client(LONG);
        clients.spawn(async move {
            for _ in 0..20 {
                let answer = client.send(Request::get("/")).await.unwrap();
                assert_eq!(answer.status, StatusCode::OK);
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    load.take_peak();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let peak = load.take_peak();
    while clients.join_next().await.is_some_and(|done| {
        done.unwrap();
        true
    }) {}
    peak
}

/// Catches: a limit that doesn't hold requests back, one that holds back more than it should, and
/// requests that are lost in the queue.
#[tokio::test(start_paused = true)]
async fn a_busy_cell_gets_what_it_can_work_on() {
    assert_eq!(settled(None).await, CLIENTS);
    let peak = settled(Some(AdaptiveSettings::default())).await;
    assert!((WIDTH..=10 * WIDTH).contains(&peak), "{peak}");
}

/// A cell that is never busy. At first it refuses each request after five milliseconds. Later it serves
/// each in fifty.
async fn refusing_cell(env: &Memory) -> (Arc<Load>, u16) {
    let serves = tokio::time::Instant::now() + REFUSES;
    cell(env, move || async move {
        let (took, answer) = match tokio::time::Instant::now() < serves {
            true => (5, REFUSED),
            false => (50, OK),
        };
        tokio::time::sleep(Duration::from_millis(took)).await;
        answer
    })
    .await
}

const REFUSED: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
const REFUSES: Duration = Duration::from_secs(2);

/// Catches: refusals that are taken for the cell's usual time, so that it looks slow when it serves.
#[tokio::test(start_paused = true)]
async fn quick_refusals_do_not_make_a_cell_look_slow_later() {
    let env = Memory::new();
    let (load, port) = refusing_cell(&env).await;
    let world = router(&env, port, Some(AdaptiveSettings::default())).await;
    let mut clients = JoinSet::new();
    for _ in 0..60 {
        let client = world.client(LONG);
        clients.spawn(async move {
            loop {
                client.send(Request::get("/")).await.unwrap();
            }
        });
    }
    tokio::time::sleep(2 * REFUSES).await;
    load.take_peak();
    tokio::time::sleep(REFUSES).await;
    assert_eq!(load.take_peak(), 60, "nothing is held back");
}
