//! No circles of imports: of two modules beside each other, each with all that is inside it, at most
//! one uses the other. A module and its own parts may use each other.
//!
//! The test reads the sources' text: paths that begin with `crate` or `super`, with re-exports
//! followed to where an item is defined. It leaves out unit tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Crates without circles, as folders of sources.
const FREE: [&str; 1] = ["sim/src"];

/// A module's path inside its crate.
type Module = Vec<String>;

/// A module that uses another, in the words of a person.
type Uses = BTreeMap<(Module, Module), BTreeSet<String>>;

#[test]
fn no_modules_use_each_other() {
    for folder in FREE {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(folder);
        let found = circles(&Crate::read(&root).uses());
        assert!(found.is_empty(), "{folder}:\n{}", found.join("\n"));
    }
}

/// The sources of a crate without their tests and comments.
struct Crate {
    modules: BTreeMap<Module, String>,
    /// What each module imports: the name that it has there, and its path.
    imports: BTreeMap<Module, BTreeMap<String, Module>>,
}

impl Crate {
    fn read(root: &Path) -> Self {
        let files = files(root);
        let modules = files.iter().map(|file| (module(root, file), code(file)));
        Self::new(modules.collect())
    }

    fn new(modules: BTreeMap<Module, String>) -> Self {
        let imports = modules.iter().map(|(module, text)| {
            let paths = starts(text, "use ").flat_map(|at| tree(&text[at + "use ".len()..]).0);
            let named = paths.filter_map(|path| Some((path.last()?.clone(), path)));
            (module.clone(), named.collect())
        });
        Self {
            imports: imports.collect(),
            modules,
        }
    }

    /// Which modules beside each other use each other: of two paths the first parts that differ.
    fn uses(&self) -> Uses {
        let mut uses = Uses::new();
        for (module, text) in &self.modules {
            let paths = ["crate::", "super::"].map(|start| starts(text, start));
            for path in paths
                .into_iter()
                .flatten()
                .flat_map(|at| tree(&text[at..]).0)
            {
                let used = self.resolve(module, &path, 0);
                let same = module.iter().zip(&used).take_while(|(a, b)| a == b).count();
                // One is a part of the other.
                if same == module.len() || same == used.len() {
                    continue;
                }
                let (from, to) = (module[..=same].to_vec(), used[..=same].to_vec());
                let place = format!("{} uses {}", module.join("::"), path.join("::"));
                uses.entry((from, to)).or_default().insert(place);
            }
        }
        uses
    }

    /// The module that has the item at this path, seen from another.
    fn resolve(&self, from: &Module, path: &[String], depth: u32) -> Module {
        let mut at = from.clone();
        let mut rest = path;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "crate" => at.clear(),
                "super" => drop(at.pop()),
                "self" => {}
                _ => break,
            }
            rest = after;
        }
        while let Some((first, after)) = rest.split_first() {
            let inner = [&at[..], std::slice::from_ref(first)].concat();
            if self.modules.contains_key(&inner) {
                (at, rest) = (inner, after);
                continue;
            }
            let imported = self.imports.get(&at).and_then(|known| known.get(first));
            // Bounded, because an import may name itself through a glob.
            let Some(imported) = imported.filter(|_| depth < 8) else {
                break;
            };
            let inside = |name: &String| {
                let child = [&at[..], std::slice::from_ref(name)].concat();
                ["crate", "super", "self"].contains(&name.as_str())
                    || self.modules.contains_key(&child)
            };
            if !imported.first().is_some_and(inside) {
                break;
            }
            let path = [&imported[..], after].concat();
            return self.resolve(&at, &path, depth + 1);
        }
        at
    }
}

/// The uses that are part of a circle, as lines of text.
fn circles(uses: &Uses) -> Vec<String> {
    let reaches = |from: &Module, to: &Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            let used = uses.keys().filter(|(from, _)| from == module);
            next.extend(used.map(|(_, to)| to).filter(|to| seen.insert(*to)));
        }
        seen.contains(to)
    };
    let lines = uses
        .iter()
        .filter(|((from, to), _)| reaches(to, from))
        .flat_map(|(_, places)| places.iter().cloned());
    lines.collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    let test = |path: &PathBuf| path.ends_with("tests.rs") || path.ends_with("testing.rs");
    found.retain(|path| !test(path) && !path.ends_with("main.rs"));
    found
}

fn module(root: &Path, file: &Path) -> Module {
    let inside = file.strip_prefix(root).expect("the file is in the folder");
    let parts = inside.with_extension("");
    let parts = parts.iter().map(|part| part.to_string_lossy().into_owned());
    parts
        .filter(|part| part != "mod" && part != "lib")
        .collect()
}

/// A file's code without comments, and without the unit tests at its end.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("the file can be read");
    let code = text.split("\nmod tests {").next().unwrap_or_default();
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Where this word begins in the text, and isn't the end of another.
fn starts<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let found = text.match_indices(word).map(|(at, _)| at);
    found.filter(|at| {
        let before = text[..*at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

/// The paths at the beginning of the text, with all in braces, and what comes after them.
fn tree(text: &str) -> (Vec<Module>, &str) {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        let mut paths = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', '\n', ',']);
            if rest.is_empty() || rest.starts_with('}') {
                return (paths, rest.get(1..).unwrap_or_default());
            }
            let (found, after) = tree(rest);
            // What isn't a path, such as the body of a function, ends the list.
            if after.len() == rest.len() {
                return (paths, rest);
            }
            paths.extend(found);
            rest = after;
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*');
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    let Some(after) = rest.strip_prefix("::") else {
        return (vec![vec![name.to_owned()]], rest);
    };
    let (paths, rest) = tree(after);
    let whole = paths.into_iter().map(|path| {
        // `a::{self}` is `a`.
        let inner = path.into_iter().filter(|part| part != "self");
        [name.to_owned()].into_iter().chain(inner).collect()
    });
    (whole.collect(), rest)
}

fn made_of(files: &[(&str, &str)]) -> Vec<String> {
    let modules = files.iter().map(|(path, text)| {
        let parts = path.split("::").filter(|part| !part.is_empty());
        (parts.map(str::to_owned).collect(), (*text).to_owned())
    });
    circles(&Crate::new(modules.collect()).uses())
}

#[test]
fn a_circle_is_found() {
    let found = made_of(&[
        ("", ""),
        ("a", "use crate::b::{self, Thing};"),
        ("b", "mod c;"),
        ("b::c", "fn f() { crate::a::g() }"),
    ]);
    assert_eq!(
        found,
        [
            "a uses crate::b",
            "a uses crate::b::Thing",
            "b::c uses crate::a::g"
        ]
    );
}

#[test]
fn a_circle_through_a_reexport_is_found() {
    let found = made_of(&[
        ("a", "pub use x::Thing;"),
        ("a::x", "use super::y::Other;"),
        ("a::y", "use super::Thing;"),
    ]);
    assert_eq!(
        found,
        ["a::x uses super::y::Other", "a::y uses super::Thing"]
    );
}

#[test]
fn a_module_and_its_parts_may_use_each_other() {
    let found = made_of(&[
        ("a", "use x::f; struct Own;"),
        ("a::x", "use super::Own; use crate::a::Own;"),
        ("b", "use crate::a::Own;"),
    ]);
    assert_eq!(found, [""; 0]);
}
