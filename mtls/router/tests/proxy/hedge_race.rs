//! Two attempts of one request at once, before cells that a test plays itself.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cellway_router::settings::TrafficSettings;
use cellway_testbed::{Protocol, Request};
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::cells::{self, played, receive, until_closed};
use crate::frames::{CANCEL, Frames, Outcome};
use crate::raw::Raw;
use crate::suspension::soon;
use crate::world::{World, plain, reason, registry, start};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nserved";
const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";

/// What the two attempts tell each other. Each takes place once.
#[derive(Clone)]
struct Stage(Arc<[Semaphore; 2]>);

impl Stage {
    /// Says that this one has done its part.
    fn done(&self, attempt: usize) {
        self.0[attempt].add_permits(1);
    }

    /// Waits for this one.
    async fn after(&self, attempt: usize) {
        self.0[attempt].acquire().await.unwrap().forget();
    }
}

/// A router before two HTTP/1.1 endpoints that run `act` on the connection of the first attempt and on that
/// of the second one, with the bytes that came on it.
async fn before<F>(
    statuses: &[u16],
    act: impl Fn(usize, TcpStream, String, Stage) -> F + Clone + Send + Sync + 'static,
) -> World
where
    F: Future<Output = ()> + Send + 'static,
{
    let came = Arc::new(AtomicUsize::new(0));
    let stage = Stage(Arc::new([Semaphore::new(0), Semaphore::new(0)]));
    let mut urls = Vec::new();
    for _ in 0..2 {
        let (came, stage, act) = (came.clone(), stage.clone(), act.clone());
        let port = played(move |mut stream| {
            let (came, stage, act) = (came.clone(), stage.clone(), act.clone());
            async move {
                let mut buffer = [0; 4096];
                let Ok(read @ 1..) = stream.read(&mut buffer).await else {
                    return;
                };
                let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let attempt = came.fetch_add(1, Ordering::Relaxed);
                act(attempt, stream, head, stage).await;
            }
        });
        urls.push(json!({"url": format!("http://127.0.0.1:{}", port.await)}));
    }
    world(urls.into(), statuses).await
}

async fn world(endpoints: serde_json::Value, statuses: &[u16]) -> World {
    let mut settings = plain(registry(endpoints));
    settings.listeners[0].traffic = Arc::new(TrafficSettings {
        hedge_after: Some(Duration::from_millis(20)),
        retry_statuses: statuses.to_vec(),
        ..TrafficSettings::default()
    });
    start(settings).await
}

async fn says(stream: &mut TcpStream, answer: &str) {
    stream.write_all(answer.as_bytes()).await.unwrap();
}

async fn get(world: &World) -> Result<String, String> {
    let client = world.client(Protocol::Http2);
    let answer = client.send(Request::get("/a?b=c")).await.unwrap();
    match answer.status {
        StatusCode::OK => Ok(String::from_utf8(answer.body.to_vec()).unwrap()),
        _ => Err(reason(&answer)),
    }
}

