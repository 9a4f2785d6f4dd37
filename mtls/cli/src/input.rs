//! Reads the configuration and the environment variables that override it.

use std::ffi::OsString;

use cellway_env::{Env, Privacy, Store};
use cellway_router::config::{Config, ConfigErrors};

use super::{Exit, complain, failed};

/// The `--config` of every command.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ConfigFile {
    /// The configuration file
    #[arg(id = "config", long, short = 'c', value_name = "FILE")]
    pub path: String,
}

impl ConfigFile {
    /// Reads and checks the file. Prints its mistakes to standard error.
    pub(crate) async fn load<E: Env>(&self, env: &E) -> Result<Config, Exit> {
        let text = self.read(env).await?;
        Config::load(&self.path, &text, variables()).map_err(|errors| report(&errors))
    }

    /// Reads the file. If that fails, it prints the reason to standard error.
    pub(crate) async fn read<E: Env>(&self, env: &E) -> Result<String, Exit> {
        let path = &self.path;
        let content = env
            .store()
            .read(path, Config::BYTES_MAX, Privacy::Any)
            .await;
        let content = content.map_err(|error| {
            let advice =
                "name the file with --config; docs/cellway.example.toml shows every setting";
            failed(format!("can't read {path}: {error}\n    {advice}"))
        })?;
        String::from_utf8(content.into()).map_err(|_| failed(format!("{path} is not UTF-8 text")))
    }
}

/// The environment. U+FFFD stands for bytes that aren't UTF-8.
pub(crate) fn variables() -> Vec<(String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let all = std::env::vars_os();
    all.map(|(name, value)| (text(name), text(value))).collect()
}

/// Prints every mistake to standard error.
pub(crate) fn report(errors: &ConfigErrors) -> Exit {
    complain(errors);
    let count = errors.errors.len();
    let mistakes = if count == 1 { "error" } else { "errors" };
    complain(format_args!("\n{count} {mistakes} in {}", errors.file));
    Exit::No
}
