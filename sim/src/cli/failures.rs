//! What is done with runs that fail: each is kept as a file, made smaller, and shown.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cellway_sim::explore::{Symptom, shrink, text};
use clap::Args;
use toml::Table;

use super::runs::{self, Broken, Job, Outcome};
use super::{output, report};

/// Where failures are kept, and how much is done to make them smaller.
#[derive(Args)]
pub(super) struct Keep {
    /// The folder for scenarios that fail, and for what is left of them once they are shrunk.
    #[arg(long, value_name = "FOLDER", default_value = "sim-failures")]
    out: PathBuf,
    /// How many runs may be spent on shrinking a failure; 0 turns it off.
    #[arg(long, value_name = "RUNS", default_value_t = 200)]
    shrink_runs: usize,
}

impl Keep {
    /// Makes the folder, so that a long search doesn't lose what it finds.
    pub(super) fn ready(&self) -> Result<(), String> {
        let out = &self.out;
        fs::create_dir_all(out).map_err(|e| format!("--out {}: {e}", out.display()))
    }

    /// Removes the folder if nothing was kept.
    pub(super) fn done(&self) {
        // It fails if there are files in it, and nothing depends on it.
        let _ = fs::remove_dir(&self.out);
    }

    /// Moves the scenario of a failure into the folder. `None` if that isn't possible.
    pub(super) fn moved(&self, file: &Path) -> Option<PathBuf> {
        let kept = self.out.join(file.file_name()?);
        let text = fs::read_to_string(file).ok()?;
        write(&kept, &text).ok()?;
        // The folder for scratch files goes with the command.
        let _ = fs::remove_file(file);
        Some(kept)
    }
}

/// The failures so far.
pub(super) struct Failures<'a> {
    keep: &'a Keep,
    /// The first run with each symptom.
    known: BTreeMap<(String, String), String>,
}

impl<'a> Failures<'a> {
    pub(super) fn new(keep: &'a Keep) -> Self {
        Self {
            keep,
            known: BTreeMap::new(),
        }
    }

    /// Takes a run that failed. Returns what to print about it. Only the first run with each symptom is
    /// shrunk: the others would most likely end as the same scenario.
    pub(super) fn add(&mut self, job: &Job, failed: &Failed) -> String {
        let Job { file, seed } = job;
        let who = format!("{} seed {seed}", file.display());
        let (Some(broken), Ok(scenario)) = (&failed.broken, read(file)) else {
            return told(&who, failed, &again(None, file, *seed));
        };
        let symptom = Symptom::new(&broken.name, &broken.why);
        let key = (broken.name.clone(), symptom.shape().to_owned());
        if let Some(first) = self.known.get(&key) {
            let also = format!("the same kind of failure as {first}, so it isn't shrunk");
            return told(&who, failed, &again(Some(also), file, *seed));
        }
        self.known.insert(key, who.clone());
        if self.keep.shrink_runs == 0 {
            return told(&who, failed, &again(None, file, *seed));
        }
        output::complain(&format!("shrinking {who} ({})\n", broken.name));
        let more = match smaller(&scenario, *seed, &symptom, self.keep.shrink_runs) {
            None => again(Some("can't be made smaller".to_owned()), file, *seed),
            Some(small) => {
                let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                let path = self.keep.out.join(format!("{stem}-{seed}-small.toml"));
                match write(&path, &titled(&small, broken, *seed)) {
                    Ok(lines) => {
                        let shrunk = format!("shrunk: {} ({lines} lines)", path.display());
                        let [replay, drawn] = [replay(&path, *seed), drawn(&path, *seed)];
                        vec![shrunk, replay, drawn]
                    }
                    Err(error) => again(Some(error), file, *seed),
                }
            }
        };
        told(&who, failed, &more)
    }

    /// How many kinds of failures there were.
    pub(super) fn kinds(&self) -> usize {
        self.known.len()
    }
}

/// A run that failed: its failures as text, and the first of them.
pub(super) struct Failed {
    pub(super) why: Vec<String>,
    pub(super) broken: Option<Broken>,
}

impl Failed {
    /// `None` if the run has passed.
    pub(super) fn of(outcome: &Result<Outcome, String>) -> Option<Self> {
        match outcome {
            Ok(outcome) if outcome.violations.is_empty() => None,
            Ok(outcome) => Some(Self {
                why: outcome.violations.clone(),
                broken: outcome.broken.clone(),
            }),
            Err(error) => Some(Self {
                why: vec![error.clone()],
                broken: None,
            }),
        }
    }
}

fn told(who: &str, failed: &Failed, more: &[String]) -> String {
    let why = failed.why.join("\n").replace('\n', "\n  ");
    let more = more.iter().map(|line| format!("\n  {line}"));
    format!("FAILED {who}\n  {why}{}", more.collect::<String>())
}

fn replay(file: &Path, seed: u64) -> String {
    format!("replay: {}", super::replay(file, &seed.to_string()))
}

/// What is said of a run, and the commands that replay and draw it.
fn again(said: Option<String>, file: &Path, seed: u64) -> Vec<String> {
    let page = format!("report: {}", report::command(file, seed));
    said.into_iter().chain([replay(file, seed), page]).collect()
}

/// Draws the page of a shrunk scenario, and says where it is.
fn drawn(file: &Path, seed: u64) -> String {
    match report::beside(file, seed) {
        Ok(page) => format!("report: {}", page.display()),
        Err(error) => format!("no report: {error}"),
    }
}

/// A scenario as a table.
pub(super) fn read(file: &Path) -> Result<Table, String> {
    let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    text.parse().map_err(|e| format!("{}: {e}", file.display()))
}

/// What is left of a scenario that still fails in this way. `None` if nothing could be taken away.
pub(super) fn smaller(
    scenario: &Table,
    seed: u64,
    symptom: &Symptom,
    tries: usize,
) -> Option<Table> {
    let folder = Scratch::new().ok()?;
    let file = folder.0.join("smaller.toml");
    let fails = |smaller: &Table| {
        if fs::write(&file, text(smaller)).is_err() {
            return false;
        }
        let broken = runs::run(&file, seed)
            .ok()
            .and_then(|outcome| outcome.broken);
        broken.is_some_and(|broken| Symptom::new(&broken.name, &broken.why) == *symptom)
    };
    let small = shrink(scenario, tries, fails);
    (small != *scenario).then_some(small)
}

/// The text of a shrunk scenario, which says what it shows.
pub(super) fn titled(small: &Table, broken: &Broken, seed: u64) -> String {
    let mut small = small.clone();
    let about = format!("Breaks {} with seed {seed}.", broken.name);
    small.insert("about".to_owned(), about.into());
    text(&small)
}

/// Writes a file, and its folder if there is none. Returns the number of lines.
pub(super) fn write(path: &Path, text: &str) -> Result<usize, String> {
    let wrong = |error| format!("{}: {error}", path.display());
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder).map_err(wrong)?;
    }
    fs::write(path, text).map_err(wrong)?;
    Ok(text.lines().count())
}

/// A folder for files that nobody needs after the command.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Result<Self, String> {
        let name = format!("cellway-sim-{}-{}", std::process::id(), unique());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
