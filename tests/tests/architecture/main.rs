//! What must stay true of the dependencies between crates and between modules, checked by machine.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is proc_macro2's, and a reader of tokens looks at few of them"
)]

mod imports;

use std::path::Path;
use std::process::Command;

/// The names in a package's normal dependency tree, as cargo prints them with `extra` arguments.
fn tree(package: &str, extra: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(extra)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree failed: {error}");
    String::from_utf8(output.stdout).expect("names are UTF-8")
}

fn names(tree: &str) -> impl Iterator<Item = &str> {
    tree.lines().filter_map(|line| line.split(' ').next())
}

#[test]
fn core_cannot_do_io() {
    let banned = [
        (
            "tokio",
            "core is driven, it drives nothing; a runtime would bring timers and sockets",
        ),
        (
            "hyper",
            "core reads no wire; `http` has the types that it needs",
        ),
        (
            "rustls",
            "chains are verified by the shell; core reads what is in the leaf",
        ),
        ("turmoil", "core doesn't know that it is simulated"),
        ("log", "core reports through its return values"),
        ("tracing", "core reports through its return values"),
        ("mio", "core has no sockets"),
        ("rand", "core has no entropy; seeds are handed in"),
    ];
    let tree = tree("cellway-core", &[]);
    for (name, reason) in banned {
        assert!(
            !names(&tree).any(|found| found == name),
            "core depends on {name}: {reason}"
        );
    }
}

/// Each crate of `mtls/`, with what it must do without, so that what it is for stays true.
#[test]
fn the_crates_stay_apart() {
    const ROUTER: &str = "cellway-router";
    const TESTBED: &str = "cellway-testbed";
    const CLI: &str = "cellway";
    let table: [(&str, &[&str]); 7] = [
        (
            "cellway-env",
            &[ROUTER, TESTBED, CLI, "cellway-service", "clap"],
        ),
        (
            "cellway-envoy",
            &["cellway-core", "cellway-env", "tokio", "hyper"],
        ),
        (
            ROUTER,
            &[
                TESTBED,
                CLI,
                "cellway-service",
                "rcgen",
                "jsonwebtoken",
                "clap",
                // Whoever embeds the router chooses the allocator.
                "mimalloc",
            ],
        ),
        (TESTBED, &[ROUTER, CLI, "clap"]),
        (
            "cellway-service",
            &[ROUTER, TESTBED, CLI, "clap", "rcgen", "jsonwebtoken"],
        ),
        ("cellway-decide", &[CLI, "cellway-sim", "clap"]),
        (CLI, &["cellway-sim", "turmoil"]),
    ];
    for (package, banned) in table {
        let tree = tree(package, &[]);
        for name in banned {
            let found = names(&tree).any(|found| found == *name);
            assert!(!found, "{package} must not depend on {name}");
        }
    }
}

/// A service that verifies envelopes brings its own server, whichever that is.
#[test]
fn a_service_gets_no_server() {
    let tree = tree("cellway-service", &["--edges", "features"]);
    assert!(
        tree.contains("hyper feature \"client\""),
        "cargo tree no longer prints features so"
    );
    assert!(
        !tree.contains("hyper feature \"server\""),
        "cellway-service depends on hyper's server"
    );
}

#[test]
fn the_binary_has_no_simulated_time() {
    let tree = tree("cellway", &["--edges", "features"]);
    assert!(
        tree.contains("tokio feature \"net\""),
        "cargo tree no longer prints features so"
    );
    assert!(
        !tree.contains("tokio feature \"test-util\""),
        "tokio's test-util is in the router's tree: production timers could be paused"
    );
    assert!(
        !names(&tree).any(|name| name == "turmoil"),
        "the router must not know the simulator"
    );
}

#[test]
fn there_is_one_cryptographic_backend() {
    let tree = tree("cellway", &[]);
    for name in ["ring", "openssl", "rsa", "p256", "ed25519-dalek"] {
        let found = names(&tree).any(|found| found == name);
        assert!(
            !found,
            "{name} is a second cryptographic backend beside aws-lc-rs"
        );
    }
}

