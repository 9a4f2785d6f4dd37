//! Counters of events, and the Prometheus text that shows them.
//!
//! Each worker has its own shard, so counting on the request path takes no lock and shares no cache
//! line with another worker. A scrape adds the shards up. Every label has a bounded set of values:
//! closed enums, configured names, and at most [`CELLS_MAX`] cells of the registry. No tenant, path
//! or client ever becomes a label.

mod ages;
mod cells;
mod counter;
mod load;
mod per_cell;
mod process;
mod render;
mod shard;

use std::cmp::Reverse;
use std::sync::{Arc, Mutex};

use cellway_core::{Now, Reason, Snapshot};

pub use self::ages::{ages, ends};
pub use self::cells::CELLS_MAX;
use self::cells::Names;
pub use self::load::CellLoad;
pub use self::process::Process;
use self::process::Read;
use self::shard::Shard;
use crate::observe::event::{CircuitChange, Event, Sink, Wait};
use crate::observe::log::Lost;

/// All counters of one router.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    shards: Arc<Mutex<Vec<Arc<Shard>>>>,
    /// The cells that have counters of their own in every shard.
    cells: Arc<Names>,
    log_lost: Option<Lost>,
    process: Option<Read>,
}

/// Counts what one worker does.
#[derive(Clone, Debug)]
pub struct Counting {
    all: Metrics,
    shard: Arc<Shard>,
}

impl Metrics {
    /// Creates counters that are all zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also shows how many log lines were lost.
    #[must_use]
    pub fn with_log(self, lost: Lost) -> Self {
        let log_lost = Some(lost);
        Self { log_lost, ..self }
    }

    /// Also shows figures of the process. `read` is called at each scrape and may return none.
    #[must_use]
    pub fn with_process(self, read: impl Fn() -> Option<Process> + Send + Sync + 'static) -> Self {
        let process = Some(Read(Arc::new(read)));
        Self { process, ..self }
    }

    /// The most frequent reasons of answers that the router made itself or cut short, with their
    /// counts. At most `most`, the most frequent first.
    pub(crate) fn top_reasons(&self, most: usize) -> Vec<(&'static str, u64)> {
        let shards = self.shards();
        let count = |at| shards.iter().map(|shard| shard.reasons.get(at)).sum();
        let all = Reason::ALL.iter().enumerate();
        let all = all.map(|(at, reason)| (reason.as_str(), count(at)));
        let mut top: Vec<(_, u64)> = all.filter(|(_, count)| *count > 0).collect();
        top.sort_by_key(|(name, count)| (Reverse(*count), *name));
        top.truncate(most);
        top
    }

    /// Creates a sink with its own shard.
    pub fn sink(&self) -> Counting {
        let shard = Arc::new(Shard::new(Arc::clone(&self.cells)));
        // This lock is taken when a worker starts and at a scrape, never by a request.
        let mut shards = self.shards.lock().unwrap_or_else(|e| e.into_inner());
        shards.push(Arc::clone(&shard));
        drop(shards);
        Counting {
            all: self.clone(),
            shard,
        }
    }

    /// Forgets the cells that the registry no longer has, because other cells may need their
    /// counters.
    fn forget_cells(&self, snapshot: &Snapshot) {
        if let Some(registry) = &snapshot.registry {
            self.cells
                .retain(|cell| registry.cell(cell.as_str()).is_some());
        }
    }

    fn shards(&self) -> Vec<Arc<Shard>> {
        let shards = self.shards.lock().unwrap_or_else(|e| e.into_inner());
        shards.clone()
    }
}

