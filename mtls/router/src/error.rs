//! Why a router can't start, or can't be given other settings.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::finding::{Finding, Findings};

/// Why a router can't start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address can't be bound.
    Bind {
        /// The listener's name.
        listener: Arc<str>,
        /// The address and the error.
        error: BindError,
    },
    /// A certificate, key, bundle or another file that the settings name can't be used.
    Settings(ReloadError),
    /// This worker was dropped before it ran.
    WorkerLost(usize),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { listener, error } if error.kind == io::ErrorKind::AddrInUse => write!(
                f,
                "listener {listener}: {error}. For a hand-over from one router to the next, set \
                 runtime.share_addresses = true for both"
            ),
            Self::Bind { listener, error } => write!(f, "listener {listener}: {error}"),
            Self::Settings(error) => error.fmt(f),
            Self::WorkerLost(index) => write!(f, "worker {index} did not start"),
        }
    }
}

impl std::error::Error for StartError {}

/// Why settings, or the files that they name, can't be put in force.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ReloadError {
    /// All errors, each with its setting. There are no warnings.
    pub findings: Vec<Finding>,
}

impl ReloadError {
    pub(crate) fn new(setting: impl Into<String>, problem: impl fmt::Display) -> Self {
        let mut findings = Findings::default();
        findings.error(setting, problem, "");
        Self {
            findings: findings.into_vec(),
        }
    }
}

/// One line for each finding.
impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, finding) in self.findings.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ReloadError {}

/// Why the router can't listen on an address.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The kind of failure.
    pub kind: io::ErrorKind,
    /// The system's error text.
    pub detail: String,
}

impl BindError {
    pub(crate) fn new(address: SocketAddr, error: &io::Error) -> Self {
        Self {
            address,
            kind: error.kind(),
            detail: error.to_string(),
        }
    }
}

impl fmt::Display for BindError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the system's errors")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, port) = (self.address, self.address.port());
        match self.kind {
            io::ErrorKind::AddrInUse => write!(
                f,
                "address already in use: {address}; another process listens there. Stop it (`ss \
                 -ltnp 'sport = :{port}'` names it) or use another address"
            ),
            io::ErrorKind::AddrNotAvailable => write!(
                f,
                "can't bind {address}: this machine has no such address. Use one of `ip address`, \
                 or 0.0.0.0 for all"
            ),
            io::ErrorKind::PermissionDenied => write!(
                f,
                "can't bind {address}: {}. Ports below 1024 need CAP_NET_BIND_SERVICE",
                self.detail
            ),
            _ => write!(f, "can't bind {address}: {}", self.detail),
        }
    }
}

impl std::error::Error for BindError {}
