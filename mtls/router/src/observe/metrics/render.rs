//! Renders the sum of all shards as Prometheus text (text format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use cellway_core::keys::KeyState;
use cellway_core::registry::RegistryErrorReason;
use cellway_core::{Class, FAILOVER_REASONS, LeftOut, Mono, Reason, Snapshot};

use super::Metrics;
use super::counter::{Counter, OWNERS, answers};
use super::load::CellLoad;
use super::shard::{CELL_BOUND, FORMS, KEY_RESULTS, MODES, Shard};
use crate::build;
use crate::observe::event::{
    Closed, ExplainAnswer, HandshakeError, SealOutcome, SpanOutcome, TunnelEnd, TunnelProtocol,
};
use crate::settings::RateScope;
use crate::shares::{Resource, Share};

impl Metrics {
    /// Renders `/metrics`: all counters, and gauges of the snapshot at `now` and of the load on
    /// each cell.
    pub fn render(&self, snapshot: &Snapshot, now: Mono, loads: &[CellLoad]) -> String {
        let mut page = Page(String::with_capacity(16 << 10));
        let shards = self.shards();
        page.requests(&shards);
        page.connections(&shards);
        page.cells(&shards);
        page.loads(&self.cells, snapshot.registry.as_deref(), loads);
        page.sources(&shards);
        page.snapshot(snapshot, now);
        if let Some(lost) = &self.log_lost {
            page.head(
                "log_lost_total",
                "counter",
                "Log lines lost to a slow reader.",
            );
            page.sample("log_lost_total", &[], lost.count());
        }
        let build = [("version", build::VERSION), ("commit", build::COMMIT)];
        page.head("build_info", "gauge", "The build that runs.");
        page.sample("build_info", &build, 1);
        if let Some(process) = self.process.as_ref().and_then(|read| read.0()) {
            page.process(&process);
        }
        page.0
    }
}

pub(super) struct Page(String);

