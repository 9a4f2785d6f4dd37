//! The counters of one worker.

use std::sync::Arc;

use arc_swap::ArcSwap;
use cellway_core::cba::CellBound;
use cellway_core::control::Notice;
use cellway_core::health::HealthNotice;
use cellway_core::keys::KeyNotice;
use cellway_core::policy::{Mode, Policy};
use cellway_core::registry::{RegistryErrorReason, RegistryNotice};
use cellway_core::{Decision, LeftOut, Reason, Text};

use super::cells::{Cells, Histogram, Names};
use super::counter::{ANSWERS, Counter, Counters, OWNERS, STATUS_CLASSES};
use crate::observe::event::{
    Closed, ExplainAnswer, HandshakeError, Owner, Responded, SealOutcome, SpanOutcome, TunnelEnd,
    TunnelProtocol,
};
use crate::settings::{EnvelopeForm, RateScope};
use crate::shares::{Resource, Share};

/// The modes, in the order of their counters.
pub(super) const MODES: [Mode; 3] = [Mode::Required, Mode::Permissive, Mode::Disabled];
/// The forms of envelopes, in the order of their counters.
pub(super) const FORMS: [EnvelopeForm; 3] = [
    EnvelopeForm::Jws,
    EnvelopeForm::Hmac,
    EnvelopeForm::Compatible,
];
/// The results of cell-bound authorizations, in the order of their counters.
pub(super) const CELL_BOUND: [&str; 3] = ["allow", "deny", "would_deny"];
/// The position of the counter for this kind of answer.
fn answer_at(status: Option<u16>, owner: Owner) -> usize {
    let owner = OWNERS.iter().position(|o| *o == owner).unwrap_or_default();
    let class = status.map_or(0, |status| usize::from(status / 100).min(5));
    owner * STATUS_CLASSES.len() + class
}

/// The results of fetching keys, in the order of their counters.
pub(super) const KEY_RESULTS: [&str; 3] = ["fetched", "refused", "failed"];

#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) decisions: Counters<{ 3 * Reason::ALL.len() }>,
    pub(super) left_out: Counters<{ LeftOut::CLAIMS.len() }>,
    pub(super) cell_bound: Counters<{ CELL_BOUND.len() * Reason::ALL.len() }>,
    pub(super) envelopes: Counters<{ FORMS.len() * SealOutcome::ALL.len() }>,
    pub(super) responses: Counters<ANSWERS>,
    /// From a request's header to its answer's last byte, by owner of the answer.
    pub(super) durations: [Histogram; OWNERS.len()],
    /// How long requests waited for keys.
    pub(super) key_waits: Histogram,
    /// Answers that the router made or cut short, by reason.
    pub(super) reasons: Counters<{ Reason::ALL.len() }>,
    /// Requests that were allowed and that the router forwards, and those of them that were
    /// answered or given up.
    pub(super) allowed: Counter,
    pub(super) answered: Counter,
    /// CORS preflights: first refused, then allowed.
    pub(super) preflights: Counters<2>,
    pub(super) explained: Counters<{ ExplainAnswer::ALL.len() }>,
    /// Tunnels, by protocol.
    pub(super) tunnels_opened: Counters<{ TunnelProtocol::ALL.len() }>,
    /// By protocol and end.
    pub(super) tunnels_ended: Counters<{ TunnelProtocol::ALL.len() * TunnelEnd::ALL.len() }>,
    pub(super) streams_closed: Counters<{ Reason::ALL.len() }>,
    pub(super) shares_refused: Counters<{ Resource::ALL.len() * Share::ALL.len() }>,
    pub(super) rate_limited: Counters<{ RateScope::ALL.len() }>,
    /// Requests that went to another cell, by reason.
    pub(super) failovers: Counters<{ Reason::ALL.len() }>,
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    pub(super) accept_failed: Counter,
    pub(super) closed: Counters<{ Closed::ALL.len() }>,
    pub(super) tls_refused: Counters<{ HandshakeError::ALL.len() }>,
    pub(super) cells: Cells,
    /// By issuer. Issuers come from the configuration, so there are few.
    pub(super) keys: ArcSwap<Vec<(Text, Arc<Counters<{ KEY_RESULTS.len() }>>)>>,
    pub(super) spans: Counters<{ SpanOutcome::ALL.len() }>,
    pub(super) registry_applied: Counter,
    pub(super) registry_rejected: Counters<{ RegistryErrorReason::ALL.len() }>,
    pub(super) registry_failed: Counter,
    pub(super) kept_refused: Counter,
    pub(super) keep_failed: Counter,
    pub(super) reloaded: Counter,
    pub(super) reload_refused: Counter,
}

/// The most issuers with counters of their own. Each reload may bring new names, and the counters of
/// an issuer that is gone are dropped when a new one needs some.
const ISSUERS_MAX: usize = 256;

impl Shard {
    /// Creates counters that are all zero. `cells` has the cells that get counters of their own.
    pub(super) fn new(cells: Arc<Names>) -> Self {
        Self {
            cells: Cells::new(cells),
            ..Self::default()
        }
    }

