//! Programs from Python packages, for tests against real clients and servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python of a virtual environment with these packages, each with its version and without its
/// dependencies. It is installed once, below `target`, which is `CARGO_TARGET_TMPDIR` of the test,
/// and nowhere else.
///
/// # Panics
/// It can't be installed.
pub fn with(target: &str, name: &str, packages: &[&str]) -> PathBuf {
    let folder = Path::new(target).join(format!("python-{name}"));
    let wanted = packages.join("\n");
    let whole = folder.join("whole");
    if fs::read_to_string(&whole).ok().as_deref() != Some(&*wanted) {
        // Don't trust what an interrupted run left, or another version.
        let _ = fs::remove_dir_all(&folder);
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let pip = folder.join("bin/pip");
        let install = ["install", "--quiet", "--no-deps"];
        run(Command::new(pip).args(install).args(packages));
        fs::write(&whole, wanted).expect("the target folder can be written");
    }
    folder.join("bin/python")
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
