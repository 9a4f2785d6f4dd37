//! What the repository's scenarios expect doesn't depend on the engine that runs them.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use cellway_sim::Scenario;

/// A scenario on the engine of events, and once more with segments that are cut.
fn passes(name: &str) {
    let path = format!("{}/../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    for cut in [false, true] {
        let text = text.replacen("duration", "engine = \"events\"\nduration", 1);
        let text = text.replacen("[world]", &format!("[world]\ncut_segments = {cut}"), 1);
        let scenario = Scenario::parse(&path, &text).unwrap_or_else(|error| panic!("{error}"));
        let report = scenario.run_untraced(1);
        assert!(report.passed(), "cut segments: {cut}\n{}", report.summary());
    }
}

#[test]
fn outage() {
    passes("outage");
}

#[test]
fn rotation_of_keys() {
    passes("rotation");
}

#[test]
fn refusing_cells() {
    passes("refusing_cells");
}

#[test]
fn slow_readers() {
    passes("slow_readers");
}

#[test]
fn websockets() {
    passes("websockets");
}

#[test]
fn drain() {
    passes("drain");
}
