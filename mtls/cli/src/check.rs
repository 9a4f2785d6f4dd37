//! `cellway check`

use cellway_env::tokio::TokioEnv;
use cellway_router::check::{Finding, Severity, check as check_settings, unreadable};
use cellway_router::config::{Config, ConfigErrors, Place};
use cellway_router::log::subjects;
use cellway_router::tls::Provider;
use serde_json::{Value, json};

use super::input::{ConfigFile, variables};
use super::{Exit, block_on, complain, failed, say};

/// The arguments of `cellway check`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Reads the configuration with its overrides from the environment, and every file that it names:
certificates, keys, bundles, key sets, the registry, last-known-good copies. Connects to nothing. If
the configuration has mistakes, it also says which of these files can't be read, and looks into none.

An error keeps `cellway serve` from starting, unless it is in the registry and there is a good copy of
an earlier one: `serve` then starts with the copy. With a warning it starts. A warning means that the
router refuses some requests, that a setting has no effect, that others can read a secret, or that a
certificate expires soon.

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
        Ok(config) => Found::in_files(&env, &config, file).await,
        Err(refused) => Found::in_file(&env, &refused).await,
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

/// One finding, for people and for programs.
struct One {
    place: Place,
    text: String,
    json: Value,
}

impl One {
    fn new(file: &str, place: &Place, finding: &Finding) -> Self {
        let at = place.within(file);
        let text = match finding.severity {
            Severity::Error => format!("{at}: {finding}"),
            Severity::Warning => format!("{at}: warning: {finding}"),
        };
        let (line, variable) = match place {
            Place::Line(line) => (Some(line), None),
            Place::Variable(name) => (None, Some(name)),
            Place::File => (None, None),
        };
        let json = json!({
            "setting": finding.setting,
            "problem": finding.problem,
            "fix": finding.fix,
            "line": line,
            "variable": variable,
        });
        Self {
            place: place.clone(),
            text,
            json,
        }
    }
}

#[derive(Default)]
struct Found {
    errors: Vec<One>,
    warnings: Vec<One>,
}

impl Found {
    fn add(&mut self, file: &str, place: &Place, finding: &Finding) {
        let one = One::new(file, place, finding);
        match finding.severity {
            Severity::Error => self.errors.push(one),
            Severity::Warning => self.warnings.push(one),
        }
    }

    /// The file itself has mistakes. Of the files that it names, it is only known whether they can be
    /// read.
    async fn in_file(env: &TokioEnv, refused: &ConfigErrors) -> Self {
        let mut found = Self::default();
        for error in &refused.errors {
            found.add(&refused.file, &error.place, &error.clone().into());
        }
        for finding in unreadable(env, &refused.files).await {
            let mut named = refused.files.iter();
            let named = named.find(|named| named.setting == finding.setting);
            let place = named.map_or(&Place::File, |named| &named.place);
            found.add(&refused.file, place, &finding);
        }
        found.in_order()
    }

    async fn in_files(env: &TokioEnv, config: &Config, file: &str) -> Self {
        let mut findings = check_settings(env, &Provider::default(), &config.router, file).await;
        if let Err(error) = subjects(env, &config.log).await {
            findings.push(Finding::error(error.setting(), &error));
        }
        let mut found = Self::default();
        for finding in findings {
            found.add(file, &config.stated.place(&finding.setting), &finding);
        }
        found.in_order()
    }

    /// The same in the order of the file.
    fn in_order(mut self) -> Self {
        for list in [&mut self.errors, &mut self.warnings] {
            list.sort_by(|a, b| a.place.cmp(&b.place));
        }
        self
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
