//! A host for tests: the present machine, with files in memory and a disk that can be full.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cellway_core::Unix;
use cellway_env::tokio::TokioEnv;
use cellway_env::{Env, Privacy, Sharing, Stat, Store, Unsent};

/// Files in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    files: BTreeMap<String, (u64, Bytes)>,
    writes: u64,
    reads: BTreeMap<String, usize>,
    full: bool,
}

impl Memory {
    /// Writes a file.
    pub fn put(&self, path: &str, content: impl Into<Bytes>) {
        let mut disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        disk.writes += 1;
        let written = (disk.writes, content.into());
        disk.files.insert(path.to_owned(), written);
    }

    /// The content of a file.
    pub fn get(&self, path: &str) -> Option<Bytes> {
        let disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        disk.files.get(path).map(|(_, content)| content.clone())
    }

    /// How often the host has read a file.
    pub fn reads(&self, path: &str) -> usize {
        let disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        disk.reads.get(path).copied().unwrap_or_default()
    }

    /// From now on every write of the host fails because the disk is full.
    pub fn fill_up(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).full = true;
    }
}

impl Store for Memory {
    async fn read(&self, path: &str, limit: usize, _: Privacy) -> io::Result<Bytes> {
        let mut disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *disk.reads.entry(path.to_owned()).or_default() += 1;
        drop(disk);
        match self.get(path) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(content) if content.len() > limit => Err(io::ErrorKind::FileTooLarge.into()),
            Some(content) => Ok(content),
        }
    }

    async fn replace(&self, path: &str, content: Bytes) -> io::Result<()> {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.put(path, content);
        Ok(())
    }

    async fn can_replace(&self, _: &str) -> io::Result<()> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).full {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    async fn stat(&self, path: &str) -> io::Result<Stat> {
        let disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = disk.files.get(path);
        let (write, content) = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Stat {
            modified: Duration::ZERO,
            len: content.len() as u64,
            inode: *write,
        })
    }
}

/// The present machine, with files in memory and a fixed wall clock.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Its files.
    pub disk: Memory,
    machine: TokioEnv,
    heavy: Arc<AtomicUsize>,
}

impl Host {
    /// A host with an empty disk.
    pub fn new() -> Self {
        Self {
            disk: Memory::default(),
            machine: TokioEnv::new(),
            heavy: Arc::default(),
        }
    }

    /// How many pieces of heavy work it has been given.
    pub fn heavy_works(&self) -> usize {
        self.heavy.load(Relaxed)
    }
}

impl Env for Host {
    type Stream = <TokioEnv as Env>::Stream;
    type Claim = <TokioEnv as Env>::Claim;
    type Listener = <TokioEnv as Env>::Listener;
    type Store = Memory;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        self.machine.connect(host, port).await
    }

    fn leave(stream: &Self::Stream, unsent: Unsent) {
        TokioEnv::leave(stream, unsent);
    }

    async fn claim(&self, address: SocketAddr, sharing: Sharing) -> io::Result<Self::Claim> {
        self.machine.claim(address, sharing).await
    }

    /// Always the same time.
    fn unix_now(&self) -> Unix {
        Unix::from_secs(1_800_000_000)
    }

    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.machine.spawn(task);
    }

    async fn heavy<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.heavy.fetch_add(1, Relaxed);
        work()
    }

    fn store(&self) -> &Memory {
        &self.disk
    }
}
