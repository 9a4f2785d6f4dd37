//! Readiness of a router, and the body of `/readyz`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cellway_core::keys::{IssuerKeys, JwksError, KeyState};
use cellway_core::policy::{AuthPolicy, Mode, Policy};
use cellway_core::registry::Registry;
use cellway_core::{Mono, Now, Snapshot, Text, Unix, mismatches};
use serde::Serialize;

use crate::envelope::EnvelopeStatus;
use crate::observe::refusals::Refused;
use crate::rfc3339::rfc3339;
use crate::settings::RouterSettings;
use crate::tls::{CertificateDates, ListDates};

/// Whether a registry is loaded and some credential can be verified.
pub fn is_ready(snapshot: &Snapshot, now: Mono) -> bool {
    let auths = snapshot.policy.auths();
    let verifies = auths.iter().any(|auth| can_verify(snapshot, auth, now));
    snapshot.registry.is_some() && verifies
}

fn can_verify(snapshot: &Snapshot, auth: &AuthPolicy, now: Mono) -> bool {
    match auth.mode {
        Mode::Disabled | Mode::Permissive => return true,
        Mode::Required => {}
    }
    let mut ids = snapshot.policy.issuer_ids();
    let jwt = ids.any(|id| {
        let keys = snapshot.keys.issuer(id);
        auth.accepts(id) && keys.is_some_and(|keys| usable(keys.state(now)))
    });
    // The trust bundle was read at start and signers' keys are in the configuration, so
    // certificates and routing keys can always be verified.
    match auth.mtls || auth.routing_key {
        true if auth.jwt && auth.all => jwt,
        true => true,
        false => jwt,
    }
}

fn usable(state: KeyState) -> bool {
    match state {
        KeyState::Fresh | KeyState::Stale => true,
        KeyState::Empty | KeyState::Expired => false,
    }
}

/// Remembers that a router was ready once. If it loses a source later, it stays ready and keeps
/// serving with the data that it has: a whole fleet must not leave the load balancer when its
/// identity provider fails.
#[derive(Debug, Default)]
pub struct ReadyLatch(AtomicBool);

impl ReadyLatch {
    /// Whether the router is ready now or was before.
    pub fn check(&self, snapshot: &Snapshot, now: Mono) -> bool {
        if is_ready(snapshot, now) {
            self.0.store(true, Ordering::Relaxed);
        }
        self.0.load(Ordering::Relaxed)
    }
}

/// The most cells that are named because their keys can't be used.
const WARNINGS_MAX: usize = 8;

pub(crate) fn keys_refused((cell, why): (&Text, &JwksError)) -> String {
    let reason = why.reason.as_str();
    format!("cell `{cell}` can't call other cells: its keys in the registry are {reason}: {why}")
}

/// The state of an issuer's keys.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct IssuerStatus {
    /// `empty`, `fresh`, `stale` or `expired`.
    pub state: &'static str,
    /// How long ago the set in force was fetched.
    pub age_secs: Option<u64>,
    /// They should have been fetched again by now, but are still used.
    pub stale: bool,
    /// Seconds until they are fetched next. `None` while a fetch is running.
    pub next_refresh_secs: Option<u64>,
    /// Why the last fetch failed: one of a fixed set of words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<&'static str>,
    /// What was wrong with the fetched document, if it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_refused: Option<String>,
    /// How many fetches in a row have failed.
    pub consecutive_failures: u32,
}

/// The policy of a listener.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct ListenerStatus {
    /// The policy's name.
    pub policy: String,
    /// Its mode.
    pub mode: &'static str,
}

/// The age of a certificate revocation list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct ListStatus {
    /// The setting that names its file, such as `trust.crl[0]`.
    pub setting: String,
    /// How long ago it was issued.
    pub age_secs: u64,
    /// Seconds until the issuer's next list is due; 0 if it is overdue.
    pub next_update_secs: u64,
    /// The next list is overdue.
    pub stale: bool,
}

