//! Runs of scenarios, several at a time. Each is a process of its own, because only the first run of a
//! process is determined byte for byte, and a failure must be replayable.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use cellway_sim::Report;
use serde::{Deserialize, Serialize};

/// One run to do.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) file: PathBuf,
    pub(super) seed: u64,
}

/// What `run --json` prints of a run.
#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Outcome {
    scenario: String,
    seed: u64,
    passed: bool,
    pub(super) requests: usize,
    pub(super) simulated_ms: u64,
    /// The failures as text.
    pub(super) violations: Vec<String>,
    /// What broke first.
    pub(super) broken: Option<Broken>,
    /// How often each sometimes-point was reached.
    pub(super) points: BTreeMap<String, u64>,
    /// How often each client got each answer.
    pub(super) answers: Vec<(String, String, u64)>,
    /// The reasons of the routers' decisions.
    pub(super) reasons: BTreeSet<String>,
}

/// The first failure of a run.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(super) struct Broken {
    /// The invariant or expectation.
    pub(super) name: String,
    /// What was found.
    pub(super) why: String,
}

impl Outcome {
    pub(super) fn of(report: &Report) -> Self {
        let first = report.violations.first();
        Self {
            scenario: report.scenario.clone(),
            seed: report.seed,
            passed: report.passed(),
            requests: report.requests.len(),
            simulated_ms: u64::try_from(report.simulated.as_millis()).unwrap_or(u64::MAX),
            violations: report.failures(),
            broken: first.map(|violation| Broken {
                name: violation.name.clone(),
                why: violation.why.clone(),
            }),
            points: report.points.counts().clone(),
            answers: (report.answers().into_iter())
                .map(|((client, answer), count)| (client, answer, count))
                .collect(),
            reasons: (report.decisions.keys())
                .map(|(_, reason)| (*reason).to_owned())
                .collect(),
        }
    }
}

/// How many runs to do at a time: as many as asked for, by default one for each core.
pub(super) fn workers(asked: Option<usize>) -> usize {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    asked.unwrap_or_else(cores).max(1)
}

/// Does the runs that `next` gives, so many at a time, until there are none or `done` breaks.
pub(super) fn each(
    workers: usize,
    next: impl Fn() -> Option<Job> + Sync,
    mut done: impl FnMut(Job, Result<Outcome, String>) -> ControlFlow<()>,
) {
    let (results, ended) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..workers {
            let (results, next) = (results.clone(), &next);
            scope.spawn(move || {
                while let Some(job) = next() {
                    let outcome = run(&job.file, job.seed);
                    if results.send((job, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        for (job, outcome) in ended {
            if done(job, outcome).is_break() {
                return;
            }
        }
    });
}

/// Runs one seed in a process of its own.
pub(super) fn run(file: &Path, seed: u64) -> Result<Outcome, String> {
    started(file, seed, &[])
}

/// The same, and writes a recording.
pub(super) fn record(file: &Path, seed: u64, recording: &Path) -> Result<(), String> {
    started(file, seed, &["--record".as_ref(), recording.as_os_str()])?;
    Ok(())
}

fn started(file: &Path, seed: u64, options: &[&OsStr]) -> Result<Outcome, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let child: Child = Command::new(program)
        .args(["run", "--json", "--seed", &seed.to_string()])
        .args(options)
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let error = String::from_utf8_lossy(&output.stderr);
        format!("the process ended with {}: {}", output.status, error.trim())
    })
}
