//! Checks that one seed gives one run: the same test in two fresh processes, compared byte by byte.
//!
//! Two runs in one process prove nothing, because tokio numbers its tasks and seeds its generators
//! from counters of the process. So [`check`] starts the running test binary twice, for only the test
//! that calls it, and compares what the two processes write.
//!
//! ```no_run
//! # fn my_trace(seed: u64) -> Vec<String> { Vec::new() }
//! #[test]
//! fn my_scenario_is_deterministic() {
//!     let same = cellway_sim::determinism::check("my_scenario_is_deterministic", 7, my_trace);
//!     if let Err(why) = same {
//!         panic!("{why}");
//!     }
//! }
//! ```

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::trace::Difference;

/// Tells a child process what to run: `test:seed:file`.
const CHILD: &str = "CELLWAY_SIM_CHILD";

/// Why the check failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckError {
    /// The runs of one seed differ.
    Differs(u64, Difference),
    /// Two seeds gave the same trace, so nothing in it depends on the seed.
    SeedIgnored(u64, u64),
    /// A child process failed before it had a trace. This is its output.
    Child(String),
    /// The check itself couldn't read a file or start a process.
    Io(io::Error),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs(seed, at) => write!(f, "two runs of seed {seed} differ: {at}"),
            Self::SeedIgnored(a, b) => write!(
                f,
                "seeds {a} and {b} gave the same trace: nothing in it depends on the seed"
            ),
            Self::Child(output) => write!(f, "a run failed:\n{output}"),
            Self::Io(error) => write!(f, "determinism check: {error}"),
        }
    }
}

impl std::error::Error for CheckError {}

impl From<io::Error> for CheckError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs `trace` for `seed` in two fresh processes and compares the lines; then for the next seed,
/// which must differ.
///
/// Call it from a `#[test]` and pass the test's full name (`module::name`, as `cargo test` prints
/// it). The children are the same test binary, which runs only that test. In a child this function
/// runs `trace` and returns, so the test ends.
///
/// # Errors
/// See [`CheckError`].
pub fn check(
    test: &str,
    seed: u64,
    trace: impl FnOnce(u64) -> Vec<String>,
) -> Result<(), CheckError> {
    if let Ok(order) = std::env::var(CHILD) {
        return serve(&order, test, trace);
    }
    let first = child(test, seed, 1)?;
    let second = child(test, seed, 2)?;
    if let Some(difference) = Difference::between(&first, &second) {
        return Err(CheckError::Differs(seed, difference));
    }
    let other_seed = seed.wrapping_add(1);
    if child(test, other_seed, 3)? == first {
        return Err(CheckError::SeedIgnored(seed, other_seed));
    }
    Ok(())
}

/// Runs `lines` for `seed` in a fresh process and returns the lines, joined by newlines. Use it for
/// snapshots of runs, because only the first run of a process is determined by its seed. In the fresh
/// process it returns `None`, and the test has nothing more to do.
///
/// Call it like [`check`].
///
/// # Errors
/// See [`CheckError`].
pub fn fresh(
    test: &str,
    seed: u64,
    lines: impl FnOnce(u64) -> Vec<String>,
) -> Result<Option<String>, CheckError> {
    match std::env::var(CHILD) {
        Ok(order) => serve(&order, test, lines).map(|()| None),
        Err(_) => child(test, seed, 1).map(Some),
    }
}

/// The part of the child: runs the seed that it was given and writes the trace.
fn serve(
    order: &str,
    test: &str,
    trace: impl FnOnce(u64) -> Vec<String>,
) -> Result<(), CheckError> {
    let malformed = || CheckError::Child(format!("{CHILD} isn't test:seed:file: {order}"));
    let order = order.strip_prefix(test).ok_or_else(malformed)?;
    let (seed, file) = order
        .strip_prefix(':')
        .and_then(|rest| rest.split_once(':'))
        .ok_or_else(malformed)?;
    let seed = seed.parse().map_err(|_| malformed())?;
    std::fs::write(file, trace(seed).join("\n"))?;
    Ok(())
}

/// Runs one seed in a fresh process and returns its trace.
fn child(test: &str, seed: u64, ordinal: u32) -> Result<String, CheckError> {
    let file = Scratch::new(ordinal);
    let output = Command::new(std::env::current_exe()?)
        .args([test, "--exact", "--nocapture", "--include-ignored"])
        .env(CHILD, format!("{test}:{seed}:{}", file.path().display()))
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        return Err(CheckError::Child(
            String::from_utf8_lossy(&text).into_owned(),
        ));
    }
    std::fs::read_to_string(file.path())
        .map_err(|_| CheckError::Child(format!("no test of the name {test:?} ran `check`")))
}

/// A file of this process, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(ordinal: u32) -> Self {
        let process = std::process::id();
        let thread = std::thread::current().id();
        let name = format!("cellway-sim-{process}-{thread:?}-{ordinal}.trace");
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // If this fails, the file stays in the system's temporary folder.
        let _ = std::fs::remove_file(&self.0);
    }
}
