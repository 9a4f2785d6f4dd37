//! Puts small wrong changes into a copy of the router, and counts which of them the simulator notices.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, thread};

use cellway_mutants::catalogue::{self, Mutant};
use cellway_mutants::trial::{self, Ended, Run, Score};
use cellway_mutants::{mutated, page};
use clap::Parser;

/// Puts small wrong changes into a copy of the router, one at a time, and counts which of them the
/// simulator's scenarios and drawn runs notice
#[derive(Parser)]
#[command(name = "cellway-mutants")]
struct Options {
    /// Only the mutants with these names
    #[arg(value_name = "MUTANT")]
    only: Vec<String>,
    /// Only the mutants of this room: a file of tests/mutants/catalogue, without its ending
    #[arg(long)]
    room: Option<String>,
    /// How many scenarios to draw, besides those in scenarios/
    #[arg(long, default_value_t = 60)]
    drawn: u64,
    /// After how many runs that noticed a mutant to go on to the next one
    #[arg(long, default_value_t = 1)]
    enough: usize,
    /// How many runs at a time; by default one for each core
    #[arg(long)]
    jobs: Option<usize>,
    /// Write the score as a page for the documentation
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Where the copy of the workspace is built
    #[arg(long, default_value = "target/mutants")]
    folder: PathBuf,
}

fn main() -> ExitCode {
    match execute(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn execute(options: &Options) -> Result<(), String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let all = catalogue::read(&workspace).map_err(|error| error.to_string())?;
    let folder = std::path::absolute(&options.folder).map_err(|error| error.to_string())?;
    eprintln!("copying the workspace to {}", folder.display());
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    mutated::copy(&workspace, &folder, &all)?;
    eprintln!("building it with {} mutants", all.len());
    let simulator = mutated::build(&folder)?;
    let chosen = all.into_iter().filter(|mutant| {
        let named = options.only.is_empty() || options.only.contains(&mutant.name);
        named
            && options
                .room
                .as_ref()
                .is_none_or(|room| *room == mutant.room)
    });
    let chosen: Vec<_> = chosen.collect();
    if chosen.is_empty() {
        return Err(
            "no mutant has this name or room; tests/mutants/catalogue has them all".to_owned(),
        );
    }
    let runs = runs(&workspace, &folder, options.drawn)?;
    let jobs = options
        .jobs
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
        .max(1);
    let sound = sound(&simulator, runs, jobs)?;
    let scores = scores(&simulator, &chosen, &sound, options.enough, jobs)?;
    let results: Vec<_> = chosen.iter().zip(&scores).collect();
    print!("{}", page::text(&results));
    if let Some(file) = &options.page {
        let page = page::markdown(&results, options.drawn);
        fs::write(file, page).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

/// The scenarios of the workspace, and drawn ones.
fn runs(workspace: &Path, folder: &Path, drawn: u64) -> Result<Vec<Run>, String> {
    let scenarios = workspace.join("scenarios");
    let listed = fs::read_dir(&scenarios).map_err(|error| format!("scenarios: {error}"))?;
    let files = listed.flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let mut runs: Vec<_> = files.map(|file| Run { file, seed: 1 }).collect();
    runs.sort();
    let drawn_in = folder.join("drawn");
    fs::create_dir_all(&drawn_in).map_err(|error| format!("{}: {error}", drawn_in.display()))?;
    for seed in 1..=drawn {
        let file = drawn_in.join(format!("drawn-{seed}.toml"));
        let text = cellway_sim::explore::text(&cellway_sim::explore::draw(seed));
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        runs.push(Run { file, seed });
    }
    Ok(runs)
}

/// The runs that pass without a mutant. Others could say nothing.
fn sound(simulator: &Path, runs: Vec<Run>, jobs: usize) -> Result<Vec<Run>, String> {
    eprintln!("running {} scenarios without a mutant", runs.len());
    let ended = each(&runs, jobs, |run| trial::run(simulator, None, run))?;
    let (mut sound, mut broken) = (Vec::new(), Vec::new());
    for (run, ended) in runs.into_iter().zip(ended) {
        match ended {
            Ended::Passed => sound.push(run),
            Ended::Noticed(by) => broken.push(format!("{} ({by})", run.name())),
        }
    }
    if !broken.is_empty() {
        eprintln!(
            "left out, because they fail without a mutant too: {}",
            broken.join(", ")
        );
    }
    Ok(sound)
}

fn scores(
    simulator: &Path,
    mutants: &[Mutant],
    runs: &[Run],
    enough: usize,
    jobs: usize,
) -> Result<Vec<Score>, String> {
    // A run that has noticed many is tried early.
    let noticed_by: Mutex<BTreeMap<&Run, usize>> = Mutex::default();
    let done = Mutex::new(0);
    each(mutants, jobs, |mutant| {
        let mut order: Vec<_> = runs.iter().collect();
        let ranked = locked(&noticed_by).clone();
        order.sort_by_key(|run| std::cmp::Reverse(ranked.get(run).copied()));
        let mut score = Score::default();
        for run in order {
            let ended = trial::run(simulator, Some(&mutant.name), run)?;
            if ended != Ended::Passed {
                *locked(&noticed_by).entry(run).or_default() += 1;
            }
            score.add(run, ended);
            if score.noticed_in.len() >= enough {
                break;
            }
        }
        let mut done = locked(&done);
        *done += 1;
        eprintln!("{done}/{}: {}", mutants.len(), page::line(mutant, &score));
        Ok(score)
    })
}

/// Does something for each item, so many at a time. The results are in the order of the items.
fn each<'a, T: Sync, R: Send>(
    items: &'a [T],
    jobs: usize,
    work: impl Fn(&'a T) -> Result<R, String> + Sync,
) -> Result<Vec<R>, String> {
    let queue: Mutex<VecDeque<_>> = Mutex::new(items.iter().enumerate().collect());
    let results = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = locked(&queue).pop_front();
                    let Some((index, item)) = next else { break };
                    let result = work(item);
                    if result.is_err() {
                        locked(&queue).clear();
                    }
                    locked(&results).insert(index, result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_values().collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
