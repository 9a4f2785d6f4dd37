//! `rehearse`: what a change of a configuration and its registry does.

use std::path::PathBuf;
use std::process::ExitCode;

use cellway_sim::rehearse::{Kind, Rehearsal, RehearseError, Side};
use clap::Args;

use super::output;

/// Arguments of `rehearse`.
#[derive(Args)]
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
    /// Decisions may change in these ways: refused, allowed, moved, other, or all.
    #[arg(long, value_name = "WAYS", value_delimiter = ',', value_parser = way)]
    allow: Vec<Ways>,
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

impl Rehearse {
    pub(super) fn execute(&self) -> ExitCode {
        match self.rehearse() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(FOUND),
            Err(error) => {
                output::complain(&format!("cellway-sim: {error}\n"));
                ExitCode::from(match error {
                    RehearseError::Read { .. } => IO,
                    _ => MISTAKES,
                })
            }
        }
    }

    fn rehearse(&self) -> Result<bool, RehearseError> {
        let side = |folder: &PathBuf| Side::load(folder, self.registry.as_deref());
        let rehearsal = Rehearsal::new(side(&self.from)?, side(&self.to)?)?;
        let report = rehearsal.report();
        let allowed: Vec<_> = self.allow.iter().flatten().copied().collect();
        let _ = output::print(&report.text());
        Ok(report.passed(&allowed))
    }
}
