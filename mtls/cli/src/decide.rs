//! `cellway decide`

use std::io::ErrorKind;
use std::path::Path;

use cellway_decide::{Decide, DecideError, Decisions, Form};

use super::input::{ConfigFile, report, variables};
use super::shell::quoted;
use super::{Exit, complain, failed, say};

/// The arguments of `cellway decide`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The file of cases lists callers (with tokens, certificates, routing keys) and requests. The table has a
line for each caller and request: the decision, its reason, the tenant, the cell, the policy and the rule.
docs/decide.md has every key of the file. For example:

  [[caller]]
  name = \"a viewer of acme\"
  token = { claims = { tenant_id = \"acme\", roles = [\"viewer\"] } }

  [[request]]
  name = \"list orders\"
  path = \"/orders\"

Reads the configuration with its overrides from the environment, the cases, and the registry's file.
Connects to nothing, and reads no key, certificate or bundle: it makes keys for the cases and puts them in
place of the configured ones. The time is always the same, so the table is too.

Examples:
  cellway decide -c cellway.toml --cases cases.toml
  cellway decide -c cellway.toml --cases cases.toml --check decisions.txt --accept
  cellway decide -c cellway.toml --cases cases.toml --check decisions.txt
  cellway decide -c cellway.toml --cases cases.toml --check decisions.txt --registry next.json

Exit codes: 0 the table is printed, accepted, or the same as FILE, 1 decisions differ from FILE,
2 usage (also: the configuration, the cases or the registry have mistakes), 3 a file can't be read or
written")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// The file of cases
    #[arg(long, value_name = "FILE")]
    cases: String,
    /// The registry's document (absent: the file of cases or the configuration names it)
    #[arg(long, value_name = "FILE")]
    registry: Option<String>,
    /// Print JSON
    #[arg(long, conflicts_with = "check")]
    json: bool,
    /// Compare with this table, and print only what differs (JSON if the name ends in .json)
    #[arg(long, value_name = "FILE")]
    check: Option<String>,
    /// Write what differs to the file of --check
    #[arg(long, requires = "check")]
    accept: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Exit {
    let mut decide = Decide::new(&args.config.path, &args.cases).variables(variables());
    if let Some(file) = &args.registry {
        decide = decide.registry(file);
    }
    let decisions = match decide.run() {
        Ok(decisions) => decisions,
        Err(error) => return refused(error),
    };
    match &args.check {
        Some(file) => check(args, file, &decisions),
        None => {
            let form = match args.json {
                true => Form::Json,
                false => Form::Text,
            };
            say(decisions.write(form).trim_end(), Exit::Ok)
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other errors are about what files hold"
)]
fn refused(error: DecideError) -> Exit {
    match error {
        DecideError::Read { .. } => failed(error),
        DecideError::Mistakes(errors) => {
            report(&errors);
            Exit::Usage
        }
        error => {
            complain(format_args!("cellway: {error}"));
            Exit::Usage
        }
    }
}

/// Compares the decisions with the table in `file`.
fn check(args: &Args, file: &str, decisions: &Decisions) -> Exit {
    let form = Form::of_file(file);
    let before = match std::fs::read_to_string(file) {
        Ok(before) => before,
        Err(error) if error.kind() == ErrorKind::NotFound && args.accept => {
            let count = decisions.rows().len();
            return accept(
                file,
                decisions,
                &format!("{file}: {count} decisions written"),
            );
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let advice = accepting(args, file);
            return failed(format!(
                "there is no {file} yet; write it with\n    {advice}"
            ));
        }
        Err(error) => return failed(format!("can't read {file}: {error}")),
    };
    match decisions.compare(&before, form) {
        Ok(found) if found.is_same() => {
            let count = decisions.rows().len();
            say(
                &format!("{file}: all {count} decisions are the same"),
                Exit::Ok,
            )
        }
        Ok(found) if args.accept => accept(file, decisions, &format!("{found}\n{file} is written")),
        Ok(found) => {
            let advice = accepting(args, file);
            say(&format!("{found}\nto accept: {advice}"), Exit::No)
        }
        Err(_) if args.accept => accept(file, decisions, &format!("{file} is written anew")),
        Err(error) => {
            let advice = accepting(args, file);
            let problem = format!("{file} is not a table of decisions: {error}");
            complain(format_args!(
                "cellway: {problem}\n    to write it anew: {advice}"
            ));
            Exit::Usage
        }
    }
}

fn accept(file: &str, decisions: &Decisions, told: &str) -> Exit {
    match std::fs::write(file, decisions.write(Form::of_file(file))) {
        Ok(()) => say(told, Exit::Ok),
        Err(error) => failed(format!("can't write {file}: {error}")),
    }
}

/// The command that writes `file`.
fn accepting(args: &Args, file: &str) -> String {
    let quoted = |file: &str| quoted(Path::new(file));
    let registry = match &args.registry {
        Some(registry) => format!(" --registry {}", quoted(registry)),
        None => String::new(),
    };
    let (config, cases, file) = (quoted(&args.config.path), quoted(&args.cases), quoted(file));
    format!("cellway decide -c {config} --cases {cases}{registry} --check {file} --accept")
}