/// The crates whose modules are in layers, so that each can be understood from those below it alone.
const LAYERED: [&str; 9] = [
    "core",
    "mtls/cli",
    "mtls/decide",
    "mtls/env",
    "mtls/envoy",
    "mtls/router",
    "mtls/service",
    "mtls/testbed",
    "sim",
];

/// See [`imports`] for what counts.
#[test]
fn no_modules_import_each_other() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for package in LAYERED {
        let circles = imports::circles(&workspace.join(package).join("src"));
        assert!(
            circles.is_empty(),
            "modules of {package} import each other; move what both need into a module below them:\n{}",
            circles.join("\n")
        );
    }
}

/// Catches: code that git ignores, because a line of `.gitignore` fits the name of its file or folder. It
/// builds where it was written and nowhere else.
#[test]
fn git_holds_every_source_file() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--others",
            "--ignored",
            "--exclude-standard",
        ])
        .args([
            "benches",
            "core",
            "docs",
            "mtls",
            "scenarios",
            "sim",
            "tests",
        ])
        .current_dir(&workspace)
        .output();
    let Ok(listed) = listed else { return };
    // An unpacked release is not a repository.
    if !listed.status.success() {
        return;
    }
    let listed = String::from_utf8(listed.stdout).expect("names are UTF-8");
    let is_needed = |path: &&str| {
        let extension = Path::new(path).extension().and_then(|it| it.to_str());
        extension.is_some_and(|it| ["rs", "toml", "md", "snap"].contains(&it))
    };
    let ignored: Vec<_> = listed.split('\0').filter(is_needed).collect();
    assert!(
        ignored.is_empty(),
        "git ignores these files; correct .gitignore: {ignored:#?}"
    );
}

/// Another simulator of networks would change the engine alone.
#[test]
fn only_the_engine_knows_turmoil() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/src");
    let users = imports::users(&src, "turmoil");
    assert!(users.iter().any(|module| module == "engine"), "{users:?}");
    let others: Vec<_> = users
        .iter()
        .filter(|module| *module != "engine" && !module.starts_with("engine::"))
        .collect();
    assert!(
        others.is_empty(),
        "these modules of sim use turmoil, which only `engine` may: {others:?}"
    );
}

/// What every room of the router may use: values, formats and files, but nothing that runs.
const FOUNDATION: [&str; 12] = [
    "build",
    "config",
    "envelope",
    "error",
    "finding",
    "health_service",
    "lock",
    "network",
    "settings",
    "tls",
    "to_cell",
    "wire",
];

/// The rooms of the router, each with what it may use besides [`FOUNDATION`]. Data plane and control
/// plane meet at two types, the active configuration and the cell that publishes it with the snapshot;
/// both report events. What is observed is told by events alone, so `observe` uses no other room, and
/// none of the state that requests are decided by.
const ROOMS: [(&str, &[&str]); 3] = [
    (
        "data_plane",
        &["active_config", "view", "observe", "shares"],
    ),
    (
        "control_plane",
        &["active_config", "view", "observe", "rfc3339"],
    ),
    ("observe", &["rfc3339", "shares"]),
];

#[test]
fn the_rooms_of_the_router_are_apart() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let uses = imports::uses(&workspace.join("mtls/router/src"));
    for (room, besides) in ROOMS {
        let used = &uses[room];
        assert!(
            used.contains_key("settings"),
            "{room} was not read: {used:?}"
        );
        for (other, places) in used {
            let may = FOUNDATION.contains(&other.as_str()) || besides.contains(&other.as_str());
            let places = places.iter().cloned().collect::<Vec<_>>().join("\n");
            assert!(
                may,
                "{room} must not use {other}; hand in what it needs:\n{places}"
            );
        }
    }
}