/// When a certificate expires.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct CertificateStatus {
    /// The setting that names its file.
    pub setting: String,
    /// Its position in the file, from 0.
    pub position: usize,
    /// When it expires, as RFC 3339 in UTC.
    pub not_after: String,
    /// Seconds until it expires; 0 if it has expired.
    pub left_secs: u64,
}

/// The most certificates that are shown. Those that expire first are shown.
const CERTIFICATES_SHOWN_MAX: usize = 16;

fn issuer_status(keys: &IssuerKeys, now: Now) -> IssuerStatus {
    let state = keys.state(now.mono);
    let waits = !keys.is_fetching();
    IssuerStatus {
        state: state.as_str(),
        age_secs: keys.fetched_at.map(|at| now.unix.since(at).as_secs()),
        stale: state == KeyState::Stale,
        next_refresh_secs: waits.then(|| keys.refresh_at().since(now.mono).as_secs()),
        last_error: keys.last_error,
        last_refused: keys.last_refused.as_deref().map(str::to_owned),
        consecutive_failures: keys.failures,
    }
}

/// How old the data about tenants' status is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// No registry was loaded yet.
    None,
    /// Its age is below half of the limit, or there is no limit.
    Current,
    /// Its age is over half of the limit.
    Aging,
    /// It is too old, so requests are refused.
    Expired,
}

impl TenantStatus {
    fn of(snapshot: &Snapshot, now: Mono) -> Self {
        let reached = |at: Option<Mono>| at.is_some_and(|at| at <= now);
        match &snapshot.registry {
            None => Self::None,
            Some(_) if reached(snapshot.status_expires_at) => Self::Expired,
            Some(_) if reached(snapshot.status_ages_at) => Self::Aging,
            Some(_) => Self::Current,
        }
    }
}

/// Whether a router serves whose listeners are open: its [`Status`] would be `ready`.
pub(crate) fn serves(snapshot: &Snapshot, now: Mono, ready: bool, draining: bool) -> bool {
    word(draining, ready, TenantStatus::of(snapshot, now)) == READY
}

/// The status in one word.
fn word(draining: bool, ready: bool, tenants: TenantStatus) -> &'static str {
    match (draining, ready, tenants) {
        (true, _, _) => "draining",
        // A ready router keeps serving without its sources until this limit. After that, a router
        // that can still reach its control plane must get the requests.
        (false, true, TenantStatus::Expired) => "failed",
        (false, true, _) => READY,
        (false, false, _) => "starting",
    }
}

/// The word of a router that serves.
const READY: &str = "ready";

/// What an operator should not overlook in the snapshot. `left`: the seconds until tenant status is
/// too old.
fn warnings(snapshot: &Snapshot, tenants: TenantStatus, left: Option<u64>) -> Vec<String> {
    let auths = snapshot.policy.auths().iter();
    let disabled = auths.filter(|auth| auth.mode == Mode::Disabled);
    let aging = (tenants == TenantStatus::Aging).then(|| {
        let left = left.unwrap_or_default();
        format!(
            "the registry's source gives no registry to use; in {left} s all requests are refused"
        )
    });
    let refused = snapshot.cell_keys.refused().take(WARNINGS_MAX);
    disabled
        .map(|auth| format!("policy `{}` authenticates nobody", auth.name))
        .chain(aging)
        .chain(refused.map(keys_refused))
        .collect()
}

/// Why a router can't serve. One sentence for each thing that is missing.
fn lacks(snapshot: &Snapshot, now: Mono, tenants: TenantStatus) -> Vec<String> {
    let mut lacks = Vec::new();
    match tenants {
        TenantStatus::None => lacks.push("no registry is loaded".to_owned()),
        TenantStatus::Expired => lacks.push(
            "tenants' status is older than registry.identity_max_age_secs: requests are refused \
             until the registry's source gives one to use"
                .to_owned(),
        ),
        TenantStatus::Current | TenantStatus::Aging => {}
    }
    let auths = snapshot.policy.auths();
    if !auths.iter().any(|auth| can_verify(snapshot, auth, now)) {
        lacks.push("no issuer has usable keys, and every policy needs them".to_owned());
    }
    lacks
}

