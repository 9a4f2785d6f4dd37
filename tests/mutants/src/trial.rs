//! Runs one mutant through scenarios until enough of them notice it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use crate::mutated::SWITCH;

/// The longest that a run may take. A mutant that makes it longer has been noticed.
const LONGEST: Duration = Duration::from_secs(120);

/// A run to do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Run {
    /// The scenario.
    pub file: PathBuf,
    /// The seed.
    pub seed: u64,
}

impl Run {
    /// The scenario's name.
    pub fn name(&self) -> String {
        let stem = self.file.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    }
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It passed.
    Passed,
    /// This invariant or expectation failed first, or the run itself did.
    Noticed(String),
}

#[derive(Deserialize)]
struct Outcome {
    passed: bool,
    broken: Option<Broken>,
}

#[derive(Deserialize)]
struct Broken {
    name: String,
}

/// Runs a scenario with this mutant, or with none.
///
/// # Errors
/// The simulator can't be started.
pub fn run(simulator: &Path, mutant: Option<&str>, run: &Run) -> Result<Ended, String> {
    let mut command = Command::new(simulator);
    command
        .arg("run")
        .arg(&run.file)
        .args(["--seed", &run.seed.to_string(), "--json"])
        .env(SWITCH, mutant.unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let started = command.spawn();
    let mut child =
        started.map_err(|error| format!("{} can't be started: {error}", simulator.display()))?;
    let stdout = child.stdout.take();
    let (send, receive) = mpsc::channel();
    let text = thread::scope(|scope| {
        scope.spawn(move || {
            let mut text = String::new();
            if let Some(mut stdout) = stdout {
                let _ = stdout.read_to_string(&mut text);
            }
            let _ = send.send(text);
        });
        let text = receive.recv_timeout(LONGEST);
        // The reader ends with the process.
        let _ = child.kill();
        let _ = child.wait();
        text
    });
    let Ok(text) = text else {
        return Ok(Ended::Noticed("takes_too_long".to_owned()));
    };
    Ok(match serde_json::from_str::<Outcome>(&text) {
        Ok(outcome) if outcome.passed => Ended::Passed,
        Ok(outcome) => {
            let name = outcome.broken.map(|broken| broken.name);
            Ended::Noticed(name.unwrap_or_else(|| "run".to_owned()))
        }
        // It ended without an outcome.
        Err(_) => Ended::Noticed("crash".to_owned()),
    })
}

/// What came of a mutant.
#[derive(Clone, Default, Debug)]
pub struct Score {
    /// How many runs were done.
    pub runs: usize,
    /// The scenarios that noticed it.
    pub noticed_in: Vec<String>,
    /// In how many runs each invariant or expectation noticed it first.
    pub by: BTreeMap<String, usize>,
}

impl Score {
    /// Takes the next run.
    pub fn add(&mut self, run: &Run, ended: Ended) {
        self.runs += 1;
        if let Ended::Noticed(name) = ended {
            self.noticed_in.push(run.name());
            *self.by.entry(name).or_default() += 1;
        }
    }

    /// Whether any run noticed it.
    pub fn is_noticed(&self) -> bool {
        !self.noticed_in.is_empty()
    }
}
