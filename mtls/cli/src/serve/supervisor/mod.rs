//! The service manager: it is told what the router does (sd_notify(3)), and it may pass sockets to the
//! router (sd_listen_fds(3)). Both protocols are systemd's, and others speak them too.
//!
//! Without `$NOTIFY_SOCKET` nobody is told.

use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cellway_core::Now;
use cellway_router::event::{Event, Sink};
use listenfd::ListenFd;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::sleep;

use super::sockets::Passed;

/// The service manager.
#[derive(Clone, Debug, Default)]
pub(super) struct Supervisor(Option<Arc<Manager>>);

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Whether this process serves, and is the service. A manager would take the end of a reload
    /// before that for the end of the start.
    serves: AtomicBool,
}

impl Supervisor {
    /// The service manager that `$NOTIFY_SOCKET` names.
    ///
    /// # Errors
    /// The name is not one of a socket.
    pub(super) fn from_env() -> io::Result<Self> {
        match env::var_os("NOTIFY_SOCKET") {
            Some(name) if !name.is_empty() => Self::at(&name),
            _ => Ok(Self(None)),
        }
    }

    fn at(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that reads nothing must not stop the router.
        socket.set_nonblocking(true)?;
        let manager = Manager {
            socket,
            address,
            serves: AtomicBool::new(false),
        };
        Ok(Self(Some(Arc::new(manager))))
    }

    /// The router serves from now on.
    pub(super) fn ready(&self) {
        self.set_serves(true);
        self.tell("READY=1\nSTATUS=serving");
    }

    /// A reload begins. The manager waits for [its end](Self::reloaded).
    pub(super) fn reloading(&self) {
        if !self.serves() {
            return;
        }
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000) + now.tv_nsec / 1000;
        self.tell(format_args!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// A reload has ended.
    fn reloaded(&self, status: impl Display) {
        if self.serves() {
            self.tell(format_args!("READY=1\nSTATUS={status}"));
        }
    }

    /// The router drains, for this time at most.
    pub(super) fn stopping(&self, within: Duration) {
        self.set_serves(false);
        let micros = within.as_micros();
        self.tell(format_args!(
            "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC={micros}"
        ));
    }

    /// From now on, another process is the service.
    pub(super) fn main_process(&self, pid: u32) {
        self.set_serves(false);
        self.tell(format_args!("MAINPID={pid}"));
    }

    pub(super) fn status(&self, status: impl Display) {
        self.tell(format_args!("STATUS={status}"));
    }

    fn serves(&self) -> bool {
        self.0.as_ref().is_some_and(|it| it.serves.load(Relaxed))
    }

    fn set_serves(&self, serves: bool) {
        if let Some(it) = &self.0 {
            it.serves.store(serves, Relaxed);
        }
    }

    /// Nobody needs to know whether the manager listens.
    fn tell(&self, state: impl Display) {
        if let Some(it) = &self.0 {
            let state = state.to_string();
            let _ = it.socket.send_to_addr(state.as_bytes(), &it.address);
        }
    }
}

/// Tells the end of a reload.
impl Sink for Supervisor {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "`Event` is non-exhaustive, and the manager needs few of them"
    )]
    fn emit(&self, _: Now, event: &Event<'_>) {
        match event {
            Event::Reloaded { .. } => self.reloaded("reloaded"),
            Event::ReloadRefused { error } => {
                let line = error.lines().next().unwrap_or_default();
                self.reloaded(format_args!(
                    "reload refused, the old settings stay: {line}"
                ));
            }
            _ => {}
        }
    }

    fn shard(&self, _: usize) -> Self {
        self.clone()
    }
}

#[cfg(target_os = "linux")]
fn abstract_name(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The file descriptor of the first socket (sd_listen_fds(3)).
const FIRST_DESCRIPTOR: usize = 3;

/// The sockets that the service manager passes. Call it once, before there are threads: it takes the
/// variables out of the environment.
///
/// # Errors
/// One of them isn't a listening TCP socket.
pub(super) fn passed() -> io::Result<Vec<Passed>> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut descriptors = ListenFd::from_env();
    let mut passed = Vec::new();
    for index in 0..descriptors.len() {
        let name = names.next().unwrap_or_default().to_owned();
        let taken = descriptors.take_tcp_listener(index).map_err(|error| {
            let what = match name.as_str() {
                "" => "without a name".to_owned(),
                name => format!("`{name}`"),
            };
            let descriptor = FIRST_DESCRIPTOR + index;
            io::Error::new(
                error.kind(),
                format!("descriptor {descriptor} ({what}): {error}"),
            )
        });
        if let Some(socket) = taken? {
            passed.push(Passed { name, socket });
        }
    }
    Ok(passed)
}

/// The workers' signs of life, for a manager that restarts a router without them (`WatchdogSec=`).
#[derive(Clone, Debug)]
pub(super) struct Watchdog {
    /// How often the manager wants one.
    every: Duration,
    /// The signs of each worker.
    beats: Arc<[AtomicU64]>,
}

impl Watchdog {
    /// `None` if the manager wants no sign of this process.
    pub(super) fn from_env(workers: usize) -> Option<Self> {
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        if number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id())) {
            return None;
        }
        let every = Duration::from_micros(number("WATCHDOG_USEC").filter(|it| *it > 0)?);
        let beats = (0..workers).map(|_| AtomicU64::new(0)).collect();
        Some(Self { every, beats })
    }

    /// Gives signs of life. Run it on the worker's own thread.
    pub(super) async fn beat(self, worker: usize) {
        let Some(beats) = self.beats.get(worker) else {
            return;
        };
        loop {
            beats.fetch_add(1, Relaxed);
            sleep(self.every / 4).await;
        }
    }

    /// Tells the manager as long as every worker gives signs of life.
    pub(super) async fn watch(self, supervisor: Supervisor) {
        let mut seen = vec![0; self.beats.len()];
        loop {
            sleep(self.every / 3).await;
            let now: Vec<_> = self.beats.iter().map(|beats| beats.load(Relaxed)).collect();
            if now.iter().zip(&seen).all(|(now, seen)| now != seen) {
                supervisor.tell("WATCHDOG=1");
                seen = now;
            }
        }
    }
}

#[cfg(test)]
mod tests;
