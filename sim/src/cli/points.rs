//! The sometimes-points that a search or a sweep has reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use cellway_sim::points::Point;
use clap::Args;

/// What must be reached.
#[derive(Args)]
pub(super) struct MustReach {
    /// A file with the names of points, one a line. The command fails if one of them isn't reached.
    #[arg(long, value_name = "FILE")]
    points: Option<PathBuf>,
    /// Write the points that three runs or more have reached to the file of --points, instead of comparing.
    #[arg(long, requires = "points")]
    accept_points: bool,
}

/// In how many runs a point must be reached to be written to a file. What one or two runs reach, any change
/// of the router can lose by chance.
const RUNS_MIN: u64 = 3;

/// How often each point was reached, over all runs.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<String, Count>);

#[derive(Default)]
struct Count {
    times: u64,
    runs: u64,
}

impl Tally {
    /// Takes the points of a run. Returns whether one of them is new.
    pub(super) fn add(&mut self, points: &BTreeMap<String, u64>) -> bool {
        let before = self.0.len();
        for (point, times) in points {
            let count = self.0.entry(point.clone()).or_default();
            count.times += times;
            count.runs += 1;
        }
        self.0.len() > before
    }

    /// A table of what was reached, and what wasn't.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        let width = self.0.keys().map(String::len).max().unwrap_or(0);
        for (point, Count { times, runs }) in &self.0 {
            // Writing to a string can't fail.
            let _ = writeln!(
                text,
                "  {point:<width$}  {times:>7} times in {runs:>4} runs"
            );
        }
        let points = Point::ALL.iter().map(|point| point.name());
        let never: Vec<_> = points.filter(|name| !self.0.contains_key(*name)).collect();
        let _ = match never.as_slice() {
            [] => writeln!(text, "All points were reached."),
            never => writeln!(text, "Never reached: {}", never.join(", ")),
        };
        text
    }
}

impl MustReach {
    /// Checks before a long search that the file can be read, or can be written.
    pub(super) fn ready(&self) -> Result<(), String> {
        let Some(file) = &self.points else {
            return Ok(());
        };
        let opened = match self.accept_points {
            true => fs::OpenOptions::new().append(true).create(true).open(file),
            false => fs::File::open(file),
        };
        opened.map(drop).map_err(|error| wrong(file, &error))
    }

    /// Compares with the file. Returns whether all its points were reached, and what to print.
    pub(super) fn check(&self, tally: &Tally) -> Result<(bool, String), String> {
        let Some(file) = &self.points else {
            return Ok((true, String::new()));
        };
        let reached: BTreeSet<&str> = tally.0.keys().map(String::as_str).collect();
        if self.accept_points {
            let often = (tally.0.iter()).filter(|(_, count)| count.runs >= RUNS_MIN);
            let often: Vec<_> = often.map(|(point, _)| format!("{point}\n")).collect();
            fs::write(file, often.concat()).map_err(|error| wrong(file, &error))?;
            let count = often.len();
            return Ok((
                true,
                format!("{count} points written to {}\n", file.display()),
            ));
        }
        let text = fs::read_to_string(file).map_err(|error| wrong(file, &error))?;
        let wanted: BTreeSet<&str> = text
            .lines()
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect();
        let lost: Vec<_> = wanted.difference(&reached).copied().collect();
        let mut said = String::new();
        if !lost.is_empty() {
            let _ = writeln!(
                said,
                "{} names points that were not reached: {}. Find out why, or accept it with --accept-points.",
                file.display(),
                lost.join(", ")
            );
        }
        Ok((lost.is_empty(), said))
    }
}

fn wrong(file: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", file.display())
}
