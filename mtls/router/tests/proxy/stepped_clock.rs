//! A machine whose wall clock the test sets.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cellway_core::Unix;
use cellway_env::tokio::{FileStore, TokioEnv, TokioListener};
use cellway_env::{Env, Sharing, Unsent};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// The machine. Its wall clock moves only when the test steps it.
#[derive(Clone, Debug)]
pub(crate) struct Stepped {
    machine: TokioEnv,
    secs: Arc<AtomicU64>,
}

impl Stepped {
    pub(crate) fn new(start: u64) -> Self {
        Self {
            machine: TokioEnv::new(),
            secs: Arc::new(AtomicU64::new(start)),
        }
    }

    pub(crate) fn now(&self) -> Unix {
        Unix::from_secs(self.secs.load(Ordering::Relaxed))
    }

    /// Sets the clock ahead, or back if `secs` is negative.
    pub(crate) fn step(&self, secs: i64) {
        let step = |now: u64| Some(now.saturating_add_signed(secs));
        let _ = self
            .secs
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }

    /// Advances this clock and the timers' clock.
    pub(crate) async fn pass(&self, secs: u64) {
        self.step(secs.cast_signed());
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(secs)).await;
        tokio::time::resume();
    }
}

impl Env for Stepped {
    type Stream = <TokioEnv as Env>::Stream;
    type Claim = <TokioEnv as Env>::Claim;
    type Listener = TokioListener;
    type Store = FileStore;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        self.machine.connect(host, port).await
    }

    fn leave(stream: &Self::Stream, unsent: Unsent) {
        TokioEnv::leave(stream, unsent);
    }

    async fn claim(&self, address: SocketAddr, sharing: Sharing) -> io::Result<Self::Claim> {
        self.machine.claim(address, sharing).await
    }

    fn unix_now(&self) -> Unix {
        self.now()
    }

    fn fill(&self, buffer: &mut [u8]) {
        self.machine.fill(buffer);
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.machine.spawn(task);
    }

    async fn heavy<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.machine.heavy(work).await
    }

    fn store(&self) -> &FileStore {
        self.machine.store()
    }
}

/// Certificates' dates are checked with the same clock.
impl TimeProvider for Stepped {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.now().since_epoch()))
    }
}
