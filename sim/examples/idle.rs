//! How fast an idle world runs: ten hosts that wake up once in ten seconds, for ten simulated minutes.
//!
//! `cargo run --release -p cellway-sim --example idle`

use std::future::pending;
use std::time::{Duration, Instant};

use cellway_sim::Trace;
use cellway_sim::engine::{Engine, Kind, Settings, isolated};

const SIMULATED: Duration = Duration::from_secs(600);
const TICK: Duration = Duration::from_millis(5);

#[expect(
    clippy::disallowed_methods,
    reason = "this measures the machine's own time"
)]
fn main() {
    for kind in [Kind::Turmoil, Kind::Events] {
        let started = Instant::now();
        isolated(1, move || idle(kind));
        let times = SIMULATED.as_secs_f64() / started.elapsed().as_secs_f64();
        println!("{kind:?}: {times:.0} times as fast as real time");
    }
}

fn idle(kind: Kind) {
    let settings = Settings {
        kind,
        seed: 1,
        tick: TICK,
        latency_min: Duration::from_millis(1),
        latency_max: Duration::from_millis(20),
        cuts_segments: false,
    };
    let mut engine = Engine::new(&settings, Trace::off());
    for number in 0..10 {
        engine.host(&format!("host-{number}"), |_| async {
            let mut ticks = tokio::time::interval(Duration::from_secs(10));
            loop {
                ticks.tick().await;
            }
        });
    }
    engine.host("sleeper", |_| pending());
    while engine.elapsed() < SIMULATED {
        engine.step().expect("no program of this world ends");
    }
}
