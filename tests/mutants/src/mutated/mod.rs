//! A copy of the workspace with all mutants in it, each behind a switch that the environment sets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use crate::catalogue::{self, Mutant};

/// The variable that switches one mutant on.
pub const SWITCH: &str = "CELLWAY_MUTANT";

/// What the simulator is built from.
const PARTS: [&str; 8] = [
    "core",
    "mtls",
    "sim",
    "tests",
    "docs",
    "scenarios",
    "Cargo.toml",
    "Cargo.lock",
];

/// What the copy's core has in addition.
const IS_ON: &str = r#"
/// Whether a mutant is switched on.
pub fn mutant(name: &str) -> bool {
    static ON: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("CELLWAY_MUTANT").unwrap_or_default()) == name
}
"#;

/// Copies the workspace to `folder`, with the mutants in it.
///
/// # Errors
/// A file can't be read or written.
pub fn copy(workspace: &Path, folder: &Path, mutants: &[Mutant]) -> Result<(), String> {
    for part in PARTS {
        copy_all(&workspace.join(part), &folder.join(part))
            .map_err(|error| format!("{part} can't be copied to {}: {error}", folder.display()))?;
    }
    let mut files: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
    for mutant in mutants {
        files.entry(&mutant.file).or_default().push(mutant);
    }
    for (file, mutants) in files {
        let text = catalogue::text(&workspace.join(file)).map_err(|error| error.to_string())?;
        write(&folder.join(file), &mutated(&text, file, &mutants))?;
    }
    let core = "core/src/lib.rs";
    let text = catalogue::text(&folder.join(core)).map_err(|error| error.to_string())?;
    write(&folder.join(core), &(text + IS_ON))
}

/// The text with these mutants of its file.
fn mutated(text: &str, file: &str, mutants: &[&Mutant]) -> String {
    let core = match file.starts_with("core/") {
        true => "crate",
        false => "cellway_core",
    };
    let mut by_place: BTreeMap<&str, String> = BTreeMap::new();
    for mutant in mutants {
        let now = by_place
            .entry(&mutant.find)
            .or_insert_with(|| mutant.find.clone());
        let switched = format!(
            "if {core}::mutant({:?}) {{ {} }} else {{ {now} }}",
            mutant.name, mutant.replace
        );
        *now = match mutant.statement {
            true => switched,
            false => format!("({switched})"),
        };
    }
    // A text with a mutant has more places to find, so all are found first.
    let mut places: Vec<_> = by_place
        .iter()
        .filter_map(|(find, with)| Some((text.find(find)?, *find, with)))
        .collect();
    places.sort_unstable();
    let (mut all, mut rest) = (String::new(), 0);
    for (at, find, with) in places {
        all.push_str(&text[rest..at]);
        all.push_str(with);
        rest = at + find.len();
    }
    all + &text[rest..]
}

/// Builds the simulator of the copy, and returns the program.
///
/// # Errors
/// It doesn't build. Cargo has said why.
pub fn build(folder: &Path) -> Result<PathBuf, String> {
    let target = folder.join("target");
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(folder)
        .args([
            "build",
            "--release",
            "-p",
            "cellway-sim",
            "--bin",
            "cellway-sim",
        ])
        .env("CARGO_TARGET_DIR", &target)
        // Ready soon rather than quick.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        // A broken rule of the code counts as noticed.
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("RUSTFLAGS", "-Awarnings");
    let built = cargo
        .status()
        .map_err(|error| format!("cargo can't be started: {error}"))?;
    match built.success() {
        true => Ok(target.join("release/cellway-sim")),
        false => Err(
            "the workspace with all mutants doesn't build; mend the mutant that cargo names"
                .to_owned(),
        ),
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    // Unchanged files keep their time, so that cargo builds them once.
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|error| format!("{} can't be written: {error}", path.display()))
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        let (new, old) = (fs::read(from)?, fs::read(to).ok());
        return match old.is_some_and(|old| old == new) {
            true => Ok(()),
            false => fs::write(to, new),
        };
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