/// The body of `/readyz`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// `ready`, `starting`, `failed` (tenants' status is too old) or `draining`.
    pub status: &'static str,
    /// What is missing, if the router isn't ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
    /// How many cells the registry has.
    pub cells: usize,
    /// The policy's mode, if there is exactly one policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_mode: Option<&'static str>,
    /// That policy's mode for cell-bound authorizations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cba_mode: Option<&'static str>,
    /// Each policy's mode.
    pub auth_modes: BTreeMap<String, &'static str>,
    /// Each policy's mode for cell-bound authorizations.
    pub cba_modes: BTreeMap<String, &'static str>,
    /// The version of the registry in force.
    pub registry_version: Option<u64>,
    /// Its source has given no good answer for too long.
    pub registry_stale: bool,
    /// How old the source's last good answer is.
    pub tenant_status: TenantStatus,
    /// Seconds until that is too old; `None` without a limit.
    pub tenant_status_left_secs: Option<u64>,
    /// The state of each issuer's keys.
    pub keys: BTreeMap<String, &'static str>,
    /// More about each issuer's keys.
    pub issuers: BTreeMap<String, IssuerStatus>,
    /// Each listener's policy and mode. Empty unless [`with_listeners`](Self::with_listeners) sets
    /// it.
    pub listeners: BTreeMap<String, ListenerStatus>,
    /// The certificate revocation lists in force.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revocation_lists: Vec<ListStatus>,
    /// Of the certificates that the settings name, those that expire first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
    /// How identity envelopes are sealed. Absent if none are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<EnvelopeStatus>,
    /// What an operator should not overlook.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Status {
    /// The status of a router that decides with `snapshot`.
    pub fn new(snapshot: &Snapshot, now: Now, ready: bool, draining: bool) -> Self {
        let policy = &snapshot.policy;
        let only = match policy.auths() {
            [auth] => Some(auth),
            _ => None,
        };
        let issuers = policy.issuers.iter().zip(&snapshot.keys.issuers);
        let tenant_status = TenantStatus::of(snapshot, now.mono);
        let left = snapshot.status_expires_at;
        let left = left.map(|expires| expires.since(now.mono).as_secs());
        let status = word(draining, ready, tenant_status);
        let lacks = match status {
            "ready" | "draining" => Vec::new(),
            _ => lacks(snapshot, now.mono, tenant_status),
        };
        Self {
            status,
            lacks,
            tenant_status,
            tenant_status_left_secs: left,
            cells: snapshot.registry.as_ref().map_or(0, |r| r.cells().len()),
            auth_mode: only.map(|auth| auth.mode.as_str()),
            cba_mode: only.map(|auth| auth.cba.mode.as_str()),
            auth_modes: (policy.auths().iter())
                .map(|auth| (auth.name.to_string(), auth.mode.as_str()))
                .collect(),
            cba_modes: (policy.auths().iter())
                .map(|auth| (auth.name.to_string(), auth.cba.mode.as_str()))
                .collect(),
            registry_version: snapshot.registry.as_ref().map(|r| r.version()),
            registry_stale: snapshot.registry_stale,
            keys: (issuers.clone())
                .map(|(issuer, keys)| (issuer.name.to_string(), keys.state(now.mono).as_str()))
                .collect(),
            issuers: issuers
                .map(|(issuer, keys)| (issuer.name.to_string(), issuer_status(keys, now)))
                .collect(),
            listeners: BTreeMap::new(),
            revocation_lists: Vec::new(),
            certificates: Vec::new(),
            envelope: None,
            warnings: warnings(snapshot, tenant_status, left),
        }
    }

    /// Adds each listener's policy and mode.
    #[must_use]
    pub fn with_listeners(mut self, settings: &RouterSettings) -> Self {
        for listener in &settings.listeners {
            let auth = settings.policy.auth(listener.policy);
            let status = ListenerStatus {
                policy: auth.name.to_string(),
                mode: auth.mode.as_str(),
            };
            self.listeners.insert(listener.name.to_string(), status);
        }
        self
    }

    /// Adds the age of revocation lists.
    #[must_use]
    pub fn with_revocation_lists(mut self, now: Unix, lists: &[ListDates]) -> Self {
        let status = |list: &ListDates| ListStatus {
            setting: format!("{}.crl[{}]", list.table, list.setting),
            age_secs: now.since(list.issued).as_secs(),
            next_update_secs: list.next.since(now).as_secs(),
            stale: now >= list.next,
        };
        self.revocation_lists = lists.iter().map(status).collect();
        self
    }

    /// Adds when certificates expire, with warnings for those that expire soon. `certificates` must
    /// be sorted by their expiry.
    #[must_use]
    pub fn with_certificates(mut self, now: Unix, certificates: &[CertificateDates]) -> Self {
        let shown = certificates.iter().take(CERTIFICATES_SHOWN_MAX);
        let status = |certificate: &CertificateDates| CertificateStatus {
            setting: certificate.setting.to_string(),
            position: certificate.position,
            not_after: rfc3339(certificate.not_after),
            left_secs: certificate.not_after.since(now).as_secs(),
        };
        self.certificates = shown.clone().map(status).collect();
        let warned = shown.filter_map(|certificate| certificate.warning(now));
        self.warnings.extend(warned);
        self
    }

    /// Makes the status `starting` until the listeners are open.
    #[must_use]
    pub fn with_open(mut self, open: bool) -> Self {
        if !open && self.status == "ready" {
            self.status = "starting";
            self.lacks.push("the listeners are not open yet".to_owned());
        }
        self
    }

    /// Adds how envelopes are sealed, with a warning for each cell that has no key.
    #[must_use]
    pub fn with_envelope(mut self, envelope: Option<EnvelopeStatus>) -> Self {
        let without = envelope.iter().flat_map(|status| &status.cells_without_key);
        self.warnings.extend(without.map(|cell| {
            format!("cell `{cell}` gets no requests: no key for envelopes is shared with it")
        }));
        Self { envelope, ..self }
    }

    /// Adds a warning for each place where policy and registry don't fit together and requests are
    /// refused.
    #[must_use]
    pub fn with_mismatches(mut self, mismatches: &[String]) -> Self {
        let shown = mismatches.iter().take(WARNINGS_MAX).cloned();
        self.warnings.extend(shown);
        let more = mismatches.len().saturating_sub(WARNINGS_MAX);
        if more > 0 {
            let more = format!("{more} more warnings: `cellway check` shows all");
            self.warnings.push(more);
        }
        self
    }

    /// Adds warnings about changes that were refused.
    #[must_use]
    pub(crate) fn with_refused(mut self, refused: &Refused) -> Self {
        self.warnings.extend(refused.warnings());
        self
    }

    /// Whether to send requests here.
    pub fn is_ready(&self) -> bool {
        self.status == "ready"
    }
}