/// Catches: a cancelled attempt whose connection stays open, or is used again, and a second attempt with
/// other fields than the first.
#[tokio::test]
async fn the_connection_of_the_cancelled_attempt_closes() {
    let heads = Arc::new(Semaphore::new(0));
    let (closed, same) = (heads.clone(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let kept = same.clone();
    let world = before(&[], move |attempt, mut stream, head, _| {
        let (closed, kept) = (closed.clone(), kept.clone());
        async move {
            kept.lock().unwrap().push(head);
            match attempt {
                0 => {
                    until_closed(&mut stream).await;
                    closed.add_permits(1);
                }
                _ => {
                    says(&mut stream, OK).await;
                    until_closed(&mut stream).await;
                }
            }
        }
    })
    .await;
    assert_eq!(get(&world).await.as_deref(), Ok("served"));
    soon(heads.acquire()).await.unwrap().forget();
    world.events.line("hedge won").await;
    let heads = same.lock().unwrap().clone();
    assert_eq!(heads.len(), 2);
    assert!(
        heads[0].starts_with("GET /a?b=c HTTP/1.1\r\n"),
        "{}",
        heads[0]
    );
    assert_eq!(heads[0], heads[1]);
}

/// Catches: a cancelled stream that stays open at the cell.
#[tokio::test]
async fn the_stream_of_the_cancelled_attempt_is_reset() {
    let came = Arc::new(AtomicUsize::new(0));
    let (outcome, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
    let mut urls = Vec::new();
    for _ in 0..2 {
        let (came, outcome) = (came.clone(), outcome.clone());
        let port = cells::http2(move |mut cell: Frames<TcpStream>, id| {
            let (came, outcome) = (came.clone(), outcome.clone());
            async move {
                match came.fetch_add(1, Ordering::Relaxed) {
                    0 => outcome.send(cell.outcome(id).await).unwrap(),
                    _ => cell.answer(id).await,
                }
                Some(cell)
            }
        });
        urls.push(json!({"url": format!("h2c://127.0.0.1:{}", port.await)}));
    }
    let world = world(urls.into(), &[]).await;
    assert_eq!(get(&world).await.as_deref(), Ok("served"));
    assert_eq!(soon(outcomes.recv()).await, Some(Outcome::Reset(CANCEL)));
    // Its connection goes on: both endpoints get a request.
    for _ in 0..2 {
        assert_eq!(get(&world).await.as_deref(), Ok("served"));
    }
}

/// Catches: a request that fails with its first attempt although the second one is under way, or whose
/// failure isn't held against the endpoint.
#[tokio::test]
async fn the_second_attempt_goes_on_alone() {
    let broken = before(&[], |attempt, mut stream, _, stage| async move {
        match attempt {
            0 => {
                stage.after(1).await;
                drop(stream);
                stage.done(0);
            }
            _ => {
                stage.done(1);
                stage.after(0).await;
                says(&mut stream, OK).await;
                until_closed(&mut stream).await;
            }
        }
    })
    .await;
    assert_eq!(get(&broken).await.as_deref(), Ok("served"));
    broken.events.line("hedge won").await;
    broken.events.line("cell failed cell_reset").await;

    let declined = before(&[503], |attempt, mut stream, _, stage| async move {
        match attempt {
            0 => {
                stage.after(1).await;
                says(&mut stream, BUSY).await;
                stage.done(0);
            }
            _ => {
                stage.done(1);
                stage.after(0).await;
                says(&mut stream, OK).await;
            }
        }
        until_closed(&mut stream).await;
    })
    .await;
    assert_eq!(get(&declined).await.as_deref(), Ok("served"));
    declined.events.line("hedge won").await;
}

/// Catches: a second attempt whose failure ends the request.
#[tokio::test]
async fn the_first_attempt_goes_on_alone() {
    for answer in ["", BUSY] {
        let failed = Arc::new(Semaphore::new(0));
        let goes_on = failed.clone();
        let world = before(&[503], move |attempt, mut stream, _, _| {
            let goes_on = goes_on.clone();
            async move {
                match attempt {
                    0 => {
                        goes_on.acquire().await.unwrap().forget();
                        says(&mut stream, OK).await;
                        until_closed(&mut stream).await;
                    }
                    _ => says(&mut stream, answer).await,
                }
            }
        })
        .await;
        let told = async {
            world.events.line("hedge failed").await;
            failed.add_permits(1);
        };
        let (answer, ()) = tokio::join!(get(&world), told);
        assert_eq!(answer.as_deref(), Ok("served"));
    }
}

/// Answers that can't be passed on.
const UNFIT: [&str; 3] = [
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
    "HTTP/1.1 200 OK\r\nconnection: content-type\r\ncontent-length: 0\r\n\r\n",
];

/// Reports of failures of endpoints.
fn failures(world: &World) -> Vec<String> {
    let mut lines = world.events.lines();
    lines.retain(|line| line.starts_with("cell failed"));
    lines
}

/// Catches: a request that fails because of the answer to its hedge, although the first attempt is
/// answered, and such an answer that isn't held against its endpoint, or twice.
#[tokio::test]
async fn an_answer_to_a_hedge_that_cannot_be_passed_on_counts_as_a_failure() {
    for unfit in UNFIT {
        let told = Arc::new(Semaphore::new(0));
        let goes_on = told.clone();
        let world = before(&[], move |attempt, mut stream, _, _| {
            let goes_on = goes_on.clone();
            async move {
                if attempt == 0 {
                    goes_on.acquire().await.unwrap().forget();
                }
                says(&mut stream, [OK, unfit][attempt]).await;
                until_closed(&mut stream).await;
            }
        })
        .await;
        let failed = async {
            world.events.line("hedge failed").await;
            told.add_permits(1);
        };
        let (answer, ()) = tokio::join!(get(&world), failed);
        assert_eq!(answer.as_deref(), Ok("served"), "{unfit}");
        assert_eq!(failures(&world), ["cell failed cell_protocol_error"]);
    }
}

/// Catches: the same for the first attempt while the hedge is under way.
#[tokio::test]
async fn a_first_answer_that_cannot_be_passed_on_counts_as_a_failure() {
    for unfit in UNFIT {
        let world = before(&[], move |attempt, mut stream, _, stage| async move {
            if attempt == 0 {
                stage.after(1).await;
                says(&mut stream, unfit).await;
                stage.done(0);
            } else {
                stage.done(1);
                stage.after(0).await;
                says(&mut stream, OK).await;
            }
            until_closed(&mut stream).await;
        })
        .await;
        assert_eq!(get(&world).await.as_deref(), Ok("served"), "{unfit}");
        world.events.line("hedge won").await;
        assert_eq!(failures(&world), ["cell failed cell_protocol_error"]);
    }
}

/// Catches: a hedge that fails and takes the resend after the death of a kept connection with it.
#[tokio::test]
async fn the_failure_of_a_hedge_is_not_the_death_of_the_first_attempt() {
    let came = Arc::new(AtomicUsize::new(0));
    let stage = Stage(Arc::new([Semaphore::new(0), Semaphore::new(0)]));
    let mut urls = Vec::new();
    for _ in 0..2 {
        let (came, stage) = (came.clone(), stage.clone());
        let port = played(move |mut stream| {
            let (came, stage) = (came.clone(), stage.clone());
            async move {
                while receive(&mut stream).await > 0 {
                    match came.fetch_add(1, Ordering::Relaxed) {
                        // The first attempt, on a kept connection.
                        2 => return stage.after(1).await,
                        3 => return stage.done(1),
                        _ => says(&mut stream, OK).await,
                    }
                }
            }
        });
        urls.push(json!({"url": format!("http://127.0.0.1:{}", port.await)}));
    }
    let world = world(urls.into(), &[]).await;
    let client = world.client(Protocol::Http2);
    for _ in 0..3 {
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(came.load(Ordering::Relaxed), 5);
    world.events.line("hedge failed").await;
}

/// Catches: a request that never ends, or is sent to a third endpoint.
#[tokio::test]
async fn if_both_fail_the_answer_is_that_of_the_first() {
    let world = before(&[], |attempt, stream, _, stage| async move {
        match attempt {
            0 => {
                stage.after(1).await;
                drop(stream);
            }
            _ => {
                drop(stream);
                stage.done(1);
            }
        }
    })
    .await;
    assert_eq!(get(&world).await, Err("cell_reset".to_owned()));
    world.events.line("hedge failed").await;
    world.events.lines_of("cell failed cell_reset", 2).await;
}

/// Catches: hints that a client gets twice, or from an endpoint that doesn't answer after all.
#[tokio::test]
async fn hints_come_from_the_first_attempt_alone() {
    let world = before(&[], |attempt, mut stream, _, _| async move {
        let answer = match attempt {
            0 => HINTS.to_owned(),
            _ => [HINTS, OK].concat(),
        };
        says(&mut stream, &answer).await;
        until_closed(&mut stream).await;
    })
    .await;
    let mut client = Raw::new(&world).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.statuses().await, [103, 200]);
    world.events.line("hedge won").await;
}
