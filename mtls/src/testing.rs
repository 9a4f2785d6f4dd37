//! A host for unit tests: the present machine, with files in memory and a disk that can be full.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cellway_core::{Now, Unix};

use crate::env::tokio::TokioEnv;
use crate::env::{Env, Privacy, Sharing, Stat, Store};
use crate::event::{Event, Sink};
use crate::log::{Level, Subjects, render};

#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    files: BTreeMap<String, (u64, Bytes)>,
    writes: u64,
    full: bool,
}

impl Memory {
    pub(crate) fn put(&self, path: &str, content: impl Into<Bytes>) {
        let mut disk = self.0.lock().unwrap();
        disk.writes += 1;
        let written = (disk.writes, content.into());
        disk.files.insert(path.to_owned(), written);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Bytes> {
        let disk = self.0.lock().unwrap();
        disk.files.get(path).map(|(_, content)| content.clone())
    }

    pub(crate) fn fill_up(&self) {
        self.0.lock().unwrap().full = true;
    }
}

impl Store for Memory {
    async fn read(&self, path: &str, limit: usize, _: Privacy) -> io::Result<Bytes> {
        match self.get(path) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(content) if content.len() > limit => Err(io::ErrorKind::FileTooLarge.into()),
            Some(content) => Ok(content),
        }
    }

    async fn replace(&self, path: &str, content: Bytes) -> io::Result<()> {
        if self.0.lock().unwrap().full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.put(path, content);
        Ok(())
    }

    async fn stat(&self, path: &str) -> io::Result<Stat> {
        let disk = self.0.lock().unwrap();
        let found = disk.files.get(path);
        let (write, content) = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Stat {
            modified: Duration::ZERO,
            len: content.len() as u64,
            inode: *write,
        })
    }
}

#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) disk: Memory,
    machine: TokioEnv,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            disk: Memory::default(),
            machine: TokioEnv::new(),
        }
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

    async fn claim(&self, address: SocketAddr, sharing: Sharing) -> io::Result<Self::Claim> {
        self.machine.claim(address, sharing).await
    }

    /// Stands still.
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
        work()
    }

    fn store(&self) -> &Memory {
        &self.disk
    }
}

/// Remembers the log line of every event.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    /// The lines of events with this name.
    pub(crate) fn of(&self, event: &str) -> Vec<String> {
        let name = format!("\"event\":\"{event}\"");
        let heard = self.0.lock().unwrap();
        heard
            .iter()
            .filter(|l| l.contains(&name))
            .cloned()
            .collect()
    }
}

impl Sink for Heard {
    fn emit(&self, now: Now, event: &Event<'_>) {
        let line = render(now.unix, event, Level::Debug, &Subjects::Off);
        self.0.lock().unwrap().extend(line);
    }
}
