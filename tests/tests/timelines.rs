//! What happens in each scenario, as a person would tell it. A change here is a change in how the
//! router behaves in trouble: read the difference before accepting it (`cargo insta review`).

use cellway_sim::{Scenario, determinism};

const SEED: u64 = 7;

/// Runs a scenario in a process of its own and compares its timeline with the snapshot.
#[track_caller]
fn matches_snapshot(name: &str) {
    let timeline = |seed| {
        let path = format!("{}/../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let scenario = Scenario::load(path).unwrap_or_else(|error| panic!("{error}"));
        let report = scenario.run(seed);
        assert!(report.passed(), "{}", report.summary());
        vec![report.timeline()]
    };
    match determinism::fresh(name, SEED, timeline) {
        Ok(Some(timeline)) => insta::assert_snapshot!(name, timeline),
        Ok(None) => {}
        Err(why) => panic!("{why}"),
    }
}

#[test]
fn outage() {
    matches_snapshot("outage");
}

#[test]
fn closed_sockets() {
    matches_snapshot("closed_sockets");
}

#[test]
fn rotation() {
    matches_snapshot("rotation");
}

#[test]
fn stale_registry() {
    matches_snapshot("stale_registry");
}

#[test]
fn control_plane_down() {
    matches_snapshot("control_plane_down");
}

#[test]
fn no_registry() {
    matches_snapshot("no_registry");
}

#[test]
fn cold_boot() {
    matches_snapshot("cold_boot");
}

#[test]
fn collector_down() {
    matches_snapshot("collector_down");
}

#[test]
fn unknown_keys() {
    matches_snapshot("unknown_keys");
}

#[test]
fn herd() {
    matches_snapshot("herd");
}

#[test]
fn key_sets() {
    matches_snapshot("key_sets");
}

#[test]
fn retries_by_setting() {
    matches_snapshot("retries_by_setting");
}

#[test]
fn hedging() {
    matches_snapshot("hedging");
}

#[test]
fn hedging_limit() {
    matches_snapshot("hedging_limit");
}

#[test]
fn early_answers() {
    matches_snapshot("early_answers");
}

#[test]
fn anonymous_envelope() {
    matches_snapshot("anonymous_envelope");
}

#[test]
fn early_hints() {
    matches_snapshot("early_hints");
}

#[test]
fn few_streams() {
    matches_snapshot("few_streams");
}

#[test]
fn stated_length() {
    matches_snapshot("stated_length");
}

#[test]
fn outliers() {
    matches_snapshot("outliers");
}

#[test]
fn panic() {
    matches_snapshot("panic");
}

#[test]
fn routes() {
    matches_snapshot("routes");
}

#[test]
fn flapping() {
    matches_snapshot("flapping");
}

#[test]
fn hanging_tenant() {
    matches_snapshot("hanging_tenant");
}

#[test]
fn cell_limits() {
    matches_snapshot("cell_limits");
}

#[test]
fn queue() {
    matches_snapshot("queue");
}

#[test]
fn request_limits() {
    matches_snapshot("request_limits");
}

#[test]
fn rate_limits() {
    matches_snapshot("rate_limits");
}

#[test]
fn withdrawn_key() {
    matches_snapshot("withdrawn_key");
}

#[test]
fn permissive_to_required() {
    matches_snapshot("permissive_to_required");
}

#[test]
fn cba_rollout() {
    matches_snapshot("cba_rollout");
}

#[test]
fn ext_authz() {
    matches_snapshot("ext_authz");
}

#[test]
fn suspension() {
    matches_snapshot("suspension");
}

#[test]
fn websockets() {
    matches_snapshot("websockets");
}

#[test]
fn suspended_streams() {
    matches_snapshot("suspended_streams");
}

#[test]
fn revocation() {
    matches_snapshot("revocation");
}

#[test]
fn client_authority() {
    matches_snapshot("client_authority");
}

#[test]
fn certificate_expiry() {
    matches_snapshot("certificate_expiry");
}

#[test]
fn half_broken_network() {
    matches_snapshot("half_broken_network");
}

#[test]
fn two_replicas() {
    matches_snapshot("two_replicas");
}

#[test]
fn bad_disk() {
    matches_snapshot("bad_disk");
}

#[test]
fn clock_steps() {
    matches_snapshot("clock_steps");
}

#[test]
fn routing_key() {
    matches_snapshot("routing_key");
}

#[test]
fn rollback() {
    matches_snapshot("rollback");
}

#[test]
fn envelope_rotation() {
    matches_snapshot("envelope_rotation");
}

#[test]
fn roles() {
    matches_snapshot("roles");
}

#[test]
fn tiers() {
    matches_snapshot("tiers");
}

#[test]
fn tenant_choice() {
    matches_snapshot("tenant_choice");
}

#[test]
fn bad_tokens() {
    matches_snapshot("bad_tokens");
}

#[test]
fn stale_keys() {
    matches_snapshot("stale_keys");
}

#[test]
fn cell_drain() {
    matches_snapshot("cell_drain");
}

#[test]
fn drain() {
    matches_snapshot("drain");
}

#[test]
fn replaced_under_load() {
    matches_snapshot("replaced_under_load");
}

#[test]
fn flood() {
    matches_snapshot("flood");
}

#[test]
fn overload() {
    matches_snapshot("overload");
}

#[test]
fn adaptive_limit() {
    matches_snapshot("adaptive_limit");
}

#[test]
fn failing_endpoints() {
    matches_snapshot("failing_endpoints");
}

#[test]
fn failover() {
    matches_snapshot("failover");
}

#[test]
fn moved_endpoint() {
    matches_snapshot("moved_endpoint");
}

#[test]
fn slow_readers() {
    matches_snapshot("slow_readers");
}

#[test]
fn refusing_cells() {
    matches_snapshot("refusing_cells");
}

#[test]
fn proxy_protocol() {
    matches_snapshot("proxy_protocol");
}

#[test]
fn serving_certificates() {
    matches_snapshot("serving_certificates");
}

#[test]
fn moved_keys() {
    matches_snapshot("moved_keys");
}

#[test]
fn broken_off() {
    matches_snapshot("broken_off");
}

#[test]
fn priorities() {
    matches_snapshot("priorities");
}

#[test]
fn grpc() {
    matches_snapshot("grpc");
}

#[test]
fn in_a_row() {
    matches_snapshot("in_a_row");
}

#[test]
fn health_checks() {
    matches_snapshot("health_checks");
}

#[test]
fn envoy_failover() {
    matches_snapshot("envoy_failover");
}
