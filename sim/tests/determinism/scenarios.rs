//! A whole world with routers, in two fresh processes. It has what is most likely to differ: crashes
//! (which drop tasks in the order of their ids), reloads, key rotations, both HTTP versions, and
//! certificates.

use cellway_sim::{Scenario, determinism};

const WORLD: &str = r#"
about = "a little of everything"
duration = "22s"

[world]
routers = 2

[[world.issuer]]
name = "main"

[[world.cell]]
id = "blue"
tier = "standard"
endpoints = 2

[[world.cell]]
id = "green"
tier = "standard"
protocol = "h2c"

[[world.placement]]
id = "any"
tier = "standard"
cells = ["blue", "green"]
stateless = true

[[world.tenant]]
id = "acme"
cell = "blue"

[[world.tenant]]
id = "globex"
placement = "any"

[router.issuer.keys]
cooldown_secs = 2

[[workload.client]]
name = "acme-web"
tenant = "acme"
rate = "8/s"
protocol = "http1"
token_lifetime = "4s"

[[workload.client]]
name = "globex-web"
tenant = "globex"
rate = "8/s"
credential = "both"
token_lifetime = "4s"
certificate_lifetime = "16s"

[[workload.client]]
name = "flood"
tenant = "acme"
rate = "8/s"
credential = "unknown_key"

[[fault]]
at = "2s"
for = "2s"
kind = "crash"
target = "router-1"

[[fault]]
at = "5s"
for = "2s"
kind = "crash"
target = "blue"

[[fault]]
at = "8s"
kind = "replace_keys"
target = "idp-main"
key = "key-2"

[[fault]]
at = "9s"
for = "3s"
kind = "partition"
between = ["router-2", "green"]

[[fault]]
at = "10s"
kind = "rotate_certificate"
target = "router-2"

[[fault]]
at = "11s"
kind = "publish"
document = "move"
tenant = "acme"
cell = "green"

[[fault]]
at = "12s"
kind = "configure"
target = "router-1"
settings = { upstream = { header_timeout_ms = 5000 } }

[expect]
recovery = "5s"
"#;

fn trace(world: &str, seed: u64) -> Vec<String> {
    let scenario = Scenario::parse("everything.toml", world);
    let report = scenario.unwrap_or_else(|error| panic!("{error}")).run(seed);
    assert!(report.passed(), "{}", report.summary());
    report.trace
}

#[test]
fn a_world_follows_its_seed() {
    let test = "scenarios::a_world_follows_its_seed";
    determinism::check(test, 7, |seed| trace(WORLD, seed)).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn a_world_of_events_follows_its_seed() {
    let world = WORLD.replace(
        "[world]",
        "engine = \"events\"\n[world]\ncut_segments = true",
    );
    let test = "scenarios::a_world_of_events_follows_its_seed";
    determinism::check(test, 7, |seed| trace(&world, seed)).unwrap_or_else(|why| panic!("{why}"));
}
