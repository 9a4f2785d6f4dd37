//! The network of events: what a TCP socket promises, and what it doesn't.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use cellway_env::{Claim, Env, Listener, Sharing, Unsent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::Trace;
use crate::engine::{Engine, Kind, Settings, SimEnv, Stream, isolated};

const PORT: u16 = 80;
const LATENCY: Duration = Duration::from_millis(10);

fn settings(cuts_segments: bool) -> Settings {
    Settings {
        kind: Kind::Events,
        seed: 1,
        tick: Duration::from_millis(5),
        latency_min: LATENCY,
        latency_max: LATENCY,
        cuts_segments,
    }
}

/// What hosts have to say, with when they said it.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<String>>>);

impl Notes {
    fn add(&self, env: &SimEnv, what: impl std::fmt::Debug) {
        let line = format!("{:?} {} {what:?}", env.elapsed(), env.name());
        self.0.borrow_mut().push(line);
    }
}

async fn accept(env: &SimEnv) -> Stream {
    let mut listener = env.bind(([0, 0, 0, 0], PORT).into(), false).await.unwrap();
    listener.accept().await.unwrap().0
}

/// Runs two hosts for a second, with `disturb` before each tick of 5 ms, and returns what they noted.
fn run<S, C>(
    cuts_segments: bool,
    server: fn(SimEnv, Notes) -> S,
    client: fn(SimEnv, Notes) -> C,
    disturb: fn(&mut Engine, u64),
) -> Vec<String>
where
    S: Future<Output = ()> + 'static,
    C: Future<Output = ()> + 'static,
{
    isolated(1, move || {
        let notes = Notes::default();
        let mut engine = Engine::new(&settings(cuts_segments), Trace::off());
        let host = notes.clone();
        engine.host("server", move |env| forever(server(env, host.clone())));
        let host = notes.clone();
        engine.host("client", move |env| forever(client(env, host.clone())));
        for tick in 0..1000 {
            disturb(&mut engine, tick * 5);
            engine.step().unwrap();
        }
        notes.0.take()
    })
}

async fn forever(program: impl Future<Output = ()>) {
    program.await;
    std::future::pending().await
}

fn undisturbed(_: &mut Engine, _: u64) {}

async fn reads_all(env: SimEnv, notes: Notes) {
    let mut stream = accept(&env).await;
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await;
    notes.add(&env, (bytes.len(), ended.map_err(|e| e.kind())));
}

async fn accepts_and_keeps(env: SimEnv, _: Notes) {
    let _stream = accept(&env).await;
    std::future::pending().await
}

async fn connects(env: SimEnv, notes: Notes) {
    let connected = env.connect("server", PORT).await;
    notes.add(&env, connected.map(drop).map_err(|e| e.kind()));
}

async fn sends_three_parts(env: SimEnv, _: Notes) {
    let mut stream = env.connect("server", PORT).await.unwrap();
    for part in [[1; 1000], [2; 1000], [3; 1000]] {
        stream.write_all(&part).await.unwrap();
    }
    stream.shutdown().await.unwrap();
}

#[test]
fn bytes_arrive_whole_and_in_order_then_the_end() {
    let notes = run(false, reads_all, sends_three_parts, undisturbed);
    // The handshake, and one more way.
    insta::assert_snapshot!(notes.join("\n"), @"30ms server (3000, Ok(3000))");
}

#[test]
fn bytes_arrive_whole_and_in_order_however_they_are_cut() {
    async fn checks(env: SimEnv, notes: Notes) {
        let mut stream = accept(&env).await;
        let (mut all, mut reads) = (Vec::new(), 0);
        while stream.read_buf(&mut all).await.unwrap() > 0 {
            reads += 1;
        }
        notes.add(&env, (all.is_sorted(), all.len(), reads > 1));
    }
    let notes = run(true, checks, sends_three_parts, undisturbed);
    insta::assert_snapshot!(notes.join("\n"), @"30ms server (true, 3000, true)");
}

#[test]
fn nobody_listens() {
    let notes = run(false, |_, _| std::future::ready(()), connects, undisturbed);
    insta::assert_snapshot!(notes.join("\n"), @"20ms client Err(ConnectionRefused)");
}

#[test]
fn a_host_that_is_down_does_not_answer_until_it_is_back() {
    let notes = run(false, accepts_and_keeps, connects, |engine, at| match at {
        0 => engine.crash("server"),
        500 => engine.restart("server"),
        _ => {}
    });
    // The client's system asks again after a second.
    insta::assert_snapshot!(notes.join("\n"), @"1.03s client Ok(())");
}

#[test]
fn a_crash_ends_connections() {
    async fn waits(env: SimEnv, notes: Notes) {
        let mut stream = env.connect("server", PORT).await.unwrap();
        let read = stream.read(&mut [0]).await;
        notes.add(&env, read.map_err(|e| e.kind()));
    }
    let notes = run(false, accepts_and_keeps, waits, |engine, at| {
        if at == 100 {
            engine.crash("server");
        }
    });
    insta::assert_snapshot!(notes.join("\n"), @"110ms client Ok(0)");
}

