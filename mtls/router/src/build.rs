//! The version and commit of this build.

/// The version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The first digits of the commit that it was built from: the commit that git had checked out, or
/// the value of `CELLWAY_COMMIT` during the build. `unknown` if there is neither, and in builds
/// without optimization.
pub const COMMIT: &str = env!("CELLWAY_BUILD_COMMIT");

/// The version and the commit, for `--version`.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("CELLWAY_BUILD_COMMIT"),
    ")"
);

#[cfg(test)]
#[path = "../build/commit.rs"]
mod commit;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::commit::{UNKNOWN, checked_out, is_name};
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef01234567";
    const SHOWN: &str = "0123456789ab";

    /// A folder that is removed with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("cellway-commit-{name}-{}", std::process::id());
            let folder = Self(std::env::temp_dir().join(name));
            let _ = fs::remove_dir_all(&folder.0);
            folder
        }

        fn write(&self, file: &str, text: &str) {
            let path = self.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn found(&self, git: &str) -> Option<(String, usize)> {
            let found = checked_out(&self.0.join(git))?;
            assert!(found.files.iter().all(|file| file.exists()), "{found:?}");
            Some((found.commit, found.files.len()))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn finds_the_commit_in_each_form_of_repository() {
        let found = Some((SHOWN.to_owned(), 2));
        let folder = Folder::new("forms");
        assert_eq!(folder.found(".git"), None, "an archive");

        folder.write("detached/HEAD", &format!("{HASH}\n"));
        assert_eq!(folder.found("detached"), Some((SHOWN.to_owned(), 1)));

        folder.write("branch/HEAD", "ref: refs/heads/main\n");
        folder.write("branch/refs/heads/main", &format!("{HASH}\n"));
        assert_eq!(folder.found("branch"), found);

        // A fresh clone; `refs/heads` is there, and nothing is in it.
        let packed = format!("# pack-refs with: peeled\n{HASH} refs/heads/main\n");
        folder.write("packed/HEAD", "ref: refs/heads/main\n");
        folder.write("packed/packed-refs", &packed);
        assert_eq!(folder.found("packed"), found);

        folder.write("tree/.git", "gitdir: ../branch/worktrees/tree\n");
        folder.write("branch/worktrees/tree/HEAD", "ref: refs/heads/main\n");
        folder.write("branch/worktrees/tree/commondir", "../..\n");
        assert_eq!(folder.found("tree/.git"), found);
    }

    #[test]
    fn takes_nothing_else_for_a_commit() {
        let folder = Folder::new("bad");
        folder.write("new/HEAD", "ref: refs/heads/main\n");
        folder.write("junk/HEAD", "junk\n");
        folder.write("link", "no link\n");
        for git in ["new", "junk", "link", "absent"] {
            assert_eq!(folder.found(git), None, "{git}");
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
}
