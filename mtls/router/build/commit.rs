//! The commit that a git repository has checked out, read from its files: neither git nor a history
//! has to be there (gitrepository-layout(5)).

use std::fs;
use std::path::{Path, PathBuf};

/// What is shown where nobody knows the commit.
pub(crate) const UNKNOWN: &str = "unknown";

/// How much of a commit's name is shown.
const SHOWN: usize = 12;

/// A commit, and the files that change when another one is checked out or made.
#[derive(Debug)]
pub(crate) struct CheckedOut {
    pub commit: String,
    pub files: Vec<PathBuf>,
}

/// Whether this may be shown as a commit: a hash, or a version that somebody calls it by.
pub(crate) fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

/// What is checked out in the repository `git`, which is a folder, or in a linked work tree a file
/// that names one.
pub(crate) fn checked_out(git: &Path) -> Option<CheckedOut> {
    let folder = folder(git)?;
    // Of a linked work tree, the folder of the repository.
    let common = match read(&folder.join("commondir")) {
        Some(path) => folder.join(path.trim()),
        None => folder.clone(),
    };
    let head = read(&folder.join("HEAD"))?;
    let (hash, name) = match head.trim().strip_prefix("ref: ") {
        None => (head.trim().to_owned(), None),
        Some(name) => (resolve(&common, name)?, Some(name)),
    };
    let is_hash = hash.len() >= 40 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let commit = hash.get(..SHOWN).filter(|_| is_hash)?.to_owned();
    let mut files = vec![folder.join("HEAD"), common.join("packed-refs")];
    // A branch that is only in `packed-refs` gets a file in this folder with its next commit.
    if let Some(branch) = name.map(|name| common.join(name)) {
        files.extend(branch.parent().map(Path::to_owned));
    }
    // Cargo takes a file that isn't there for one that has changed, at every build.
    files.retain(|file| file.exists());
    Some(CheckedOut { commit, files })
}

fn folder(git: &Path) -> Option<PathBuf> {
    if git.is_dir() {
        return Some(git.to_owned());
    }
    let link = read(git)?;
    let folder = link.trim().strip_prefix("gitdir: ")?;
    Some(git.parent()?.join(folder))
}

fn resolve(common: &Path, name: &str) -> Option<String> {
    if let Some(hash) = read(&common.join(name)) {
        return Some(hash.trim().to_owned());
    }
    let packed = read(&common.join("packed-refs"))?;
    let found = packed.lines().find_map(|line| {
        let (hash, packed) = line.split_once(' ')?;
        (packed == name).then_some(hash)
    });
    found.map(str::to_owned)
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}