#[test]
fn who_leaves_unread_bytes_behind_resets_the_connection() {
    async fn leaves(env: SimEnv, _: Notes) {
        let mut stream = accept(&env).await;
        stream.read_exact(&mut [0]).await.unwrap();
    }
    async fn sends(env: SimEnv, notes: Notes) {
        let mut stream = env.connect("server", PORT).await.unwrap();
        stream.write_all(b"two").await.unwrap();
        let read = stream.read(&mut [0]).await;
        notes.add(&env, read.map_err(|e| e.kind()));
        let write = stream.write(b"more").await;
        notes.add(&env, write.map_err(|e| e.kind()));
    }
    let notes = run(false, leaves, sends, undisturbed);
    insta::assert_snapshot!(notes.join("\n"), @"
    40ms client Err(ConnectionReset)
    40ms client Err(ConnectionReset)
    ");
}

#[test]
fn a_stream_that_is_left_as_discarded_is_reset() {
    async fn discards(env: SimEnv, _: Notes) {
        let stream = accept(&env).await;
        SimEnv::leave(&stream, Unsent::Discarded);
    }
    async fn reads(env: SimEnv, notes: Notes) {
        let mut stream = env.connect("server", PORT).await.unwrap();
        let read = stream.read(&mut [0]).await;
        notes.add(&env, read.map_err(|e| e.kind()));
    }
    let notes = run(false, discards, reads, undisturbed);
    insta::assert_snapshot!(notes.join("\n"), @"20ms client Err(ConnectionReset)");
}

#[test]
fn a_write_to_who_has_left_is_answered_with_a_reset() {
    async fn leaves(env: SimEnv, _: Notes) {
        drop(accept(&env).await);
    }
    async fn writes(env: SimEnv, notes: Notes) {
        let mut stream = env.connect("server", PORT).await.unwrap();
        notes.add(&env, stream.read(&mut [0]).await.map_err(|e| e.kind()));
        // The first write only finds out.
        for _ in 0..2 {
            let written = stream.write(b"hello").await;
            notes.add(&env, written.map_err(|e| e.kind()));
            tokio::time::sleep(LATENCY * 3).await;
        }
    }
    let notes = run(false, leaves, writes, undisturbed);
    insta::assert_snapshot!(notes.join("\n"), @"
    20ms client Ok(0)
    20ms client Ok(5)
    50ms client Err(ConnectionReset)
    ");
}

#[test]
fn a_writer_waits_for_a_reader_that_is_slow() {
    async fn reads_late(env: SimEnv, notes: Notes) {
        let mut stream = accept(&env).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut bytes = vec![0; 1024 * 1024];
        stream.read_exact(&mut bytes).await.unwrap();
        notes.add(&env, "read all");
    }
    async fn writes(env: SimEnv, notes: Notes) {
        let mut stream = env.connect("server", PORT).await.unwrap();
        stream.write_all(&vec![0; 1024 * 1024]).await.unwrap();
        notes.add(&env, "wrote all");
        std::future::pending().await
    }
    let notes = run(false, reads_late, writes, undisturbed);
    insta::assert_snapshot!(notes.join("\n"), @r#"
    530ms client "wrote all"
    540ms server "read all"
    "#);
}

#[test]
fn a_way_that_is_held_alone_lets_the_other_pass() {
    async fn answers(env: SimEnv, notes: Notes) {
        let mut stream = accept(&env).await;
        loop {
            let read = timeout(Duration::from_millis(300), stream.read(&mut [0; 10])).await;
            notes.add(&env, read.map(|read| read.map_err(|e| e.kind())).ok());
            if stream.write_all(b"server").await.is_err() {
                return;
            }
        }
    }
    async fn asks(env: SimEnv, notes: Notes) {
        let mut stream = env.connect("server", PORT).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(b"client").await.unwrap();
        for _ in 0..2 {
            let read = stream.read(&mut [0; 10]).await;
            notes.add(&env, read.map_err(|e| e.kind()));
        }
        std::future::pending().await
    }
    let notes = run(false, answers, asks, |engine, at| match at {
        50 => engine.hold_one_way("client", "server").unwrap(),
        500 => engine.release_one_way("client", "server").unwrap(),
        _ => {}
    });
    insta::assert_snapshot!(notes[..5].join("\n"), @r#"
    310ms server None
    320ms client Ok(6)
    500ms server Some(Ok(6))
    510ms client Ok(6)
    800ms server None
    "#);
}

#[test]
fn an_address_belongs_to_one_listener() {
    async fn binds_twice(env: SimEnv, notes: Notes) {
        let address = ([0, 0, 0, 0], PORT).into();
        let first = env.claim(address, Sharing::Alone).await.unwrap();
        let first = first.listen().await.unwrap();
        let again = env.bind(address, false).await.map(drop);
        notes.add(&env, again.map_err(|e| e.kind()));
        drop(first);
        let again = env.bind(address, false).await.map(drop);
        notes.add(&env, again.map_err(|e: io::Error| e.kind()));
    }
    let notes = run(
        false,
        binds_twice,
        |_, _| std::future::ready(()),
        undisturbed,
    );
    insta::assert_snapshot!(notes.join("\n"), @"
    0ns server Err(AddrInUse)
    0ns server Ok(())
    ");
}

#[test]
fn an_idle_world_costs_nothing_but_its_timers() {
    let wakes = isolated(1, || {
        let mut engine = Engine::new(&settings(false), Trace::off());
        let wakes = Rc::new(RefCell::new(0));
        let count = wakes.clone();
        engine.host("host", move |_| {
            let count = count.clone();
            async move {
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    *count.borrow_mut() += 1;
                }
            }
        });
        (0..2000).for_each(|_| engine.step().unwrap());
        wakes.take()
    });
    assert_eq!(wakes, 10);
}
