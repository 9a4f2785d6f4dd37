//! The search and the shrinker, as a person uses them from a terminal.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A new folder for the files of a test.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    fs::create_dir_all(&path).unwrap();
    path
}

fn sim(folder: &PathBuf, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cellway-sim"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Catches: a search that finds what isn't there, forgets what it has reached, or leaves files of runs that
/// passed.
#[test]
fn a_search_reports_the_points_that_it_reached() {
    let folder = folder("search");
    let search = [
        "explore",
        "--seeds",
        "6",
        "--from",
        "40",
        "--points",
        "points.txt",
    ];
    let accepting = [&search[..], &["--accept-points"]].concat();
    let first = sim(&folder, &accepting);
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    let points = fs::read_to_string(folder.join("points.txt")).unwrap();
    assert!(
        said(&first).contains("6 seeds, 0 failed; "),
        "{}",
        said(&first)
    );
    assert!(!folder.join("sim-failures").exists());
    assert!(points.lines().count() > 2, "{points}");
    for point in points.lines() {
        assert!(said(&first).contains(&format!("  {point} ")), "{point}");
    }
    let kept: Vec<_> = fs::read_dir(&folder).unwrap().collect();
    assert_eq!(kept.len(), 1, "{kept:?}");

    // One that these seeds don't reach.
    fs::write(folder.join("points.txt"), format!("{points}never_there\n")).unwrap();
    let second = sim(&folder, &search);
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
    assert!(
        said(&second).contains("were not reached: never_there."),
        "{}",
        said(&second)
    );
}

/// It expects what the crash makes impossible, besides much that has nothing to do with it.
const FAILING: &str = r#"
about = "A crash."
duration = "30s"

[world]
routers = 2
issuer = [{ name = "main" }]
cell = [{ id = "iron", tier = "standard" }, { id = "gold", tier = "premium", endpoints = 2 }]
tenant = [{ id = "acme", cell = "iron" }, { id = "globex", cell = "gold" }]

[router.upstream]
connect_timeout_ms = 1000

[[workload.client]]
name = "acme-web"
tenant = "acme"
rate = "5/s"

[[workload.client]]
name = "globex-web"
tenant = "globex"
rate = "5/s"

[[fault]]
at = "4s"
for = "3s"
kind = "crash"
target = "iron"

[[fault]]
at = "5s"
for = "2s"
kind = "slow"
target = "gold-1"
delay = "100ms"

[expect]
recovery = "10s"

[[expect.answers]]
clients = ["acme-web"]
only = ["ok"]
"#;

/// Catches: a failing run that isn't kept, or is made so small that it no longer fails or fails otherwise.
#[test]
fn what_fails_in_a_sweep_is_shrunk_and_fails_again() {
    let folder = folder("shrunk");
    fs::write(folder.join("failing.toml"), FAILING).unwrap();
    let sweep = [
        "sweep",
        "failing.toml",
        "--seeds",
        "2",
        "--out",
        "kept",
        "--shrink-runs",
        "60",
        "--jobs",
        "1",
    ];
    let swept = sim(&folder, &sweep);
    assert_eq!(swept.status.code(), Some(1));
    let text = said(&swept);
    assert!(text.contains("shrunk: kept/failing-1-small.toml"), "{text}");
    assert!(
        text.contains("the same kind of failure as failing.toml seed"),
        "{text}"
    );
    let small = fs::read_to_string(folder.join("kept/failing-1-small.toml")).unwrap();
    for gone in ["globex", "gold", "slow", "connect_timeout_ms"] {
        assert!(!small.contains(gone), "{small}");
    }
    for needed in ["crash", "acme-web", "Breaks expect.answers[0] with seed 1."] {
        assert!(small.contains(needed), "{needed} in {small}");
    }
    let again = sim(
        &folder,
        &["run", "kept/failing-1-small.toml", "--seed", "1"],
    );
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("FAILED"), "{}", said(&again));
}

/// Catches: a shrinker that ends without a word where it has nothing to do.
#[test]
fn shrinking_what_passes_says_so() {
    let folder = folder("passes");
    let passing = FAILING.split("[[expect.answers]]").next().unwrap();
    fs::write(folder.join("passing.toml"), passing).unwrap();
    let output = sim(&folder, &["shrink", "passing.toml", "--seed", "3"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    let expected = "passing.toml passes with seed 3; give the seed with which it fails";
    assert!(error.contains(expected), "{error}");
}

/// Catches: a search of hours that can't keep what it finds, or can't compare at its end.
#[test]
fn a_search_begins_only_if_it_can_keep_and_compare() {
    let folder = folder("unready");
    for (arguments, expected) in [
        (&["--points", "nowhere.txt"][..], "nowhere.txt: "),
        (&["--out", "/proc/none"], "--out /proc/none: "),
    ] {
        let search = [&["explore", "--for", "8h"], arguments].concat();
        let output = sim(&folder, &search);
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(expected), "{error}");
    }
}
