//! The binary, as its users run it.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a test of the process"
)]

mod access_log;
mod addresses;
mod bad_files;
mod check;
mod decide;
mod demo;
mod envelope_keys;
mod explain;
mod mounts;
mod older_cell;
mod secrets;
mod serve;
mod serving;
mod sources;
mod under_load;
mod upgrade;
mod warnings;

use std::ops::Deref;
use std::process::{Command, Output};
use std::time::Duration;

use cellway_core::Unix;
use cellway_testbed::sample::{CONFIG, REGISTRY};
use cellway_testbed::{Claims, Signer};

/// A folder with a configuration and what it names.
struct Folder(cellway_testbed::Folder);

impl Folder {
    fn new() -> Self {
        let folder = cellway_testbed::Folder::generate();
        let keys = serde_json::json!({ "keys": [signer().jwk()] });
        folder.write("cellway.toml", CONFIG);
        folder.write("registry.json", REGISTRY);
        folder.write("keys.json", keys.to_string());
        Self(folder)
    }

    fn config(&self) -> String {
        self.path("cellway.toml")
    }
}

impl Deref for Folder {
    type Target = cellway_testbed::Folder;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

fn signer() -> Signer {
    Signer::from_seed("k1", [3; 32]).unwrap()
}

/// A token that holds until the year 2100 and longer than this test, or ended in 1970.
fn token(tenant: &str, expired: bool) -> String {
    let lifetime = Duration::from_secs(if expired { 60 } else { 4_102_444_800 });
    Claims::new(
        "https://idp.example",
        "cellway",
        Unix::from_secs(0),
        lifetime,
    )
    .tenant(tenant)
    .subject("alice")
    .sign(&signer())
    .unwrap()
}

/// Ends a command that a test expects to end and that doesn't, with status 124.
fn cellway(args: &[&str]) -> Output {
    Command::new("timeout")
        .args(["60", env!("CARGO_BIN_EXE_cellway")])
        .args(args)
        .output()
        .unwrap()
}

/// Exit code, standard output, standard error.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = cellway(args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

/// The configuration, with envelopes of this form.
fn sealing(form: &str) -> String {
    let envelope = format!("[envelope]\nform = \"{form}\"\nkeys = \"sealing\"\n");
    CONFIG.replace("[admin]", &format!("{envelope}\n[admin]"))
}

#[test]
fn the_version_names_the_build() {
    let (code, out, _) = run(&["--version"]);
    let expected = format!("cellway {}\n", cellway_router::build::LONG);
    assert_eq!((code, out), (0, expected));
}

#[test]
fn check_says_valid_or_every_mistake() {
    let folder = Folder::new();
    let config = folder.config();
    let (code, out, _) = run(&["check", "--config", &config]);
    assert_eq!((code, out), (0, format!("{config} is valid\n")));

    // PEM is a common mistake.
    let keys = std::fs::read(folder.path("keys.json")).unwrap();
    folder.write(
        "keys.json",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    );
    let (code, _, err) = run(&["check", "--config", &config]);
    assert_eq!(code, 1);
    assert!(err.contains("docs/tokens.md"), "{err}");
    folder.write("keys.json", keys);

    // The files that it names count, each with its setting.
    folder.write("keys.json", "{}");
    folder.write("registry.json", "{\"version\": 1, \"cells\": []}");
    let (code, _, err) = run(&["check", "--config", &config]);
    assert_eq!(code, 1);
    assert!(err.contains("issuer[0].jwks_file: "), "{err}");
    assert!(err.contains("registry.file: "), "{err}");

    folder.write("cellway.toml", CONFIG.replace("audience", "audiance"));
    let (code, out, err) = run(&["check", "--config", &config]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains(&format!("{config}:9: issuer[0].audiance: ")),
        "{err}"
    );
    assert!(err.contains("did you mean `audience`?"), "{err}");

    let (code, _, err) = run(&["check", "--config", "/nowhere/cellway.toml"]);
    assert_eq!(code, 3);
    assert!(err.contains("can't read /nowhere/cellway.toml"), "{err}");
    assert_eq!(run(&["check"]).0, 2);
}

#[test]
fn help_is_complete_and_shows_examples() {
    for command in [
        "serve",
        "check",
        "explain",
        "decide",
        "envelope-key",
        "demo",
    ] {
        let (code, out, _) = run(&[command, "--help"]);
        assert_eq!(code, 0);
        assert!(
            out.contains("Examples:") && out.contains("Exit codes:"),
            "{out}"
        );
    }
    let (_, out, _) = run(&["--help"]);
    assert!(out.contains("Exit codes:"), "{out}");
}
