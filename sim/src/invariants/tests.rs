use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Bounds, all};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/invariants");
const PAGE: &str = include_str!("../../../docs/invariants.md");

/// The line before the one with an invariant's name.
const NAMES_ITSELF: &str = "fn name(&self) -> &'static str {";

/// The invariants in the code, each with its file, such as `quiet/mod.rs`.
fn written() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(FOLDER).expect("the folder is there") {
        let folder = entry.expect("entries can be read").file_name();
        let file = Path::new(&folder).join("mod.rs");
        let Ok(text) = fs::read_to_string(Path::new(FOLDER).join(&file)) else {
            continue;
        };
        let names = text.split(NAMES_ITSELF).skip(1);
        let name = |body: &str| body.split('"').nth(1).map(str::to_owned);
        let names = names.map(|body| name(body).expect("a name is a literal"));
        found.extend(names.map(|name| (name, file.display().to_string())));
    }
    found
}

/// The rows of the page: name and file.
fn rows() -> BTreeSet<(String, String)> {
    let rows = PAGE.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once('`')?;
        let (_, link) = rest.rsplit_once("](../sim/src/invariants/")?;
        Some((name.to_owned(), link.split(')').next()?.to_owned()))
    });
    rows.collect()
}

/// Catches: an invariant that nobody checks, because `all` or `mod.rs` has forgotten it, or that the
/// page doesn't list.
#[test]
fn every_invariant_is_checked_and_documented() {
    let written = written();
    assert_eq!(rows(), written, "the rows of docs/invariants.md (left)");
    let checked = all(&Bounds::default());
    let names: BTreeSet<_> = checked.iter().map(|it| it.name().to_owned()).collect();
    assert_eq!(names.len(), checked.len(), "two have one name");
    let written: BTreeSet<_> = written.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, written, "the invariants that `all` returns (left)");
}

/// Catches: an invariant that never speaks, which looks the same as one that always holds.
#[test]
fn every_invariant_has_tests() {
    for (name, file) in written() {
        let tests = Path::new(FOLDER).join(file).with_file_name("tests.rs");
        assert!(tests.exists(), "{name} has no {}", tests.display());
    }
}
