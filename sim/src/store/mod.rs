//! A host's disk: files in memory that survive crashes, and faults of the disk.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cellway_env::{Privacy, Stat, Store};

/// The most links on the way to one file.
const LINKS_MAX: usize = 16;

/// A simulated disk. Clones are the same disk; keep one for each host, so that its files survive
/// the host's crashes.
#[derive(Clone, Debug, Default)]
pub struct SimStore(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    /// Ordered, so that the trace doesn't depend on a hasher.
    files: BTreeMap<String, File>,
    /// The number of writes. It gives each file a new inode and modification time, so that
    /// [`Store::stat`] shows every change.
    writes: u64,
    /// The target of each link by its path, relative to the link's folder.
    links: BTreeMap<String, String>,
    full: bool,
    tear_next: bool,
    /// How long each read and write takes.
    delay: Duration,
}

#[derive(Debug)]
struct File {
    content: Bytes,
    inode: u64,
    foreign: bool,
}

impl SimStore {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a file as an administrator. This works on a full disk too.
    pub fn put(&self, path: &str, content: impl Into<Bytes>) {
        self.lock().write(path, content.into(), false);
    }

    /// The present content of a file.
    pub fn get(&self, path: &str) -> Option<Bytes> {
        self.lock().files.get(path).map(|file| file.content.clone())
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, path: &str) {
        self.lock().files.remove(path);
    }

    /// While set, every write fails with `StorageFull` and leaves the old content.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// The next write keeps only the first half of its content and reports success, like a disk that
    /// loses power after it falsely confirmed a flush.
    pub fn tear_next_write(&self) {
        self.lock().tear_next = true;
    }

    /// Makes each read and write take this long.
    pub fn set_delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Cuts every file in half whose path begins like this.
    pub fn damage(&self, folder: &str) {
        let mut disk = self.lock();
        let paths: Vec<_> = disk
            .files
            .keys()
            .filter(|it| it.starts_with(folder))
            .cloned()
            .collect();
        for path in paths {
            let content = disk.files[&path].content.clone();
            let half = content.slice(..content.len() / 2);
            disk.write(&path, half, false);
        }
    }

    /// Creates a link to a file or folder, or atomically changes its target. `target` is relative
    /// to the link's folder.
    pub fn link(&self, path: &str, target: &str) {
        let mut disk = self.lock();
        disk.links.insert(path.to_owned(), target.to_owned());
    }

    /// Lets other users write this file. The router must not trust it as its own state then.
    pub fn make_foreign(&self, path: &str) {
        if let Some(file) = self.lock().files.get_mut(path) {
            file.foreign = true;
        }
    }

    async fn wait(&self) {
        let delay = self.lock().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn write(&mut self, path: &str, content: Bytes, foreign: bool) {
        self.writes += 1;
        let file = File {
            content,
            inode: self.writes,
            foreign,
        };
        self.files.insert(path.to_owned(), file);
    }

    /// Follows all links of a path.
    fn end_of(&self, path: &str) -> io::Result<String> {
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            // The first link on the path: the path itself, or one of its folders.
            let ends = path.match_indices('/').map(|(at, _)| at);
            let found = ends.chain([path.len()]).find_map(|end| {
                let target = self.links.get(&path[..end])?;
                let folder = path[..end].rfind('/').map_or("", |slash| &path[..=slash]);
                Some(format!("{folder}{target}{}", &path[end..]))
            });
            match found {
                Some(next) => path = next,
                None => return Ok(path),
            }
        }
        Err(io::Error::other("too many links"))
    }

    fn read(&self, path: &str, limit: usize, privacy: Privacy) -> io::Result<Bytes> {
        if privacy == Privacy::Own && self.links.contains_key(path) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let end = self.end_of(path)?;
        let file = self.files.get(&end).ok_or(io::ErrorKind::NotFound)?;
        if file.foreign && privacy != Privacy::Any {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if file.content.len() > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(file.content.clone())
    }

    fn replace(&mut self, path: &str, mut content: Bytes) -> io::Result<()> {
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if std::mem::take(&mut self.tear_next) {
            content.truncate(content.len() / 2);
        }
        self.write(path, content, false);
        Ok(())
    }
}

impl Store for SimStore {
    async fn read(&self, path: &str, limit: usize, privacy: Privacy) -> io::Result<Bytes> {
        self.wait().await;
        self.lock().read(path, limit, privacy)
    }

    async fn replace(&self, path: &str, content: Bytes) -> io::Result<()> {
        self.wait().await;
        self.lock().replace(path, content)
    }

    async fn stat(&self, path: &str) -> io::Result<Stat> {
        let disk = self.lock();
        let end = disk.end_of(path)?;
        let file = disk.files.get(&end).ok_or(io::ErrorKind::NotFound)?;
        Ok(Stat {
            modified: Duration::from_secs(file.inode),
            len: file.content.len() as u64,
            inode: file.inode,
        })
    }
}

#[cfg(test)]
mod tests;
