use cellway_testbed::Folder;

use super::commit::{UNKNOWN, checked_out, is_name};
use super::*;

const HASH: &str = "0123456789abcdef0123456789abcdef01234567";
const SHOWN: &str = "0123456789ab";

/// The commit, and the files that a build must watch.
fn commit_of(folder: &Folder, git: &str) -> Option<(String, usize)> {
    let found = checked_out(&folder.root().join(git))?;
    assert!(found.files.iter().all(|file| file.exists()), "{found:?}");
    Some((found.commit, found.files.len()))
}

#[test]
fn finds_the_commit_in_each_form_of_repository() {
    let found = Some((SHOWN.to_owned(), 2));
    let folder = Folder::generate();
    assert_eq!(commit_of(&folder, ".git"), None, "an archive");

    folder.write("detached/HEAD", format!("{HASH}\n"));
    assert_eq!(commit_of(&folder, "detached"), Some((SHOWN.to_owned(), 1)));

    folder.write("branch/HEAD", "ref: refs/heads/main\n");
    folder.write("branch/refs/heads/main", format!("{HASH}\n"));
    assert_eq!(commit_of(&folder, "branch"), found);

    // A fresh clone; `refs/heads` is there, and nothing is in it.
    let packed = format!("# pack-refs with: peeled\n{HASH} refs/heads/main\n");
    folder.write("packed/HEAD", "ref: refs/heads/main\n");
    folder.write("packed/packed-refs", &packed);
    assert_eq!(commit_of(&folder, "packed"), found);

    folder.write("tree/.git", "gitdir: ../branch/worktrees/tree\n");
    folder.write("branch/worktrees/tree/HEAD", "ref: refs/heads/main\n");
    folder.write("branch/worktrees/tree/commondir", "../..\n");
    assert_eq!(commit_of(&folder, "tree/.git"), found);
}

#[test]
fn takes_nothing_else_for_a_commit() {
    let folder = Folder::generate();
    folder.write("new/HEAD", "ref: refs/heads/main\n");
    folder.write("junk/HEAD", "junk\n");
    folder.write("link", "no link\n");
    for git in ["new", "junk", "link", "absent"] {
        assert_eq!(commit_of(&folder, git), None, "{git}");
    }
    assert!(is_name(SHOWN) && is_name("v1.2.3-rc.1+7"));
    for bad in ["", "a b", "a\nb", "a\"b", &"a".repeat(65)] {
        assert!(!is_name(bad), "{bad:?}");
    }
}

#[test]
fn a_build_names_a_commit_or_says_that_it_does_not_know() {
    assert!(is_name(COMMIT) && is_name(UNKNOWN), "{COMMIT}");
    assert_eq!(LONG, format!("{VERSION} ({COMMIT})"));
}
