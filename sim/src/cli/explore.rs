//! The search: scenarios that are drawn from seeds, run until the time or the seeds are used up.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cellway_sim::explore::{draw, text, vary};
use clap::Args;
use toml::Table;

use super::failures::{self, Failed, Failures, Keep, Scratch};
use super::output;
use super::points::{MustReach, Tally};
use super::progress::{Goal, Progress};
use super::runs::{self, Job, Outcome};
use super::sweep::scenario_files;

/// Arguments of `explore`.
#[derive(Args)]
pub(super) struct Explore {
    /// Scenarios to vary, or folders of them: each seed adds faults and changes settings. Without them
    /// each seed draws a world of its own.
    paths: Vec<PathBuf>,
    /// How many seeds to try.
    #[arg(long, required_unless_present = "time", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// How long to search, such as 90s, 10min or 8h.
    #[arg(long = "for", value_name = "TIME", id = "time", value_parser = time)]
    time: Option<Duration>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many runs at a time; by default one for each core.
    #[arg(long)]
    jobs: Option<usize>,
    /// Stop when so many seeds in a row have reached no new point.
    #[arg(long, value_name = "SEEDS")]
    stop_after: Option<u64>,
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    must_reach: MustReach,
}

/// A length of time on the command line.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "give a whole number and s, min or h, such as 10min".to_owned();
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let unit = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let secs = number.checked_mul(unit).filter(|secs| *secs > 0);
    secs.map(Duration::from_secs).ok_or_else(wrong)
}

/// Where the scenarios come from.
enum Source {
    Drawn,
    Varied(Vec<(String, Table)>),
}

impl Source {
    fn new(paths: &[PathBuf]) -> Result<Self, String> {
        if paths.is_empty() {
            return Ok(Self::Drawn);
        }
        let files = scenario_files(paths)?.into_iter().map(|file| {
            cellway_sim::Scenario::load(&file).map_err(|error| error.to_string())?;
            let stem = file.file_stem().unwrap_or_default();
            Ok((stem.to_string_lossy().into_owned(), failures::read(&file)?))
        });
        files.collect::<Result<_, String>>().map(Self::Varied)
    }

    /// The scenario of a seed, and the name of its file.
    fn scenario(&self, seed: u64) -> (String, Table) {
        match self {
            Self::Drawn => ("drawn".to_owned(), draw(seed)),
            Self::Varied(starts) => {
                let at = usize::try_from(seed).unwrap_or(0) % starts.len();
                let (name, start) = &starts[at];
                (name.clone(), vary(start, seed))
            }
        }
    }
}

impl Explore {
    /// Whether all runs passed.
    pub(super) fn execute(&self) -> Result<bool, String> {
        let source = Source::new(&self.paths)?;
        self.must_reach.ready()?;
        self.keep.ready()?;
        let scratch = Scratch::new()?;
        let started = now();
        let (seed, stop) = (AtomicU64::new(self.from), AtomicBool::new(false));
        let last = self.seeds.map(|seeds| self.from.saturating_add(seeds));
        let next = || {
            let is_over = self.time.is_some_and(|time| started.elapsed() >= time);
            if is_over || stop.load(Ordering::Relaxed) {
                return None;
            }
            let seed = seed.fetch_add(1, Ordering::Relaxed);
            if last.is_some_and(|last| seed >= last) {
                return None;
            }
            self.job(&source, &scratch.0, seed)
        };
        let mut found = Found::new(&self.keep);
        let mut progress = Progress::new(match (self.seeds, self.time) {
            (Some(seeds), _) => Goal::Runs(usize::try_from(seeds).unwrap_or(usize::MAX)),
            (None, time) => Goal::Time(time.unwrap_or_default()),
        });
        let mut printed = Ok(());
        runs::each(runs::workers(self.jobs), next, |job, outcome| {
            let report = found.add(&job, outcome);
            progress.step(report.is_none());
            if self
                .stop_after
                .is_some_and(|seeds| found.since_new >= seeds)
            {
                stop.store(true, Ordering::Relaxed);
            }
            if let Some(report) = report {
                progress.clear();
                printed = output::print(&format!("{report}\n"));
            }
            match printed.is_ok() {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        progress.clear();
        self.keep.done();
        printed?;
        output::print(&found.summary(&progress))?;
        let (reached, said) = self.must_reach.check(&found.points)?;
        output::print(&said)?;
        Ok(found.failed == 0 && reached)
    }

    /// Writes the scenario of a seed.
    fn job(&self, source: &Source, folder: &Path, seed: u64) -> Option<Job> {
        let (name, scenario) = source.scenario(seed);
        let file = folder.join(format!("{name}-{seed}.toml"));
        match failures::write(&file, &text(&scenario)) {
            Ok(_) => Some(Job { file, seed }),
            Err(error) => {
                output::complain(&format!("{error}\n"));
                None
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a search takes is real time"
)]
fn now() -> Instant {
    Instant::now()
}

/// What a search has found so far.
struct Found<'a> {
    failures: Failures<'a>,
    keep: &'a Keep,
    runs: u64,
    failed: u64,
    requests: usize,
    simulated_ms: u64,
    points: Tally,
    /// How many runs in a row have reached no new point.
    since_new: u64,
}

impl<'a> Found<'a> {
    fn new(keep: &'a Keep) -> Self {
        Self {
            failures: Failures::new(keep),
            keep,
            runs: 0,
            failed: 0,
            requests: 0,
            simulated_ms: 0,
            points: Tally::default(),
            since_new: 0,
        }
    }

    /// Takes one run; returns what to print if it failed.
    fn add(&mut self, job: &Job, outcome: Result<Outcome, String>) -> Option<String> {
        self.runs += 1;
        self.since_new += 1;
        if let Ok(outcome) = &outcome {
            self.requests += outcome.requests;
            self.simulated_ms += outcome.simulated_ms;
            if self.points.add(&outcome.points) {
                self.since_new = 0;
            }
        }
        let Some(mut failed) = Failed::of(&outcome) else {
            // Only failures are kept.
            let _ = std::fs::remove_file(&job.file);
            return None;
        };
        self.failed += 1;
        let Some(file) = self.keep.moved(&job.file) else {
            return Some(self.failures.add(job, &failed));
        };
        let (before, after) = (job.file.display().to_string(), file.display().to_string());
        for why in &mut failed.why {
            *why = why.replace(&before, &after);
        }
        let seed = job.seed;
        Some(self.failures.add(&Job { file, seed }, &failed))
    }

    fn summary(&self, progress: &Progress) -> String {
        let Self {
            runs,
            failed,
            requests,
            ..
        } = self;
        let (real, simulated) = (
            progress.elapsed().as_secs_f64(),
            self.simulated_ms as f64 / 1000.0,
        );
        let kinds = match self.failures.kinds() {
            0 => String::new(),
            1 => " in 1 way".to_owned(),
            more => format!(" in {more} ways"),
        };
        let points = self.points.table();
        format!(
            "points reached, and how often\n{points}\n{runs} seeds, {failed} failed{kinds}; {requests} requests in {simulated:.0} simulated seconds, \
             {real:.1} real ones ({:.0} times as fast)\n",
            simulated / real.max(0.001)
        )
    }
}
