//! Many seeds. Each run is a process of its own, because only the first run of a process is
//! determined byte for byte, and a failure must be replayable.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};

use cellway_sim::Scenario;
use clap::Args;
use serde::Deserialize;

use super::output;
use super::progress::Progress;

/// Arguments of `sweep`.
#[derive(Args)]
pub(super) struct Sweep {
    /// Scenario files, or folders of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// How many seeds each scenario runs with.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many runs at a time; by default one for each core.
    #[arg(long)]
    jobs: Option<usize>,
}

/// One run to do.
#[derive(Clone, Debug)]
struct Job {
    file: PathBuf,
    seed: u64,
}

/// The line that `run --json` prints.
#[derive(Deserialize, Debug)]
struct Outcome {
    requests: u64,
    simulated_ms: u64,
    violations: Vec<String>,
}

impl Sweep {
    /// Whether all runs passed.
    pub(super) fn execute(&self) -> Result<bool, String> {
        let files = scenario_files(&self.paths)?;
        for file in &files {
            Scenario::load(file).map_err(|error| error.to_string())?;
        }
        let seeds = self.from..self.from.saturating_add(self.seeds);
        // Seed by seed, so that every scenario has been tried when the first minute is over.
        let jobs = seeds.flat_map(|seed| files.iter().map(move |file| (file.clone(), seed)));
        let jobs: VecDeque<Job> = jobs.map(|(file, seed)| Job { file, seed }).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.jobs.unwrap_or(cores).clamp(1, jobs.len().max(1));
        run_all(jobs, workers)
    }
}

fn run_all(jobs: VecDeque<Job>, workers: usize) -> Result<bool, String> {
    let total = jobs.len();
    let queue = Mutex::new(jobs);
    let next = || {
        queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    };
    let (results, done) = mpsc::channel();
    let mut tally = Tally::default();
    let mut progress = Progress::new(total);
    let mut printed = Ok(());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (results, next) = (results.clone(), &next);
            scope.spawn(move || {
                while let Some(job) = next() {
                    let outcome = run(&job);
                    if results.send((job, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        for (job, outcome) in done {
            let report = tally.add(&job, outcome);
            progress.step(report.is_none());
            if let Some(report) = report {
                progress.clear();
                // If this failure can't be printed, later ones can't either, so the sweep stops.
                printed = output::print(&format!("{report}\n"));
                if printed.is_err() {
                    return;
                }
            }
        }
    });
    progress.clear();
    printed?;
    output::print(&format!("{}\n", tally.summary(total, &progress)))?;
    Ok(tally.failed == 0)
}

/// Runs one seed in a process of its own.
fn run(job: &Job) -> Result<Outcome, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let child: Child = Command::new(program)
        .args(["run", "--json", "--seed", &job.seed.to_string()])
        .arg(&job.file)
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

/// The results of all runs so far.
#[derive(Default)]
struct Tally {
    failed: usize,
    requests: u64,
    simulated_ms: u64,
}

impl Tally {
    /// Takes one run; returns what to print if it failed.
    fn add(&mut self, job: &Job, outcome: Result<Outcome, String>) -> Option<String> {
        let why = match outcome {
            Ok(outcome) => {
                self.requests += outcome.requests;
                self.simulated_ms += outcome.simulated_ms;
                outcome.violations
            }
            Err(error) => vec![error],
        };
        if why.is_empty() {
            return None;
        }
        self.failed += 1;
        let (file, seed) = (job.file.display(), job.seed);
        let why = why.join("\n").replace('\n', "\n  ");
        let replay = super::replay(&job.file, &seed.to_string());
        Some(format!(
            "FAILED {file} seed {seed}\n  {why}\n  replay: {replay}"
        ))
    }

    fn summary(&self, total: usize, progress: &Progress) -> String {
        let (real, simulated) = (
            progress.elapsed().as_secs_f64(),
            self.simulated_ms as f64 / 1000.0,
        );
        let Self {
            failed, requests, ..
        } = self;
        format!(
            "{total} runs, {failed} failed; {requests} requests in {simulated:.0} simulated \
             seconds, {real:.1} real ones ({:.0} times as fast)",
            simulated / real.max(0.001)
        )
    }
}

/// The files that the paths name: themselves, and the `.toml` files of folders, in order.
pub(super) fn scenario_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(folder(path).map_err(|e| format!("{}: {e}", path.display()))?);
        } else {
            files.push(path.clone());
        }
    }
    match files.is_empty() {
        true => {
            let paths: Vec<_> = paths
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            Err(format!(
                "{}: no scenario file (*.toml) in it",
                paths.join(", ")
            ))
        }
        false => Ok(files),
    }
}

fn folder(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|ending| ending == "toml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
