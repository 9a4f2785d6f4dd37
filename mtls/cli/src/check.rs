//! `cellway check`

use cellway_env::tokio::TokioEnv;
use cellway_router::check::{Finding, Severity, check as check_settings};
use cellway_router::config::{Config, ConfigError, ConfigErrors, Place};
use cellway_router::log::subjects;
use cellway_router::tls::Provider;
use serde_json::{Value, json};

use super::input::{ConfigFile, variables};
use super::{Exit, block_on, complain, failed, say};

/// The arguments of `cellway check`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Reads the configuration with its overrides from the environment, and every file that it names:
certificates, keys, bundles, key sets, the registry, last-known-good copies. Connects to nothing.

An error keeps `cellway serve` from starting, unless it is in the registry and there is a good copy of
an earlier one: `serve` then starts with the copy. With a warning it starts. A warning means that the
router refuses some requests, that a setting has no effect, or that a certificate expires soon.

Examples:
  cellway check --config cellway.toml
  cellway check -c cellway.toml --json
  CELLWAY__LISTENER__0__BIND=127.0.0.1:8443 cellway check -c cellway.toml

Exit codes: 0 nothing found (with --allow-warnings: no error), 1 something found (each finding on
standard error), 2 usage, 3 the file can't be read")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Print the findings as JSON, to standard output
    #[arg(long)]
    json: bool,
    /// Exit with 0 if there are only warnings
    #[arg(long)]
    allow_warnings: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Exit {
    block_on(check(args)).unwrap_or_else(failed)
}

async fn check(args: &Args) -> Exit {
    let env = TokioEnv::new();
    let (file, text) = match args.config.read(&env).await {
        Ok(text) => (&args.config.path, text),
        Err(exit) => return exit,
    };
    let found = match Config::load(file, &text, variables()) {
        Ok(config) => findings(&env, &config, file).await,
        Err(errors) => Found::in_file(errors),
    };
    let exit = match (found.errors.len(), found.warnings.len()) {
        (0, 0) => Exit::Ok,
        (0, _) if args.allow_warnings => Exit::Ok,
        (..) => Exit::No,
    };
    if args.json {
        return say(&found.json(file), exit);
    }
    let all = found.errors.iter().chain(&found.warnings);
    for one in all {
        complain(&one.text);
    }
    match found.summary(file) {
        None => say(&format!("{file} is valid"), exit),
        Some(summary) => {
            complain(format_args!("\n{summary}"));
            exit
        }
    }
}

async fn findings(env: &TokioEnv, config: &Config, file: &str) -> Found {
    let mut findings = check_settings(env, &Provider::default(), &config.router, file).await;
    if let Err(error) = subjects(env, &config.log).await {
        findings.push(Finding::error(error.setting(), &error));
    }
    Found::in_files(file, findings)
}

/// One finding, for people and for programs.
struct One {
    text: String,
    json: Value,
}

struct Found {
    errors: Vec<One>,
    warnings: Vec<One>,
}

impl Found {
    /// The file itself has mistakes, so the files that it names were not checked.
    fn in_file(errors: ConfigErrors) -> Self {
        let one = |error: ConfigError| {
            let json = json!({
                "setting": error.setting,
                "problem": error.problem,
                "fix": error.fix,
                "line": match error.place {
                    Place::Line(line) => Some(line),
                    Place::Variable(_) | Place::File => None,
                },
                "variable": match &error.place {
                    Place::Variable(name) => Some(name),
                    Place::Line(_) | Place::File => None,
                },
            });
            let file = errors.file.clone();
            let errors = vec![error];
            let text = ConfigErrors { file, errors }.to_string();
            One { text, json }
        };
        Self {
            errors: errors.errors.into_iter().map(one).collect(),
            warnings: Vec::new(),
        }
    }

    fn in_files(file: &str, findings: Vec<Finding>) -> Self {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for finding in findings {
            let text = match finding.severity {
                Severity::Error => format!("{file}: {finding}"),
                Severity::Warning => format!("{file}: warning: {finding}"),
            };
            let Finding {
                severity,
                setting,
                problem,
                fix,
                ..
            } = finding;
            let json = json!({ "setting": setting, "problem": problem, "fix": fix });
            match severity {
                Severity::Error => errors.push(One { text, json }),
                Severity::Warning => warnings.push(One { text, json }),
            }
        }
        Self { errors, warnings }
    }

    fn json(&self, file: &str) -> String {
        let all = |list: &[One]| list.iter().map(|one| one.json.clone()).collect::<Vec<_>>();
        let whole = json!({
            "file": file,
            "valid": self.errors.is_empty(),
            "errors": all(&self.errors),
            "warnings": all(&self.warnings),
        });
        serde_json::to_string_pretty(&whole).unwrap_or_default()
    }

    /// A line with the number of findings; `None` if there are none.
    fn summary(&self, file: &str) -> Option<String> {
        let count = |list: &[One], what: &str| match list.len() {
            0 => None,
            1 => Some(format!("1 {what}")),
            more => Some(format!("{more} {what}s")),
        };
        let counts = [
            count(&self.errors, "error"),
            count(&self.warnings, "warning"),
        ];
        let counts: Vec<_> = counts.into_iter().flatten().collect();
        (!counts.is_empty()).then(|| format!("{} in {file}", counts.join(" and ")))
    }
}
