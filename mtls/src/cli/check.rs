//! `cellway check`

use cellway_mtls::check::check_files;
use cellway_mtls::env::tokio::TokioEnv;
use cellway_mtls::log::Subjects;

use super::input::{ConfigFile, provider};
use super::{Exit, complain, failed, say};

/// The arguments of `cellway check`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Reads the configuration with its overrides from the environment, and every file that it names:
certificates, keys, bundles, key sets, the registry. Connects to nothing.

Examples:
  cellway check --config cellway.toml
  CELLWAY__LISTENER__0__BIND=127.0.0.1:8443 cellway check -c cellway.toml

Exit codes: 0 valid, 1 mistakes (each on standard error), 2 usage, 3 the file can't be read")]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
}

/// Runs it.
pub fn run(args: &Args) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(check(args)),
        Err(error) => failed(error),
    }
}

async fn check(args: &Args) -> Exit {
    let env = TokioEnv::new();
    let config = match args.config.load(&env).await {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let problems = check_files(&env, &provider(), &config.router, &args.config.path).await;
    for problem in &problems {
        complain(format_args!("{}: {problem}", args.config.path));
    }
    let key = config.log.subject_key.as_deref();
    let subjects = Subjects::load(&env, config.log.subject, key).await;
    if let Err(error) = &subjects {
        complain(format_args!(
            "{}: log.subject_key: {error}",
            args.config.path
        ));
    }
    if !problems.is_empty() || subjects.is_err() {
        return Exit::No;
    }
    say(&format!("{} is valid", args.config.path), Exit::Ok)
}
