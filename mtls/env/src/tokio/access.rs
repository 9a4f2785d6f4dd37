//! What this process may do with files, and who it is in messages about that.

use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether this process could create this file, or replace it, with the folders that lack on its way.
/// It writes nothing.
///
/// # Errors
/// The system's error, with the folder.
pub(super) fn can_replace(path: &Path) -> io::Result<()> {
    let mut folder = folder_of(path);
    loop {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        match accessat(CWD, folder, wanted, AtFlags::EACCESS) {
            Ok(()) => return Ok(()),
            // It would be created in the folder above it.
            Err(rustix::io::Errno::NOENT) if folder_of(folder) != folder => {
                folder = folder_of(folder);
            }
            Err(error) => {
                let error = for_whom(error.into());
                let problem = format!("folder {}: {error}", folder.display());
                return Err(io::Error::new(error.kind(), problem));
            }
        }
    }
}

/// Adds the user that this process is to an error of the system about permissions: `check` may be
/// run by another user than the router.
pub(super) fn for_whom(error: io::Error) -> io::Error {
    let (kind, of_system) = (error.kind(), error.raw_os_error().is_some());
    if kind != io::ErrorKind::PermissionDenied || !of_system {
        return error;
    }
    let user = rustix::process::geteuid().as_raw();
    io::Error::new(kind, format!("{error}; this process is user {user}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches: an error about permissions that doesn't say whose, and one that says it twice.
    #[test]
    fn errors_about_permissions_name_the_user() {
        let denied = io::Error::from_raw_os_error(rustix::io::Errno::ACCESS.raw_os_error());
        let once = for_whom(denied);
        let user = rustix::process::geteuid().as_raw();
        let expected = format!("Permission denied (os error 13); this process is user {user}");
        assert_eq!(once.to_string(), expected);
        assert_eq!(for_whom(once).to_string(), expected);
        let missing = io::Error::from_raw_os_error(rustix::io::Errno::NOENT.raw_os_error());
        assert!(!for_whom(missing).to_string().contains("user"));
    }

    #[test]
    fn missing_folders_are_looked_for_above() {
        let folder = cellway_testbed::Folder::generate();
        let root = folder.root();
        can_replace(&root.join("a/b/c")).unwrap();
        can_replace(Path::new("no-such-folder/c")).unwrap();
        folder.write("file", "");
        let error = can_replace(&root.join("file/b/c")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory, "{error}");
    }
}
