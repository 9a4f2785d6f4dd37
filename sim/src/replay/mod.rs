//! The command that runs a failed scenario again.

use std::env;
use std::path::Path;
use std::thread;

/// The placeholder for the seed in a command.
const SEED: &str = "{seed}";

/// The command for this seed. `set` is the command that the scenario's owner gave. Without it, the
/// result is the command of the running test, or the command line of this process.
pub(crate) fn command(set: Option<&str>, seed: u64) -> String {
    match set {
        Some(command) => command.replace(SEED, &seed.to_string()),
        None => guess(),
    }
}

fn guess() -> String {
    let package = env::var("CARGO_PKG_NAME").ok();
    // The test harness names each test's thread after the test.
    let thread = thread::current();
    let test = thread.name().filter(|name| *name != "main");
    let program = env::args_os().next().unwrap_or_default();
    match (package, test) {
        (Some(package), Some(test)) if is_test(Path::new(&program)) => {
            format!("cargo test -p {package} {} -- --exact", quoted(test))
        }
        _ => {
            let arguments = env::args_os().map(|argument| quoted(&argument.to_string_lossy()));
            arguments.collect::<Vec<_>>().join(" ")
        }
    }
}

/// Whether this program is in Cargo's folder for tests (not for examples).
fn is_test(program: &Path) -> bool {
    let folder = program.parent().and_then(Path::file_name);
    folder.is_some_and(|folder| folder == "deps")
}

/// A word, quoted for a shell.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests;
