//! `rehearse`: what a change of a configuration and its registry does.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use cellway_sim::rehearse::{Kind, Rehearsal, RehearseError, Report, Run, Seen, Side};
use clap::{Args, ValueEnum};

use super::failures::{self, Failed, Failures, Keep, Scratch};
use super::output;
use super::progress::{Goal, Progress};
use super::runs::{self, Job, Outcome};

/// How many seeds the change runs with, at most, without further faults. They differ little.
const PLAIN_SEEDS: u64 = 3;

/// How many seeds draw faults by default.
const FAULT_SEEDS: u64 = 20;

const AFTER_HELP: &str = "\
Each folder has a cellway.toml and its registry. Nothing else is read: made keys and certificates stand in
for the configured ones. docs/rehearse.md says what is simulated, and what isn't.

Examples:
  cellway-sim rehearse --from old/ --to new/
  cellway-sim rehearse --from old/ --to new/ --faults --seeds 50
  cellway-sim rehearse --from old/ --to new/ --allow moved --format markdown
  cellway-sim rehearse --from old/ --to new/ --decisions-only --format junit

Exit codes:
  0  decisions change only in allowed ways, no request is lost, and no invariant is broken
  1  something else changes, is lost, is broken, or running routers would refuse the change
  2  the command line, a configuration or a registry has mistakes
  3  a file can't be read or written";

/// Arguments of `rehearse`.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Rehearse {
    /// The folder with cellway.toml and the registry before the change.
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    /// The folder with both after the change.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// The registry's file in both folders. By default the one that the configuration names, registry.json or
    /// registry.toml.
    #[arg(long, value_name = "NAME")]
    registry: Option<String>,
    /// Also run the change with faults around it, which each seed draws.
    #[arg(long)]
    faults: bool,
    /// How many seeds to run: 3 by default, and 20 with --faults, for which each draws others.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Compare the decisions only, and simulate no traffic.
    #[arg(long, conflicts_with = "faults")]
    decisions_only: bool,
    /// Decisions may change in these ways: refused, allowed, moved, other, or all.
    #[arg(long, value_name = "WAYS", value_delimiter = ',', value_parser = way)]
    allow: Vec<Ways>,
    /// Write the scenario with the change to this file, to run it with the other commands. If there are
    /// several listeners, their names are added.
    #[arg(long, value_name = "FILE")]
    write_scenario: Option<PathBuf>,
    /// How many runs at a time; by default one for each core.
    #[arg(long)]
    jobs: Option<usize>,
    /// How to print the report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    keep: Keep,
}

/// How a report is printed.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// To read.
    Text,
    /// One object, for other programs.
    Json,
    /// JUnit XML, which pipelines show as tests.
    Junit,
    /// For a comment on a pull request.
    Markdown,
}

/// The exit codes besides success.
const FOUND: u8 = 1;
const MISTAKES: u8 = 2;
const IO: u8 = 3;

type Ways = Vec<Kind>;

/// A way in which decisions may change.
fn way(text: &str) -> Result<Ways, String> {
    if text == "all" {
        return Ok(Kind::ALL.to_vec());
    }
    let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
    let known = || "write refused, allowed, moved, other or all".to_owned();
    found.map(|kind| vec![kind]).ok_or_else(known)
}

/// Why the command ends without a report.
enum Stopped {
    Rehearse(RehearseError),
    Io(String),
}

impl From<RehearseError> for Stopped {
    fn from(error: RehearseError) -> Self {
        Self::Rehearse(error)
    }
}

impl From<String> for Stopped {
    fn from(problem: String) -> Self {
        Self::Io(problem)
    }
}

impl Rehearse {
    pub(super) fn execute(&self) -> ExitCode {
        let (code, problem) = match self.rehearse() {
            Ok(true) => return ExitCode::SUCCESS,
            Ok(false) => return ExitCode::from(FOUND),
            Err(Stopped::Rehearse(error)) if error.is_io() => (IO, error.to_string()),
            Err(Stopped::Rehearse(error)) => (MISTAKES, error.to_string()),
            Err(Stopped::Io(problem)) => (IO, problem),
        };
        output::complain(&format!("cellway-sim: {problem}\n"));
        ExitCode::from(code)
    }

