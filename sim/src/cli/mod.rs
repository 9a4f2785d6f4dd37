//! The command line.

mod progress;
mod sweep;

use std::path::PathBuf;
use std::process::ExitCode;

use cellway_sim::{Report, Scenario};
use clap::{Args, Parser, Subcommand};

const AFTER_HELP: &str = "\
Examples:
  cellway-sim run scenarios/outage.toml --seed 7
  cellway-sim run scenarios/outage.toml --seed 7 --trace outage.trace
  cellway-sim sweep scenarios/ --seeds 100

docs/scenarios.md has every field and fault, docs/invariants.md what must always hold.

Exit codes: 0 all passed, 1 a run failed or a scenario has mistakes (check), 2 the command could
not be carried out";

/// Runs real Cellway routers through simulated worlds, faults and all.
#[derive(Parser)]
#[command(name = "cellway-sim", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one scenario with one seed and show what happened.
    Run(Run),
    /// Run scenarios with many seeds, a process for each, on all cores.
    Sweep(sweep::Sweep),
    /// Check scenario files, without running them.
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
    /// What every random choice follows from: the same seed gives the same run, byte for byte.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes every event and every message, line by line, to this file.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Prints one line of JSON instead of the summary.
    #[arg(long)]
    json: bool,
}

/// The exit code for a scenario that failed.
const FAILED: u8 = 1;
/// The exit code for a command that couldn't be carried out.
const UNUSABLE: u8 = 2;

pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(run) => run.execute(),
        Command::Sweep(sweep) => sweep.execute(),
        Command::Check { paths } => check(&paths),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(UNUSABLE)
        }
    }
}

impl Run {
    /// Whether the run passed.
    fn execute(&self) -> Result<bool, String> {
        let scenario = Scenario::load(&self.file).map_err(|error| error.to_string())?;
        let report = scenario.run(self.seed);
        if let Some(file) = &self.trace {
            let lines = report.trace.join("\n") + "\n";
            std::fs::write(file, lines).map_err(|e| format!("{}: {e}", file.display()))?;
        }
        match self.json {
            true => println!("{}", json(&report)),
            false => print!("{}", report.summary()),
        }
        Ok(report.passed())
    }
}

/// What a sweep needs to know of a run.
fn json(report: &Report) -> serde_json::Value {
    let violations = report.violations.iter();
    let violations =
        violations.map(|v| format!("{} at {:.3}s: {}", v.name, v.at.as_secs_f64(), v.why));
    serde_json::json!({
        "scenario": report.scenario,
        "seed": report.seed,
        "passed": report.passed(),
        "requests": report.requests.len(),
        "simulated_ms": u64::try_from(report.simulated.as_millis()).unwrap_or(u64::MAX),
        "violations": violations.collect::<Vec<_>>(),
    })
}

fn check(paths: &[PathBuf]) -> Result<bool, String> {
    let mut good = true;
    for file in sweep::scenario_files(paths)? {
        match Scenario::load(&file) {
            Ok(_) => println!("{}: ok", file.display()),
            Err(error) => {
                println!("{error}");
                good = false;
            }
        }
    }
    Ok(good)
}