type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    pub(super) fn new() -> Self {
        Self(String::new())
    }

    pub(super) fn text(self) -> String {
        self.0
    }

    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP cellway_{name} {help}");
        let _ = writeln!(self.0, "# TYPE cellway_{name} {kind}");
    }

    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl std::fmt::Display) {
        let _ = write!(self.0, "cellway_{name}");
        for (i, (label, value)) in labels.iter().enumerate() {
            let open = if i == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", escape(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    /// A metric with one sample and without the `cellway_` prefix.
    pub(super) fn bare(&mut self, name: &str, kind: &str, help: &str, value: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}");
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// A counter without labels.
    fn total(
        &mut self,
        name: &str,
        help: &str,
        shards: &[Arc<Shard>],
        of: impl Fn(&Shard) -> &Counter,
    ) {
        self.head(name, "counter", help);
        let total: u64 = shards.iter().map(|shard| of(shard).get()).sum();
        self.sample(name, &[], total);
    }

    fn requests(&mut self, shards: &[Arc<Shard>]) {
        self.decisions(shards);
        self.left_out(shards);
        self.cell_bound(shards);
        self.envelopes(shards);
        let name = "requests_total";
        self.head(name, "counter", "Answers, by owner and class of status.");
        for (at, owner, class) in answers() {
            let count = sum(shards, |shard| shard.responses.get(at));
            self.sample(name, &[("owner", owner.as_str()), ("status", class)], count);
        }
        let name = "request_duration_seconds";
        let help =
            "Time from a request's header to its answer's last byte, by owner of the answer.";
        self.head(name, "histogram", help);
        for (at, owner) in OWNERS.iter().enumerate() {
            let all = shards.iter().map(|shard| &shard.durations[at]);
            self.histogram(name, &[("owner", owner.as_str())], all);
        }
        let name = "key_wait_seconds";
        let help = "Time that requests waited for an issuer's keys, of those that had to wait.";
        self.head(name, "histogram", help);
        self.histogram(name, &[], shards.iter().map(|shard| &shard.key_waits));
        self.reasons(shards);
        self.preflights(shards);
        self.explained(shards);
        self.streams_closed(shards);
        self.shares_refused(shards);
        self.rate_limited(shards);
        self.tunnels(shards);
        self.failovers(shards);
        let name = "requests_in_flight";
        self.head(name, "gauge", "Requests at cells that aren't answered yet.");
        // Read the answers first, so that an answer that ends meanwhile can't make the difference
        // negative.
        let answered = sum(shards, |shard| shard.answered.get());
        let allowed = sum(shards, |shard| shard.allowed.get());
        self.sample(name, &[], allowed.saturating_sub(answered));
    }

    fn decisions(&mut self, shards: &[Arc<Shard>]) {
        let name = "authz_decisions_total";
        self.head(
            name,
            "counter",
            "Decisions, by mode of the policy and reason.",
        );
        for (m, mode) in MODES.iter().enumerate() {
            for (r, reason) in Reason::ALL.iter().enumerate() {
                let at = m * Reason::ALL.len() + r;
                let count = sum(shards, |shard| shard.decisions.get(at));
                // Combinations that never happened are left out. All of them would be a page of
                // zeros.
                if count > 0 {
                    let decision = match reason.class() {
                        Class::Allow => "allow",
                        Class::Unauthenticated
                        | Class::Forbidden
                        | Class::Unavailable
                        | Class::BadRequest
                        | Class::HeadersTooLarge
                        | Class::NotImplemented
                        | Class::RequestTimeout
                        | Class::BodyTooLarge
                        | Class::TooManyRequests
                        | Class::BadGateway
                        | Class::GatewayTimeout => "deny",
                    };
                    let labels = [
                        ("decision", decision),
                        ("mode", mode.as_str()),
                        ("reason", reason.as_str()),
                    ];
                    self.sample(name, &labels, count);
                }
            }
        }
    }

    fn reasons(&mut self, shards: &[Arc<Shard>]) {
        let name = "router_responses_total";
        let help = "Answers that the router made itself or cut short, by reason.";
        self.head(name, "counter", help);
        for (r, reason) in Reason::ALL.iter().enumerate() {
            let count = sum(shards, |shard| shard.reasons.get(r));
            if count > 0 {
                self.sample(name, &[("reason", reason.as_str())], count);
            }
        }
    }

    fn preflights(&mut self, shards: &[Arc<Shard>]) {
        let name = "cors_preflights_total";
        let help = "Browsers' preflights, by whether the policy allows what they ask for.";
        self.head(name, "counter", help);
        for (covered, result) in ["refused", "allowed"].into_iter().enumerate() {
            let count = sum(shards, |shard| shard.preflights.get(covered));
            self.sample(name, &[("result", result)], count);
        }
    }

    fn explained(&mut self, shards: &[Arc<Shard>]) {
        let name = "explanations_total";
        let help = "Requests that asked for an explanation of their decision, by result.";
        self.head(name, "counter", help);
        for (at, answer) in ExplainAnswer::ALL.iter().enumerate() {
            let count = sum(shards, |shard| shard.explained.get(at));
            self.sample(name, &[("result", answer.as_str())], count);
        }
    }

    fn left_out(&mut self, shards: &[Arc<Shard>]) {
        let name = "claims_left_out_total";
        let help =
            "Values of tokens' claims that couldn't be used, by claim; each decision counts.";
        self.head(name, "counter", help);
        for (at, claim) in LeftOut::CLAIMS.into_iter().enumerate() {
            let count = sum(shards, |shard| shard.left_out.get(at));
            self.sample(name, &[("claim", claim)], count);
        }
    }

    fn streams_closed(&mut self, shards: &[Arc<Shard>]) {
        let name = "streams_closed_total";
        let help = "Open requests closed because a new registry or a reload refuses their caller, by reason.";
        self.head(name, "counter", help);
        for (r, reason) in Reason::ALL.iter().enumerate() {
            let count = sum(shards, |shard| shard.streams_closed.get(r));
            if count > 0 {
                self.sample(name, &[("reason", reason.as_str())], count);
            }
        }
    }

    fn shares_refused(&mut self, shards: &[Arc<Shard>]) {
        let name = "share_refused_total";
        let help =
            "Refusals because one holder has used up its share of a limit, by limit and holder.";
        self.head(name, "counter", help);
        for (r, resource) in Resource::ALL.iter().enumerate() {
            for (s, share) in Share::ALL.iter().enumerate() {
                let at = r * Share::ALL.len() + s;
                let count = sum(shards, |shard| shard.shares_refused.get(at));
                if count > 0 {
                    let labels = [("resource", resource.as_str()), ("share", share.as_str())];
                    self.sample(name, &labels, count);
                }
            }
        }
    }

    fn rate_limited(&mut self, shards: &[Arc<Shard>]) {
        let name = "rate_limited_total";
        let help =
            "Allowed requests that were refused because a rate limit is used up, by kind of limit.";
        self.head(name, "counter", help);
        for (at, scope) in RateScope::ALL.iter().enumerate() {
            let count = sum(shards, |shard| shard.rate_limited.get(at));
            self.sample(name, &[("limit", scope.as_str())], count);
        }
    }

    fn tunnels(&mut self, shards: &[Arc<Shard>]) {
        let (name, ended_name) = ("tunnels_open", "tunnels_ended_total");
        let help = "Connections and streams that have switched their protocol.";
        self.head(name, "gauge", help);
        let mut ended = Vec::new();
        for (p, protocol) in TunnelProtocol::ALL.iter().enumerate() {
            // Read the ends first: a tunnel that is opened and ends meanwhile must not count twice.
            let mut open = 0u64;
            for (e, end) in TunnelEnd::ALL.iter().enumerate() {
                let at = p * TunnelEnd::ALL.len() + e;
                let count = sum(shards, |shard| shard.tunnels_ended.get(at));
                ended.push((protocol.as_str(), end.as_str(), count));
                open += count;
            }
            let opened = sum(shards, |shard| shard.tunnels_opened.get(p));
            let open = opened.saturating_sub(open);
            self.sample(name, &[("protocol", protocol.as_str())], open);
        }
        let help = "Tunnels that ended, by protocol and why.";
        self.head(ended_name, "counter", help);
        for (protocol, end, count) in ended {
            let labels = [("protocol", protocol), ("end", end)];
            self.sample(ended_name, &labels, count);
        }
    }

    fn failovers(&mut self, shards: &[Arc<Shard>]) {
        let name = "failovers_total";
        let help = "Requests that went to another cell than their placement assigns, by reason.";
        self.head(name, "counter", help);
        for reason in FAILOVER_REASONS {
            let count = sum(shards, |shard| shard.failovers.get(reason as usize));
            self.sample(name, &[("reason", reason.as_str())], count);
        }
    }

    fn cell_bound(&mut self, shards: &[Arc<Shard>]) {
        let name = "cba_decisions_total";
        let help = "Cell-bound authorizations, by decision and reason.";
        self.head(name, "counter", help);
        for (d, decision) in CELL_BOUND.iter().enumerate() {
            for (r, reason) in Reason::ALL.iter().enumerate() {
                let at = d * Reason::ALL.len() + r;
                let count = sum(shards, |shard| shard.cell_bound.get(at));
                if count > 0 {
                    let labels = [("decision", *decision), ("reason", reason.as_str())];
                    self.sample(name, &labels, count);
                }
            }
        }
    }

    fn envelopes(&mut self, shards: &[Arc<Shard>]) {
        let name = "envelopes_total";
        let help = "Verified requests that need an envelope, by form and outcome.";
        self.head(name, "counter", help);
        for (f, form) in FORMS.iter().enumerate() {
            for (o, outcome) in SealOutcome::ALL.iter().enumerate() {
                let at = f * SealOutcome::ALL.len() + o;
                let count = sum(shards, |shard| shard.envelopes.get(at));
                if count > 0 {
                    let labels = [("form", form.as_str()), ("outcome", outcome.as_str())];
                    self.sample(name, &labels, count);
                }
            }
        }
    }

    fn connections(&mut self, shards: &[Arc<Shard>]) {
        let help = "Connections accepted.";
        self.total("connections_accepted_total", help, shards, |s| &s.accepted);
        let help = "Connections closed at once because the listener was full or an address had used up its share.";
        self.total("connections_refused_total", help, shards, |s| &s.refused);
        let help = "Failures to accept.";
        self.total("accept_failed_total", help, shards, |s| &s.accept_failed);
        let name = "connections_closed_total";
        self.head(name, "counter", "Connections that ended, by reason.");
        for (i, why) in Closed::ALL.iter().enumerate() {
            let count = sum(shards, |shard| shard.closed.get(i));
            self.sample(name, &[("reason", why.as_str())], count);
        }
        let name = "tls_refused_total";
        self.head(
            name,
            "counter",
            "Clients' TLS handshakes that failed, by reason.",
        );
        for (i, reason) in HandshakeError::ALL.iter().enumerate() {
            let count = sum(shards, |shard| shard.tls_refused.get(i));
            self.sample(name, &[("reason", reason.as_str())], count);
        }
    }

    fn sources(&mut self, shards: &[Arc<Shard>]) {
        let name = "registry_rejected_total";
        self.head(
            name,
            "counter",
            "Registry documents that were refused, by reason.",
        );
        for (i, reason) in RegistryErrorReason::ALL.iter().enumerate() {
            let count = sum(shards, |shard| shard.registry_rejected.get(i));
            self.sample(name, &[("reason", reason.as_str())], count);
        }
        let help = "Registry documents that were applied.";
        self.total("registry_applied_total", help, shards, |s| {
            &s.registry_applied
        });
        let help = "Times that the registry's source gave no answer.";
        self.total("registry_fetch_failed_total", help, shards, |s| {
            &s.registry_failed
        });
        let name = "keys_fetches_total";
        self.head(name, "counter", "Fetches of issuers' keys, by outcome.");
        let mut issuers: BTreeMap<String, [u64; KEY_RESULTS.len()]> = BTreeMap::new();
        for shard in shards {
            for (issuer, counters) in shard.keys.load().iter() {
                let totals = issuers.entry(issuer.to_string()).or_default();
                for (i, total) in totals.iter_mut().enumerate() {
                    *total += counters.get(i);
                }
            }
        }
        for (issuer, totals) in &issuers {
            for (result, total) in KEY_RESULTS.iter().zip(totals) {
                self.sample(name, &[("issuer", issuer), ("result", result)], total);
            }
        }
        let name = "spans_total";
        let help = "Spans of sampled requests, by whether the collector has taken them.";
        self.head(name, "counter", help);
        for (at, outcome) in SpanOutcome::ALL.iter().enumerate() {
            let count = sum(shards, |shard| shard.spans.get(at));
            self.sample(name, &[("result", outcome.as_str())], count);
        }
        let help = "Last-known-good files that were rejected.";
        self.total("kept_refused_total", help, shards, |s| &s.kept_refused);
        let help = "Last-known-good documents that couldn't be written.";
        self.total("keep_failed_total", help, shards, |s| &s.keep_failed);
        let name = "reloads_total";
        self.head(name, "counter", "Reloads, by outcome.");
        let done = sum(shards, |shard| shard.reloaded.get());
        let refused = sum(shards, |shard| shard.reload_refused.get());
        self.sample(name, &[("result", "done")], done);
        self.sample(name, &[("result", "refused")], refused);
    }

    fn snapshot(&mut self, snapshot: &Snapshot, now: Mono) {
        if let Some(registry) = &snapshot.registry {
            self.head("registry_version", "gauge", "The registry version in use.");
            self.sample("registry_version", &[], registry.version());
            self.head(
                "registry_cells",
                "gauge",
                "Cells of the registry version in use.",
            );
            self.sample("registry_cells", &[], registry.cells().len());
            self.head(
                "registry_tenants",
                "gauge",
                "Tenants of the registry version in use.",
            );
            self.sample("registry_tenants", &[], registry.tenant_count());
        }
        self.head("registry_loaded", "gauge", "1 once a registry was loaded.");
        self.sample(
            "registry_loaded",
            &[],
            u8::from(snapshot.registry.is_some()),
        );
        let name = "cba_cell_keys";
        let help = "Cells with keys for cell-bound authorizations, by whether these can be used.";
        self.head(name, "gauge", help);
        let (usable, refused) = (
            snapshot.cell_keys.usable(),
            snapshot.cell_keys.refused().count(),
        );
        self.sample(name, &[("state", "usable")], usable);
        self.sample(name, &[("state", "refused")], refused);
        let help = "1 while the registry's source has given no good answer for too long.";
        self.head("registry_stale", "gauge", help);
        self.sample("registry_stale", &[], u8::from(snapshot.registry_stale));
        // This is absent if the age of tenants' status has no limit.
        if let Some(expires) = snapshot.status_expires_at {
            let name = "tenant_status_left_seconds";
            let help = "Seconds until tenant status is too old and requests are refused.";
            self.head(name, "gauge", help);
            self.sample(name, &[], expires.since(now).as_secs());
        }
        self.head("endpoints_ejected", "gauge", "Endpoints currently ejected.");
        self.sample("endpoints_ejected", &[], snapshot.health.ejected().len());
        let name = "endpoints_unhealthy";
        self.head(name, "gauge", "Endpoints whose health checks fail.");
        self.sample(name, &[], snapshot.health.unhealthy().len());
        self.keys_state(snapshot, now);
    }

    fn keys_state(&mut self, snapshot: &Snapshot, now: Mono) {
        let name = "keys_state";
        self.head(
            name,
            "gauge",
            "1 for the current state of an issuer's keys.",
        );
        let states = [
            KeyState::Empty,
            KeyState::Fresh,
            KeyState::Stale,
            KeyState::Expired,
        ];
        for (issuer, keys) in snapshot.policy.issuers.iter().zip(&snapshot.keys.issuers) {
            let current = keys.state(now);
            for state in states {
                let labels = [("issuer", issuer.name.as_str()), ("state", state.as_str())];
                self.sample(name, &labels, u8::from(state == current));
            }
        }
    }
}

pub(super) fn sum<T>(all: &[T], of: impl Fn(&T) -> u64) -> u64 {
    all.iter().map(of).sum()
}

/// Microseconds as decimal seconds, exactly.
pub(super) fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
