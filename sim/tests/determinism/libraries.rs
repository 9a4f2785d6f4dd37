//! What libraries use without `Env` (hash order, unbiased `select!`, `watch`, the system's clocks)
//! depends only on the seed too, without `--cfg tokio_unstable`.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "these are what the test is about"
)]

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cellway_sim::engine::{Engine, Kind, Settings, SimEnv, isolated};
use cellway_sim::{Trace, determinism};
use tokio::sync::watch;

const SETTINGS: Settings = Settings {
    kind: Kind::Turmoil,
    cuts_segments: false,
    seed: 0,
    tick: Duration::from_millis(1),
    latency_min: Duration::from_millis(1),
    latency_max: Duration::from_millis(1),
};

async fn hash_order(env: &SimEnv) {
    let map: HashMap<u32, ()> = (0..20).map(|n| (n, ())).collect();
    env.record(format_args!("hash order {:?}", map.keys()));
}

async fn unbiased_select(env: &SimEnv) {
    let mut picks = String::new();
    for _ in 0..40 {
        let pick =
            tokio::select! { () = async {} => 'a', () = async {} => 'b', () = async {} => 'c' };
        picks.push(pick);
    }
    env.record(format_args!("select {picks}"));
}

async fn watch_order(env: &SimEnv) {
    let (sender, receiver) = watch::channel(0);
    for waiter in 0..20 {
        let (env, mut receiver) = (env.clone(), receiver.clone());
        tokio::spawn(async move {
            receiver.changed().await.unwrap();
            env.record(format_args!("watcher {waiter} woken"));
        });
    }
    tokio::task::yield_now().await;
    sender.send(1).unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
}

async fn clocks(env: &SimEnv) {
    let started = Instant::now();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    env.record(format_args!("clocks {wall:?} {:?}", started.elapsed()));
}

fn trace(seed: u64) -> Vec<String> {
    isolated(seed, move || {
        let trace = Trace::default();
        let mut engine = Engine::new(&Settings { seed, ..SETTINGS }, trace.clone());
        engine.host("host", |env| async move {
            hash_order(&env).await;
            unbiased_select(&env).await;
            watch_order(&env).await;
            clocks(&env).await;
            std::future::pending().await
        });
        for _ in 0..100 {
            engine.step().unwrap();
        }
        trace.lines()
    })
}

#[test]
fn habits_follow_the_seed() {
    determinism::check("libraries::habits_follow_the_seed", 7, trace)
        .unwrap_or_else(|why| panic!("{why}"));
}
