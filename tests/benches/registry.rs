//! What a registry costs: to read, validate and index a document, in time and memory; to look a
//! tenant up; to change one.
//!
//! Not criterion: a million tenants are built a few times, not thousands, and memory is measured
//! too: of a fresh process for each size, after the document's text is freed. Prints one line for
//! each size.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the real clock"
)]

use std::env;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use cellway_core::registry::{Parsed, Registry, RegistryFormat, RegistryLimits};

const BUILDS: usize = 5;
const LOOKUPS: usize = 1_000_000;

/// Says to this program that it is the process to be measured, and with how many tenants.
const SIZE: &str = "CELLWAY_BENCH_TENANTS";

fn main() {
    if let Some(tenants) = env::var(SIZE).ok().and_then(|size| size.parse().ok()) {
        return measure(tenants);
    }
    println!(" tenants     build   resident     lookup  one tenant changed, whole document");
    for tenants in [1_000, 100_000, 1_000_000] {
        let program = env::current_exe().expect("this program has a path");
        let status = Command::new(program)
            .env(SIZE, tenants.to_string())
            .status();
        assert!(status.expect("it starts again").success());
    }
}

fn measure(tenants: usize) {
    let before = resident_mib();
    let registry = parse(&document(tenants, 1, "a"), None);
    let size = resident_mib() - before;

    let first = document(tenants, 1, "a");
    let build = best_of(BUILDS, || drop(black_box(parse(&first, None))));
    let lookup = lookups(&registry, tenants);
    let changed = document(tenants, 2, "b");
    let change = best_of(BUILDS, || drop(black_box(parse(&changed, Some(&registry)))));
    println!("{tenants:>8} {build:>9.1?} {size:>6.1} MiB {lookup:>10.0?} {change:>9.1?}");
}

fn parse(document: &str, previous: Option<&Registry>) -> Registry {
    let limits = RegistryLimits::default();
    match Registry::parse(document.as_bytes(), RegistryFormat::Json, previous, &limits) {
        Ok(Parsed::Changed(candidate)) => candidate.into_registry(),
        other => panic!("{other:?}"),
    }
}

fn lookups(registry: &Registry, tenants: usize) -> Duration {
    let ids: Vec<_> = (0..tenants.min(LOOKUPS))
        .map(|i| id(i * 7_919 % tenants))
        .collect();
    let start = Instant::now();
    for i in 0..LOOKUPS {
        black_box(registry.tenant(&ids[i % ids.len()]));
    }
    start.elapsed() / u32::try_from(LOOKUPS).unwrap_or(u32::MAX)
}

fn document(tenants: usize, version: u64, last_in: &str) -> String {
    let tenant = |i: usize| {
        let cell = if i + 1 == tenants { last_in } else { "a" };
        format!(r#"{{"id":"{}","cell":"{cell}"}}"#, id(i))
    };
    let tenants: Vec<_> = (0..tenants).map(tenant).collect();
    let cell = |id: &str| {
        format!(
            r#"{{"id":"{id}","tier":"std","region":"eu","state":"active",
                 "endpoints":[{{"url":"https://{id}.internal:443"}}]}}"#
        )
    };
    let (a, b) = (cell("a"), cell("b"));
    format!(
        r#"{{"version":{version},"cells":[{a},{b}],"tenants":[{}]}}"#,
        tenants.join(",")
    )
}

fn id(i: usize) -> String {
    format!("tenant-{i:07}")
}

fn best_of(times: usize, mut work: impl FnMut()) -> Duration {
    let one = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..times).map(|_| one(&mut work)).min().unwrap_or_default()
}

/// Resident memory of this process, in MiB; 0 where there is no /proc.
fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or_default() * 4096.0 / 1_048_576.0
}
