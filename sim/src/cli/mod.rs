//! The command line.

mod explore;
mod failures;
mod output;
mod points;
mod progress;
mod rehearse;
mod report;
mod runs;
mod shrink;
mod sweep;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cellway_sim::{Scenario, quoted};
use clap::{Args, Parser, Subcommand};

const AFTER_HELP: &str = "\
Examples:
  cellway-sim run scenarios/outage.toml --seed 7
  cellway-sim run scenarios/outage.toml --seed 7 --trace outage.trace
  cellway-sim report scenarios/outage.toml --seed 7 -o report.html
  cellway-sim report scenarios/outage.toml --seed 7 --against changed.toml -o report.html
  cellway-sim sweep scenarios/ --seeds 100
  cellway-sim explore --for 10min
  cellway-sim explore scenarios/outage.toml --seeds 200
  cellway-sim shrink scenarios/outage.toml --seed 7
  cellway-sim rehearse --from old/ --to new/

docs/scenarios.md describes every field and fault, docs/invariants.md what must hold in every run,
docs/report.md how to read a report.
A folder stands for all *.toml files in it. The repository's own scenarios are in scenarios/.

Exit codes:
  0  every run passed, or every file is a valid scenario
  1  a run failed, a scenario has mistakes, or a file can't be read or written
  2  the command line has a mistake
rehearse has codes of its own: see cellway-sim rehearse --help";

/// Runs real Cellway routers in a simulated network with faults, and checks what must hold.
#[derive(Parser)]
#[command(name = "cellway-sim", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one scenario with one seed, and print a timeline and whether it passed.
    Run(Run),
    /// Draw a run as a page for a browser: one file, with every request and why it went as it did.
    Report(report::Report),
    /// Run scenarios with many seeds on all cores, and print the runs that failed.
    Sweep(sweep::Sweep),
    /// Search: draw worlds, settings, clients and faults from seeds, and make what fails smaller.
    Explore(explore::Explore),
    /// Make a failing scenario smaller, while it still fails in the same way.
    Shrink(shrink::Shrink),
    /// Rehearse a change of your own configuration and registry: what it does to decisions and to traffic.
    Rehearse(rehearse::Rehearse),
    /// Find mistakes in scenario files without running them.
    Check {
        /// Scenario files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
}

#[derive(Args)]
struct Run {
    /// The scenario file.
    file: PathBuf,
    /// Decides every random choice: the same seed gives the same run, byte for byte.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write every event and every message to this file, one per line.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write a recording to this file (*.json), for `report`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print one line of JSON instead of the summary.
    #[arg(long)]
    json: bool,
}

/// The exit code if something failed or isn't valid. For a bad command line clap exits with 2.
const FAILED: u8 = 1;

pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let done = match cli.command {
        Command::Run(run) => run.execute(),
        Command::Report(report) => report.execute(),
        Command::Sweep(sweep) => sweep.execute(),
        Command::Explore(explore) => explore.execute(),
        Command::Shrink(shrink) => shrink.execute(),
        Command::Rehearse(rehearse) => return rehearse.execute(),
        Command::Check { paths } => check(&paths),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(problem) => {
            output::complain(&format!("cellway-sim: {problem}\n"));
            ExitCode::from(FAILED)
        }
    }
}

/// Prints the help if it was asked for, otherwise the mistake in the command line.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    let code = u8::try_from(error.exit_code()).unwrap_or(FAILED);
    match printed {
        Err(_) if code == 0 => ExitCode::from(FAILED),
        _ => ExitCode::from(code),
    }
}

/// The command that runs a scenario again, with this program as it was called.
fn replay(file: &Path, seed: &str) -> String {
    let [program, file] = words(file);
    format!("{program} run {file} --seed {seed}")
}

/// This program as it was called, and a file, as words for a shell.
fn words(file: &Path) -> [String; 2] {
    let program = std::env::args_os().next();
    let program = program.as_deref().unwrap_or("cellway-sim".as_ref());
    [program, file.as_os_str()].map(|word| quoted(&word.to_string_lossy()))
}

impl Run {
    /// Whether the run passed.
    fn execute(&self) -> Result<bool, String> {
        let scenario = Scenario::load(&self.file).map_err(|error| error.to_string())?;
        let scenario = scenario.replayed_by(replay(&self.file, "{seed}"));
        let report = match self.trace.is_some() || self.record.is_some() {
            true => scenario.run(self.seed),
            false => scenario.run_untraced(self.seed),
        };
        if let Some(file) = &self.trace {
            let lines = report.trace.join("\n") + "\n";
            std::fs::write(file, lines).map_err(|e| format!("{}: {e}", file.display()))?;
        }
        let passed = report.passed();
        output::print(&match (self.json, passed) {
            (true, _) => json(&report)?,
            (false, true) => report.summary(),
            (false, false) => {
                let page = report::command(&self.file, self.seed);
                format!("{}report: {page}\n", report.summary())
            }
        })?;
        if let Some(file) = &self.record {
            report::record(&report.into_recording(), file)?;
        }
        Ok(passed)
    }
}

/// The part of a report that other commands read.
fn json(report: &cellway_sim::Report) -> Result<String, String> {
    let line = serde_json::to_string(&runs::Outcome::of(report));
    line.map(|line| line + "\n")
        .map_err(|error| error.to_string())
}

fn check(paths: &[PathBuf]) -> Result<bool, String> {
    let mut good = true;
    for file in sweep::scenario_files(paths)? {
        match Scenario::load(&file) {
            Ok(_) => output::print(&format!("{}: ok\n", file.display()))?,
            Err(error) => {
                output::print(&format!("{error}\n"))?;
                good = false;
            }
        }
    }
    Ok(good)
}
