//! Files, with the checks that the router's own state needs.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use tokio::sync::Semaphore;

use super::super::{Exposure, Privacy, Stat, Store};
use super::access::{self, folder_of};
use super::trust::{self, Wanted};

/// The longest wait for a file to be read. A network file system that doesn't answer blocks its
/// thread for good.
const READ_MAX: Duration = Duration::from_secs(30);
/// The most operations at a time, also of those that nobody waits for any more. Others wait, so that
/// files that hang can't use up the threads that all blocking work shares.
const OPERATIONS_MAX: usize = 64;

/// The file system. Clones share the bound on operations.
#[derive(Clone, Debug)]
pub struct FileStore {
    permits: Arc<Semaphore>,
    /// Files with an operation that was given up and hasn't ended. The next one fails at once, so
    /// that each file holds one thread at most. At most [`OPERATIONS_MAX`].
    hanging: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Default for FileStore {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(OPERATIONS_MAX)),
            hanging: Arc::default(),
        }
    }
}

impl Store for FileStore {
    async fn read(&self, path: &str, limit: usize, private: Privacy) -> io::Result<Bytes> {
        let work = move |path: &Path| read(path, limit, private);
        self.in_time(Path::new(path), work).await
    }

    async fn replace(&self, path: &str, content: Bytes) -> io::Result<()> {
        let path = PathBuf::from(path);
        // Without a limit, because a write that goes on in the background would meet the next one
        // in the same temporary file.
        self.blocking(move || replace(&path, &content)).await
    }

    async fn stat(&self, path: &str) -> io::Result<Stat> {
        self.in_time(Path::new(path), stat).await
    }

    async fn exposure(&self, path: &str) -> io::Result<Exposure> {
        self.in_time(Path::new(path), exposure).await
    }

    async fn can_replace(&self, path: &str) -> io::Result<()> {
        self.in_time(Path::new(path), access::can_replace).await
    }
}

impl FileStore {
    /// Runs an operation on a thread that may block. If the caller stops waiting, the operation keeps
    /// its permit until it ends.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
        let held = move || {
            let result = work();
            drop(permit);
            result
        };
        match tokio::task::spawn_blocking(held).await {
            Ok(result) => result,
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Runs an operation on this file, and gives it up after [`READ_MAX`].
    async fn in_time<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let timed_out = |problem: String| Err(io::Error::new(io::ErrorKind::TimedOut, problem));
        if lock(&self.hanging).contains(path) {
            return timed_out("the file system still does not answer".to_owned());
        }
        let running = Running {
            path: path.to_owned(),
            hanging: Arc::clone(&self.hanging),
            ended: Arc::default(),
        };
        let ended = Arc::clone(&running.ended);
        let operation = self.blocking(move || work(&running.path));
        match tokio::time::timeout(READ_MAX, operation).await {
            Ok(result) => result.map_err(access::for_whom),
            Err(_) => {
                let mut hanging = lock(&self.hanging);
                // Under the lock, so that an operation that ends now isn't noted for good.
                if !ended.load(Relaxed) {
                    hanging.insert(path.to_owned());
                }
                let secs = READ_MAX.as_secs();
                timed_out(format!("the file system has not answered for {secs} s"))
            }
        }
    }
}

/// An operation on a file. Dropped when it ends, even if it never got a thread.
struct Running {
    path: PathBuf,
    hanging: Arc<Mutex<BTreeSet<PathBuf>>>,
    ended: Arc<AtomicBool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut hanging = lock(&self.hanging);
        self.ended.store(true, Relaxed);
        hanging.remove(&self.path);
    }
}

/// Only operations on files take it, for a moment.
fn lock(hanging: &Mutex<BTreeSet<PathBuf>>) -> MutexGuard<'_, BTreeSet<PathBuf>> {
    hanging.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path, limit: usize, private: Privacy) -> io::Result<Bytes> {
    let file = match private {
        Privacy::Any => open_any(path)?,
        Privacy::Own => open_own(path)?,
        Privacy::Trusted => trust::open(path, Wanted::Unwritten)?,
        Privacy::Secret => trust::open(path, Wanted::Unread)?,
    };
    // One more byte than allowed tells a file that just fits from one that is too long.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    // Room for all of it from the start. A large registry that is copied while the room grows would
    // leave twice its size behind.
    let room = file.metadata()?.len().min(most);
    let mut content = Vec::with_capacity(usize::try_from(room).unwrap_or_default());
    file.take(most).read_to_end(&mut content)?;
    if content.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("is larger than {limit} bytes"),
        ));
    }
    Ok(content.into())
}

/// Opens a plain file and nothing else.
fn open_any(path: &Path) -> io::Result<File> {
    let found = fs::metadata(path)?;
    if found.is_dir() {
        return Err(io::Error::other("is a folder, and must be a file"));
    }
    // Opening a device may already do something, so it isn't opened at all.
    if !found.is_file() {
        return Err(plain_only());
    }
    open_plain(path)
}

/// Opens a file, and refuses it if it is no plain one: it may have been exchanged since somebody
/// looked at its name. Non-blocking, because opening a pipe that nobody writes to, or reading from
/// it, would never return.
fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(plain_only()),
    }
}

fn plain_only() -> io::Error {
    io::Error::other("is not a plain file")
}

/// Opens a file that nobody but its owner can have written.
fn open_own(path: &Path) -> io::Result<File> {
    let named = fs::symlink_metadata(path)?;
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if !named.is_file() {
        return refuse("is not a plain file");
    }
    let file = open_plain(path)?;
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

fn exposure(path: &Path) -> io::Result<Exposure> {
    let mode = fs::metadata(path)?.mode() & 0o7777;
    Ok(Exposure {
        read_by_all: mode & 0o004 != 0,
        written_by_others: mode & 0o022 != 0,
        mode,
    })
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
