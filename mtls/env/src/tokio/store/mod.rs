//! Files, with the checks that the router's own state needs.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;

use super::super::{Privacy, Stat, Store};
use super::trust::{self, Wanted};

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileStore;

impl Store for FileStore {
    async fn read(&self, path: &str, limit: usize, private: Privacy) -> io::Result<Bytes> {
        let path = PathBuf::from(path);
        blocking(move || read(&path, limit, private)).await
    }

    async fn replace(&self, path: &str, content: Bytes) -> io::Result<()> {
        let path = PathBuf::from(path);
        blocking(move || replace(&path, &content)).await
    }

    async fn stat(&self, path: &str) -> io::Result<Stat> {
        let path = PathBuf::from(path);
        blocking(move || stat(&path)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)),
    }
}

fn read(path: &Path, limit: usize, private: Privacy) -> io::Result<Bytes> {
    let file = match private {
        Privacy::Any => open_any(path)?,
        Privacy::Own => open_own(path)?,
        Privacy::Trusted => trust::open(path, Wanted::Unwritten)?,
        Privacy::Secret => trust::open(path, Wanted::Unread)?,
    };
    let mut content = Vec::new();
    // One more byte than allowed tells a file that just fits from one that is too long.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut content)?;
    if content.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("is larger than {limit} bytes"),
        ));
    }
    Ok(content.into())
}

/// Opens a plain file and nothing else. Opening a pipe that nobody writes to would never return.
fn open_any(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("is not a plain file"));
    }
    File::open(path)
}

/// Opens a file that nobody but its owner can have written.
fn open_own(path: &Path) -> io::Result<File> {
    let named = fs::symlink_metadata(path)?;
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if !named.is_file() {
        return refuse("is not a plain file");
    }
    let file = File::open(path)?;
    let opened = file.metadata()?;
    // Refuse a file that was replaced by a link between the two calls.
    if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        return refuse("changed while it was opened");
    }
    if opened.mode() & 0o022 != 0 {
        return refuse("can be written by others than its owner");
    }
    // The superuser can do as the router anyway.
    let (owner, own) = (opened.uid(), rustix::process::geteuid().as_raw());
    if owner != own && owner != 0 {
        return refuse(&format!("belongs to user {owner}, and the router is {own}"));
    }
    Ok(file)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Writes the content to a second file, makes that durable, renames it to `path`, and makes the
/// name durable.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let beside = beside(path)?;
    // A crash may have left this file. It is created again, so that a link that somebody put there
    // is never followed.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_new(&beside, content).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
        return written;
    }
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "names no file"));
    };
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    Ok(path.with_file_name(temporary))
}

fn stat(path: &Path) -> io::Result<Stat> {
    let metadata = fs::metadata(path)?;
    let modified = metadata
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Ok(Stat {
        modified,
        len: metadata.len(),
        inode: metadata.ino(),
    })
}

#[cfg(test)]
mod tests;