/// Finds where the policy and the registry in force don't fit together.
///
/// The search may read all tenants, so it runs once for each pair, when somebody asks. Only a
/// request for the status takes the lock.
#[derive(Debug, Default)]
pub(crate) struct Mismatches(Mutex<Option<Found>>);

#[derive(Debug)]
struct Found {
    policy: Arc<Policy>,
    /// The registry's version. Holding the registry itself would keep it in memory.
    registry: Option<u64>,
    warnings: Arc<[String]>,
}

impl Mismatches {
    /// Returns each mismatch as text, with its setting first.
    pub(crate) fn of(&self, snapshot: &Snapshot) -> Arc<[String]> {
        let registry = snapshot.registry.as_deref();
        let version = registry.map(Registry::version);
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = found.as_ref().filter(|found| {
            Arc::ptr_eq(&found.policy, &snapshot.policy) && found.registry == version
        });
        if let Some(known) = known {
            return Arc::clone(&known.warnings);
        }
        let all = mismatches(&snapshot.policy, registry).into_iter();
        let warnings: Arc<[String]> = all
            .map(|it| format!("{}: {}", it.setting, it.problem))
            .collect();
        *found = Some(Found {
            policy: Arc::clone(&snapshot.policy),
            registry: version,
            warnings: Arc::clone(&warnings),
        });
        warnings
    }
}

#[cfg(test)]
mod tests;