    pub(super) fn decided(&self, mode: Mode, decision: &Decision, forwards: bool) {
        let mode = MODES.iter().position(|m| *m == mode).unwrap_or_default();
        self.decisions
            .add(mode * Reason::ALL.len() + decision.reason() as usize);
        self.left_out(decision);
        if forwards && matches!(decision, Decision::Allow(_)) {
            self.allowed.add(1);
        }
    }

    fn left_out(&self, decision: &Decision) {
        let left_out = match decision {
            Decision::Allow(allow) => &allow.identity.left_out,
            Decision::Deny(deny) => &deny.left_out,
        };
        if !left_out.is_nothing() {
            for (claim, count) in left_out.counts().into_iter().enumerate() {
                self.left_out.add_n(claim, count.into());
            }
        }
    }

    pub(super) fn cell_bound(&self, bound: &CellBound) {
        let (what, reason) = match (&bound.refused, bound.denies()) {
            (None, _) => (0, Reason::Verified),
            (Some(_), Some(denied)) => (1, denied.reason),
            (Some(watched), None) => (2, watched.reason),
        };
        self.cell_bound
            .add(what * Reason::ALL.len() + reason as usize);
    }

    pub(super) fn envelope(&self, form: EnvelopeForm, outcome: SealOutcome) {
        let form = FORMS.iter().position(|f| *f == form).unwrap_or_default();
        self.envelopes
            .add(form * SealOutcome::ALL.len() + outcome as usize);
    }

    pub(super) fn tunnel_ended(&self, protocol: TunnelProtocol, end: TunnelEnd) {
        self.tunnels_ended
            .add(protocol as usize * TunnelEnd::ALL.len() + end as usize);
    }

    pub(super) fn share_refused(&self, resource: Resource, share: Share) {
        self.shares_refused
            .add(resource as usize * Share::ALL.len() + share as usize);
    }

    /// Counts an answer. Only those that a cell made say how fast the cell is.
    pub(super) fn responded(&self, responded: &Responded<'_>) {
        let Responded {
            status,
            owner,
            reason,
            cell,
            latency,
            duration,
            ..
        } = *responded;
        let answer = answer_at(status, owner);
        self.durations[owner as usize].observe(duration);
        self.responses.add(answer);
        if let Some(reason) = reason {
            self.reasons.add(reason as usize);
        }
        if let Some(cell) = cell {
            self.answered.add(1);
            let cell = self.cells.of(cell);
            if owner == Owner::Cell {
                cell.latency.observe(latency);
            }
            cell.answers.add(answer);
        }
    }

    pub(super) fn notice(&self, notice: &Notice, policy: &Policy) {
        match notice {
            Notice::Keys { issuer, notice } => {
                if let Some(issuer) = policy.issuers.get(usize::from(issuer.0)) {
                    self.keys(&issuer.name, notice, policy);
                }
            }
            Notice::Registry(notice) => self.registry(notice),
            Notice::Health(notice) => self.health(notice),
            // A gauge shows how many there are.
            Notice::CellKeysRefused { .. } => {}
        }
    }

    fn keys(&self, issuer: &Text, notice: &KeyNotice, policy: &Policy) {
        let result = match notice {
            KeyNotice::Fetched { .. } => 0,
            KeyNotice::Refused(_) => 1,
            KeyNotice::Failed(_) => 2,
            KeyNotice::Restored { .. } => return,
        };
        let known = self.keys.load();
        if let Some((_, counters)) = known.iter().find(|(name, _)| name == issuer) {
            counters.add(result);
            return;
        }
        // Forget the issuers that are gone, to make room for others.
        let stays = |name: &Text| policy.issuers.iter().any(|issuer| issuer.name == *name);
        let still = known.iter().filter(|(name, _)| stays(name));
        let mut more: Vec<_> = still.cloned().collect();
        if more.len() < ISSUERS_MAX {
            let counters = Arc::<Counters<_>>::default();
            counters.add(result);
            more.push((issuer.clone(), counters));
            self.keys.store(Arc::new(more));
        }
    }

    fn registry(&self, notice: &RegistryNotice) {
        match notice {
            RegistryNotice::Applied { .. } => self.registry_applied.add(1),
            RegistryNotice::Refused(refused) => self.registry_rejected.add(refused.reason as usize),
            RegistryNotice::FetchFailed { .. } => self.registry_failed.add(1),
            // Gauges show the registry's age.
            RegistryNotice::Stale
            | RegistryNotice::Fresh
            | RegistryNotice::StatusAging { .. }
            | RegistryNotice::StatusExpired
            | RegistryNotice::StatusCurrent => {}
        }
    }

    fn health(&self, notice: &HealthNotice) {
        match notice {
            HealthNotice::Ejected { cell, last, .. } => {
                if let Some(cause) = last.cause() {
                    self.cells.of(cell).ejected.add(cause as usize);
                }
            }
            // Gauges show how many there are.
            HealthNotice::Returned { .. }
            | HealthNotice::Unhealthy { .. }
            | HealthNotice::Healthy { .. } => {}
        }
    }
}