    fn rehearse(&self) -> Result<bool, Stopped> {
        let side = |folder: &PathBuf| Side::load(folder, self.registry.as_deref());
        let mut rehearsal = Rehearsal::new(side(&self.from)?, side(&self.to)?)?;
        self.write(&rehearsal)?;
        if !self.decisions_only {
            self.run(&mut rehearsal)?;
        }
        let report = rehearsal.report();
        let allowed: Vec<_> = self.allow.iter().flatten().copied().collect();
        output::print(&self.shown(&report, &allowed))?;
        Ok(report.passed(&allowed))
    }

    fn shown(&self, report: &Report, allowed: &[Kind]) -> String {
        match self.format {
            Format::Text => report.text(allowed),
            Format::Json => report.json(allowed),
            Format::Junit => report.junit(allowed),
            Format::Markdown => report.markdown(allowed),
        }
    }

    /// Writes the scenarios that are asked for.
    fn write(&self, rehearsal: &Rehearsal) -> Result<(), String> {
        let Some(file) = &self.write_scenario else {
            return Ok(());
        };
        let scenarios: Vec<_> = rehearsal.scenarios().collect();
        for (listener, text) in &scenarios {
            let file = match scenarios.len() {
                1 => file.clone(),
                _ => of_listener(file, listener),
            };
            failures::write(&file, text)?;
            output::complain(&format!("{}: written\n", file.display()));
        }
        if scenarios.is_empty() {
            output::complain("no scenario was written: no listener can be simulated\n");
        }
        Ok(())
    }

    /// Runs all scenarios, each in a process of its own.
    fn run(&self, rehearsal: &mut Rehearsal) -> Result<(), String> {
        let plain = self.seeds.unwrap_or(PLAIN_SEEDS).min(PLAIN_SEEDS);
        let faults = match self.faults {
            true => self.seeds.unwrap_or(FAULT_SEEDS),
            false => 0,
        };
        let all = rehearsal.runs(plain, faults);
        if all.is_empty() {
            return Ok(());
        }
        self.keep.ready()?;
        let scratch = Scratch::new()?;
        let file = |run: &Run| scratch.0.join(format!("{}.toml", run.name));
        let mut jobs = VecDeque::new();
        for run in &all {
            failures::write(&file(run), &run.scenario)?;
            jobs.push_back(Job {
                file: file(run),
                seed: run.seed,
            });
        }
        let mut progress = Progress::new(Goal::Runs(jobs.len()));
        let queue = Mutex::new(jobs);
        let next = || {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.pop_front()
        };
        let mut failures = Failures::new(&self.keep);
        runs::each(runs::workers(self.jobs), next, |job, outcome| {
            if let Some(run) = all.iter().find(|run| file(run) == job.file) {
                let seen = self.seen(&mut failures, run, &job, outcome);
                progress.step(seen.broken.is_none());
                rehearsal.add(run, seen);
            }
            ControlFlow::Continue(())
        });
        progress.clear();
        self.keep.done();
        Ok(())
    }

    /// What a run has shown. If it failed with the change, its scenario is kept and made smaller.
    fn seen(
        &self,
        failures: &mut Failures<'_>,
        run: &Run,
        job: &Job,
        outcome: Result<Outcome, String>,
    ) -> Seen {
        let mut broken = None;
        if let Some(mut failed) = Failed::of(&outcome) {
            let name = failed.broken.as_ref().map_or("run", |it| it.name.as_str());
            let name = name.to_owned();
            let kept = self.keep.moved(&job.file);
            let story = match kept.filter(|_| run.has_change) {
                None => failed.why.join("\n"),
                Some(file) => {
                    let [before, after] = [&job.file, &file].map(|it| it.display().to_string());
                    for why in &mut failed.why {
                        *why = why.replace(&before, &after);
                    }
                    let seed = run.seed;
                    failures.add(&Job { file, seed }, &failed)
                }
            };
            broken = Some((name, story));
        }
        let Ok(outcome) = outcome else {
            return Seen {
                broken,
                ..Seen::default()
            };
        };
        let answers = outcome.answers.into_iter();
        Seen {
            answers: answers
                .map(|(client, answer, count)| ((client, answer), count))
                .collect(),
            reasons: outcome.reasons,
            broken,
        }
    }
}

/// `change.toml` becomes `change-public.toml`.
fn of_listener(file: &Path, listener: &str) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!("{stem}-{listener}.toml"))
}
