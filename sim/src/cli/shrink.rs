//! Makes one failing scenario smaller.

use std::path::PathBuf;

use cellway_sim::Scenario;
use cellway_sim::explore::Symptom;
use clap::Args;

use super::{failures, output, runs};

/// Arguments of `shrink`.
#[derive(Args)]
pub(super) struct Shrink {
    /// The scenario file.
    file: PathBuf,
    /// The seed with which it fails.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The file for what is left. By default its name is the scenario's with `-small`.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The most runs.
    #[arg(long, value_name = "RUNS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
}

impl Shrink {
    /// Whether there is a smaller scenario that fails.
    pub(super) fn execute(&self) -> Result<bool, String> {
        Scenario::load(&self.file).map_err(|error| error.to_string())?;
        let scenario = failures::read(&self.file)?;
        let outcome = runs::run(&self.file, self.seed)?;
        let Some(broken) = outcome.broken else {
            return Err(format!(
                "{} passes with seed {}; give the seed with which it fails",
                self.file.display(),
                self.seed
            ));
        };
        let symptom = Symptom::new(&broken.name, &broken.why);
        let tries = usize::try_from(self.runs).unwrap_or(usize::MAX);
        let Some(small) = failures::smaller(&scenario, self.seed, &symptom, tries) else {
            output::print("nothing can be taken away\n")?;
            return Ok(false);
        };
        let path = self.output.clone().unwrap_or_else(|| {
            let stem = self.file.file_stem().unwrap_or_default().to_string_lossy();
            self.file.with_file_name(format!("{stem}-small.toml"))
        });
        let lines = failures::write(&path, &failures::titled(&small, &broken, self.seed))?;
        let replay = super::replay(&path, &self.seed.to_string());
        let page = super::report::beside(&path, self.seed)?;
        output::print(&format!(
            "{} ({lines} lines) still breaks {}\nreplay: {replay}\nreport: {}\n",
            path.display(),
            broken.name,
            page.display()
        ))?;
        Ok(true)
    }
}
