//! The catalogue: what each mutant changes, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fmt, fs, io};

use serde::Deserialize;

/// A small wrong change of the router.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// Its name.
    pub name: String,
    /// What goes wrong for a user, in one sentence.
    pub about: String,
    /// The file that it changes, from the root of the workspace.
    pub file: String,
    /// What it replaces. It occurs once in the file.
    pub find: String,
    /// What comes in its place.
    pub replace: String,
    /// Whether both are statements, and not expressions.
    #[serde(default)]
    pub statement: bool,
    /// The part of the router: the name of its file in the catalogue.
    #[serde(skip)]
    pub room: String,
}

#[derive(Deserialize)]
struct Room {
    mutant: Vec<Mutant>,
}

/// Why the catalogue can't be used.
#[derive(Debug)]
pub enum CatalogueError {
    /// A file can't be read.
    Io(String, io::Error),
    /// A file of the catalogue isn't valid.
    Invalid(String, Box<toml::de::Error>),
    /// What is wrong with mutants, a line each.
    Mistakes(Vec<String>),
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{path} can't be read: {error}"),
            Self::Invalid(path, error) => write!(f, "{path}: {error}"),
            Self::Mistakes(lines) => f.write_str(&lines.join("\n")),
        }
    }
}

impl std::error::Error for CatalogueError {}

/// The mutants of the catalogue of this workspace, by room. Each has been compared with the file that it
/// changes.
///
/// # Errors
/// Files that can't be read, and mutants that don't fit the code any more.
pub fn read(workspace: &Path) -> Result<Vec<Mutant>, CatalogueError> {
    let folder = workspace.join("tests/mutants/catalogue");
    let shown = folder.display().to_string();
    let entries = fs::read_dir(&folder).map_err(|error| CatalogueError::Io(shown, error))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut mutants = Vec::new();
    for path in paths {
        let text = text(&path)?;
        let room: Room = toml::from_str(&text).map_err(|error| {
            CatalogueError::Invalid(path.display().to_string(), Box::new(error))
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        mutants.extend(room.mutant.into_iter().map(|mutant| Mutant {
            room: name.clone().into_owned(),
            ..mutant
        }));
    }
    let mistakes = mistakes(workspace, &mutants)?;
    match mistakes.is_empty() {
        true => Ok(mutants),
        false => Err(CatalogueError::Mistakes(mistakes)),
    }
}

/// A file's text.
///
/// # Errors
/// It can't be read.
pub fn text(path: &Path) -> Result<String, CatalogueError> {
    fs::read_to_string(path).map_err(|error| CatalogueError::Io(path.display().to_string(), error))
}

/// A file's text, and where each mutant changes it.
type Changed<'a> = (String, Vec<(usize, &'a Mutant)>);

fn mistakes(workspace: &Path, mutants: &[Mutant]) -> Result<Vec<String>, CatalogueError> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    let mut files: BTreeMap<&str, Changed<'_>> = BTreeMap::new();
    for mutant in mutants {
        let Mutant {
            name, file, find, ..
        } = mutant;
        if !names.insert(name) {
            found.push(format!(
                "two mutants are named {name}; give one another name"
            ));
        }
        if !files.contains_key(file.as_str()) {
            files.insert(file, (text(&workspace.join(file))?, Vec::new()));
        }
        let Some((text, places)) = files.get_mut(file.as_str()) else {
            continue;
        };
        match text.matches(find.as_str()).count() {
            1 => places.extend(text.find(find.as_str()).map(|at| (at, mutant))),
            count => found.push(format!(
                "{name}: what it replaces occurs {count} times in {file}, and must occur once; adapt `find` to \
                 the code: {find}"
            )),
        }
    }
    for (file, (_, places)) in &mut files {
        places.sort_by_key(|(at, _)| *at);
        let pairs = places.iter().zip(places.iter().skip(1));
        let overlap = pairs.filter(|((at, one), (next, other))| {
            at + one.find.len() > *next && one.find != other.find
        });
        found.extend(overlap.map(|((_, one), (_, other))| {
            let (one, other) = (&one.name, &other.name);
            format!("{one} and {other} change the same text of {file}; give both the same `find`")
        }));
    }
    Ok(found)
}
