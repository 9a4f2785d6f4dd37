//! The page of a run, or of two.

use std::fs;
use std::path::{Path, PathBuf};

use cellway_sim::quoted;
use cellway_sim::report::{Recording, page};
use clap::Args;

use super::failures::Scratch;
use super::{output, runs};

/// Arguments of `report`.
#[derive(Args)]
pub(super) struct Report {
    /// The scenario file, or a recording that `run --record` wrote (*.json).
    run: PathBuf,
    /// The seed, for a scenario file.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A second run to show beside it: a scenario file or a recording.
    #[arg(long, value_name = "RUN")]
    against: Option<PathBuf>,
    /// The seed of the second run; by default the same.
    #[arg(long, value_name = "SEED")]
    against_seed: Option<u64>,
    /// The file for the page.
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
}

impl Report {
    /// Writes the page. That the run has failed is no error.
    pub(super) fn execute(&self) -> Result<bool, String> {
        let run = recorded(&self.run, self.seed)?;
        let second = match (&self.against, self.against_seed) {
            (Some(second), seed) => Some(recorded(second, seed.unwrap_or(self.seed))?),
            (None, Some(seed)) => Some(recorded(&self.run, seed)?),
            (None, None) => None,
        };
        let out = &self.output;
        fs::write(out, page(&run, second.as_ref()))
            .map_err(|error| format!("{}: {error}", out.display()))?;
        let Recording { scenario, seed, .. } = &run;
        let end = match run.stories.first() {
            Some(story) => format!("failed: {} at {:.3}s", story.name, story.at.as_secs_f64()),
            None => "passed".to_owned(),
        };
        let mut said = format!("{scenario}, seed {seed}, {end}\n");
        if let Some(second) = &second {
            said += &match run.difference(second) {
                Some(difference) => format!("first difference: {difference}\n"),
                None => "no request and no change differs\n".to_owned(),
            };
        }
        output::print(&format!("{said}{}: open it in a browser\n", out.display()))?;
        Ok(true)
    }
}

/// A recording from its file, or of a run that is made for it.
fn recorded(run: &Path, seed: u64) -> Result<Recording, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", run.display());
    if run.extension().is_some_and(|ending| ending == "json") {
        return read(run);
    }
    cellway_sim::Scenario::load(run).map_err(|error| error.to_string())?;
    let folder = Scratch::new()?;
    let file = folder.0.join("run.json");
    runs::record(run, seed, &file)?;
    let mut recording = read(&file).map_err(|error| wrong(&error))?;
    recording.replay = super::replay(run, &seed.to_string());
    Ok(recording)
}

fn read(file: &Path) -> Result<Recording, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| {
        let newer = "if another version of cellway-sim wrote it, record the run again";
        wrong(&format!("no recording of a run: {error}; {newer}"))
    })
}

/// Writes a recording.
pub(super) fn record(recording: &Recording, file: &Path) -> Result<(), String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = serde_json::to_string(recording).map_err(|error| wrong(&error))?;
    fs::write(file, text).map_err(|error| wrong(&error))
}

/// Writes the page of a run beside its scenario. Returns the page's file.
pub(super) fn beside(scenario: &Path, seed: u64) -> Result<PathBuf, String> {
    let recording = recorded(scenario, seed)?;
    let file = scenario.with_extension("html");
    fs::write(&file, page(&recording, None))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

/// The command that makes the page of a run, with this program as it was called.
pub(super) fn command(file: &Path, seed: u64) -> String {
    let [program, file] = super::words(file);
    format!(
        "{program} report {file} --seed {seed} -o {}",
        quoted("report.html")
    )
}
