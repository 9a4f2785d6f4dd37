//! Scenarios with many seeds.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cellway_sim::Scenario;
use clap::Args;

use super::failures::{Failed, Failures, Keep};
use super::output;
use super::progress::{Goal, Progress};
use super::runs::{self, Job, Outcome};

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
    #[command(flatten)]
    keep: Keep,
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
        self.run_all(jobs)
    }

    fn run_all(&self, jobs: VecDeque<Job>) -> Result<bool, String> {
        let total = jobs.len();
        let queue = Mutex::new(jobs);
        let next = || {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.pop_front()
        };
        let mut tally = Tally::new(&self.keep);
        let mut progress = Progress::new(Goal::Runs(total));
        let mut printed = Ok(());
        runs::each(runs::workers(self.jobs), next, |job, outcome| {
            let report = tally.add(&job, outcome);
            progress.step(report.is_none());
            if let Some(report) = report {
                progress.clear();
                printed = output::print(&format!("{report}\n"));
            }
            match printed.is_ok() {
                true => ControlFlow::Continue(()),
                // If this failure can't be printed, later ones can't either, so the sweep stops.
                false => ControlFlow::Break(()),
            }
        });
        progress.clear();
        printed?;
        output::print(&format!("{}\n", tally.summary(total, &progress)))?;
        Ok(tally.failed == 0)
    }
}

/// The results of all runs so far.
struct Tally<'a> {
    failures: Failures<'a>,
    failed: usize,
    requests: usize,
    simulated_ms: u64,
}

impl<'a> Tally<'a> {
    fn new(keep: &'a Keep) -> Self {
        Self {
            failures: Failures::new(keep),
            failed: 0,
            requests: 0,
            simulated_ms: 0,
        }
    }

    /// Takes one run; returns what to print if it failed.
    fn add(&mut self, job: &Job, outcome: Result<Outcome, String>) -> Option<String> {
        if let Ok(outcome) = &outcome {
            self.requests += outcome.requests;
            self.simulated_ms += outcome.simulated_ms;
        }
        let failed = Failed::of(&outcome)?;
        self.failed += 1;
        Some(self.failures.add(job, &failed))
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
