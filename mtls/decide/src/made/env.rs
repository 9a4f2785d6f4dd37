//! An environment with a fixed time, files in memory, and no network.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use cellway_core::Unix;
use cellway_env::{Claim, Env, Listener, Privacy, Sharing, Stat, Store};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use tokio::io::DuplexStream;

/// The environment.
#[derive(Clone, Debug)]
pub(crate) struct MadeEnv {
    now: Unix,
    store: MadeStore,
}

/// Its files.
#[derive(Clone, Debug, Default)]
pub(crate) struct MadeStore(Arc<BTreeMap<String, Bytes>>);

/// Its time, for certificates.
#[derive(Debug)]
pub(crate) struct FixedTime(pub(crate) Unix);

impl TimeProvider for FixedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.since_epoch()))
    }
}

/// Runs what never waits, because this environment has everything at once.
pub(crate) fn at_once<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("nothing waits without a network and with files in memory"),
    }
}

impl MadeEnv {
    /// An environment at this time with these files.
    pub(crate) fn new(now: Unix, files: BTreeMap<String, Bytes>) -> Self {
        let store = MadeStore(Arc::new(files));
        Self { now, store }
    }
}

impl Env for MadeEnv {
    type Stream = DuplexStream;
    type Claim = Nowhere;
    type Listener = Nowhere;
    type Store = MadeStore;

    async fn connect(&self, _: &str, _: u16) -> io::Result<DuplexStream> {
        Err(ErrorKind::Unsupported.into())
    }

    async fn claim(&self, _: SocketAddr, _: Sharing) -> io::Result<Nowhere> {
        Err(ErrorKind::Unsupported.into())
    }

    fn unix_now(&self) -> Unix {
        self.now
    }

    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }

    /// Nothing is started: gathering and deciding spawn no task.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(task);
    }

    async fn heavy<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        work()
    }

    fn store(&self) -> &MadeStore {
        &self.store
    }
}

impl Store for MadeStore {
    async fn read(&self, path: &str, limit: usize, _: Privacy) -> io::Result<Bytes> {
        let content = self.0.get(path).ok_or(ErrorKind::NotFound)?;
        match content.len() > limit {
            true => Err(ErrorKind::FileTooLarge.into()),
            false => Ok(content.clone()),
        }
    }

    async fn replace(&self, _: &str, _: Bytes) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    async fn stat(&self, path: &str) -> io::Result<Stat> {
        let content = self.0.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(Stat {
            modified: Duration::ZERO,
            len: content.len() as u64,
            inode: 0,
        })
    }
}

/// A listener that can't be made.
pub(crate) enum Nowhere {}

impl Claim for Nowhere {
    type Listener = Self;

    async fn listen(self) -> io::Result<Self> {
        match self {}
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match *self {}
    }
}

impl Listener for Nowhere {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        match *self {}
    }

    fn accept_queued(&mut self) -> io::Result<Option<(DuplexStream, SocketAddr)>> {
        match *self {}
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match *self {}
    }
}