impl Sink for Counting {
    fn emit(&self, _: Now, event: &Event<'_>) {
        let shard = &*self.shard;
        match event {
            Event::ConnectionAccepted { .. } => shard.accepted.add(1),
            Event::ConnectionRefused { .. } => shard.refused.add(1),
            Event::ConnectionClosed { why, .. } => shard.closed.add(*why as usize),
            Event::TlsRefused { reason, .. } => shard.tls_refused.add(*reason as usize),
            Event::AcceptFailed { .. } => shard.accept_failed.add(1),
            Event::Decided {
                mode,
                decision,
                forwards,
                ..
            } => shard.decided(*mode, decision, *forwards),
            Event::CellBound { bound, .. } => shard.cell_bound(bound),
            Event::Envelope { form, outcome, .. } => shard.envelope(*form, *outcome),
            Event::Responded(responded) => shard.responded(responded),
            Event::StreamClosed { reason, .. } => shard.streams_closed.add(*reason as usize),
            Event::ExplainAsked { answer, .. } => shard.explained.add(*answer as usize),
            Event::Preflight { covered, .. } => shard.preflights.add(usize::from(*covered)),
            Event::ShareRefused {
                resource, share, ..
            } => shard.share_refused(*resource, *share),
            Event::RateLimited { scope, .. } => shard.rate_limited.add(*scope as usize),
            Event::TunnelOpened { protocol, .. } => shard.tunnels_opened.add(*protocol as usize),
            Event::TunnelEnded { protocol, end, .. } => shard.tunnel_ended(*protocol, *end),
            Event::CellConnected { cell, took, .. } => {
                let cell = shard.cells.of(cell);
                cell.connected.add(1);
                cell.connecting.observe(*took);
            }
            Event::Waited {
                what, cell, time, ..
            } => match (what, cell) {
                (Wait::Keys, _) => shard.key_waits.observe(*time),
                (Wait::Place, Some(cell)) => shard.cells.of(cell).queued.observe(*time),
                // A request waits for a place only once its cell is decided.
                (Wait::Place, None) => {}
            },
            Event::CellFailed { cell, reason, .. } => {
                shard.cells.of(cell).failed.add(*reason as usize);
            }
            Event::CircuitChanged {
                cell,
                change: CircuitChange::Opened,
                ..
            } => shard.cells.of(cell).circuits_opened.add(1),
            Event::CircuitChanged { .. } => {}
            Event::EndpointChecked { cell, failure, .. } => {
                shard
                    .cells
                    .of(cell)
                    .checks
                    .add(usize::from(failure.is_some()));
            }
            Event::CellRetry {
                cell, why, granted, ..
            } => shard.cells.of(cell).retried(*why, *granted),
            Event::CellHedge { cell, end, .. } => {
                shard.cells.of(cell).hedges.add(*end as usize);
            }
            Event::FailedOver { reason, .. } => shard.failovers.add(*reason as usize),
            Event::Notice { notice, policy } => shard.notice(notice, policy),
            Event::Spans { count, outcome, .. } => shard.spans.add_n(*outcome as usize, *count),
            Event::Published { snapshot } => self.all.forget_cells(snapshot),
            Event::KeptRefused { .. } => shard.kept_refused.add(1),
            Event::KeepFailed { .. } => shard.keep_failed.add(1),
            Event::Reloaded { .. } => shard.reloaded.add(1),
            Event::ReloadRefused { .. } => shard.reload_refused.add(1),
            Event::Listening { .. }
            | Event::AdminDenied { .. }
            | Event::OpenedEmpty { .. }
            | Event::Insecure { .. }
            | Event::ConfigWarning { .. }
            // A gauge shows when they expire.
            | Event::CertificateEnding { .. }
            | Event::CertificateExpired { .. }
            | Event::Starting(_)
            | Event::LogMoved { .. }
            | Event::KeysRequested { .. }
            | Event::SourceFailed { .. }
            | Event::Draining { .. }
            | Event::ListenersClosed
            | Event::UpgradeStarted { .. }
            | Event::HandedOver { .. }
            | Event::UpgradeFailed { .. }
            | Event::Drained { .. } => {}
        }
    }

    fn shard(&self, _: usize) -> Self {
        self.all.sink()
    }
}

#[cfg(test)]
mod tests;
