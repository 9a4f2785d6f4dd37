//! From a `[[fault]]` table, in which every kind's fields are optional, to a [`Fault`].

use std::time::Duration;

use cellway_core::envelope::is_kid;
use toml::Spanned;

use super::CONTROL_PLANE;
use super::error::Errors;
use super::fault::{Authority, Change, Fault, FaultKind};
use super::file::{self, Name};
use super::units::Span;

/// What kinds of hosts and things a world has, to check names against.
pub(super) trait Names {
    fn is_host(&self, name: &str) -> bool;
    fn is_router(&self, name: &str) -> bool;
    fn is_cell(&self, name: &str) -> bool;
    /// The host of an endpoint of a cell.
    fn is_endpoint(&self, name: &str) -> bool;
    /// A cell, or the host of an endpoint of one, that speaks HTTP/1.1 only.
    fn speaks_http1(&self, name: &str) -> bool;
    fn is_identity_provider(&self, name: &str) -> bool;
    fn is_tenant(&self, name: &str) -> bool;
    fn is_client(&self, name: &str) -> bool;
    /// Whether the routers seal envelopes.
    fn has_envelopes(&self) -> bool;
}

/// Reads one `[[fault]]`; mistakes go to `errors`.
pub(super) fn read(
    spec: &file::Fault,
    names: &dyn Names,
    duration: Duration,
    errors: &mut Errors<'_>,
) -> Option<Fault> {
    let at = spec.at.get_ref().0;
    let mut reader = Reader::new(spec, names, errors);
    let kind = reader.kind()?;
    let until = match reader.take("for", &spec.lasts) {
        Some(lasts) => {
            reader.lasts(&lasts);
            at + lasts.get_ref().0
        }
        None => at,
    };
    reader.refuse_the_rest();
    if until >= duration {
        let problem = "it must end before the scenario does, or nothing shows the recovery";
        errors.add(spec.at.span(), "fault.at", problem);
    }
    let line = errors.line(&spec.at.span());
    Some(Fault {
        at,
        until,
        kind,
        line,
    })
}

/// Reads the fields of one fault and remembers which were asked for.
struct Reader<'a, 'e, 't> {
    spec: &'a file::Fault,
    names: &'a dyn Names,
    errors: &'e mut Errors<'t>,
    used: Vec<&'static str>,
}

impl<'a, 'e, 't> Reader<'a, 'e, 't> {
    fn new(spec: &'a file::Fault, names: &'a dyn Names, errors: &'e mut Errors<'t>) -> Self {
        Self {
            spec,
            names,
            errors,
            used: vec!["at", "kind"],
        }
    }

    fn kind(&mut self) -> Option<FaultKind> {
        use FaultKind as K;
        let lasting = self.spec.lasts.is_some();
        let (kind, ends) = match self.spec.kind.get_ref().as_str() {
            "crash" => (K::Crash(self.host()?), true),
            "drain" => (K::Drain(self.router()?), true),
            "partition" => self.between().map(|(a, b)| (K::Partition(a, b), true))?,
            "latency" => {
                let ((a, b), delay) = (self.between()?, self.delay()?);
                (K::Latency(a, b, delay), true)
            }
            "slow" => (K::Slow(self.service()?, self.delay()?), true),
            "status" => (K::Status(self.service()?, self.status()?), true),
            "half_open" => (K::HalfOpen(self.cell_target()?), true),
            "reset" => (K::Reset(self.cell_target()?), true),
            "break_off" => (K::BreakOff(self.cell_target()?), true),
            "refuse_connections" => (K::RefuseConnections(self.cell_target()?), true),
            "refuse_streams" => (K::RefuseStreams(self.http2_cell()?), true),
            "go_away" => (K::GoAway(self.http2_cell()?), true),
            "empty_keys" => (K::EmptyKeys(self.identity_provider()?), true),
            "huge_keys" => (K::HugeKeys(self.identity_provider()?), true),
            "wrong_issuer" => (K::WrongIssuer(self.identity_provider()?), true),
            "wrong_keys" => (
                K::WrongKeys(self.identity_provider()?, self.keys_of()?),
                true,
            ),
            "garbage" => (K::Garbage(self.garbage_target()?), true),
            "publish_key" => (K::PublishKey(self.identity_provider()?, self.key()?), false),
            "sign_with" => (K::SignWith(self.identity_provider()?, self.key()?), false),
            "withdraw_key" => (
                K::WithdrawKey(self.identity_provider()?, self.key()?),
                false,
            ),
            "replace_keys" => (
                K::ReplaceKeys(self.identity_provider()?, self.key()?),
                false,
            ),
            "publish" => (K::Publish(self.change()?), false),
            "rotate_certificate" => (K::RotateCertificate(self.served()?), false),
            "expiring_certificate" => (
                K::ExpiringCertificate(self.served()?, self.lifetime()?),
                false,
            ),
            "wrong_certificate" => (K::WrongCertificate(self.cell_itself()?, self.cell()?), true),
            "break_certificate" => (K::BreakCertificate(self.router()?), true),
            "configure" => (K::Configure(self.router()?, self.settings()?), false),
            "break_configuration" => (K::BreakConfiguration(self.router()?), true),
            "trust_next" => (K::TrustNext(self.authority()?), false),
            "issue_from_next" => (K::IssueFromNext(self.authority()?), false),
            "drop_old" => (K::DropOld(self.authority()?), false),
            "add_envelope_key" => (
                K::AddEnvelopeKey(self.envelope_key()?, self.signs_after()?),
                false,
            ),
            "remove_envelope_key" => (K::RemoveEnvelopeKey(self.envelope_key()?), false),
            "clock_skew" => (K::ClockSkew(self.host()?, self.skew()?), true),
            "disk_full" => (K::DiskFull(self.router()?), true),
            "torn_write" => (K::TornWrite(self.router()?), false),
            other => {
                let problem = format!("`{other}` is no kind of fault; known: {KINDS}");
                self.errors
                    .add(self.spec.kind.span(), "fault.kind", problem);
                return None;
            }
        };
        if ends && !lasting {
            self.missing("for");
        }
        if !ends && lasting {
            self.unwanted("for");
        }
        self.used.push("for");
        Some(kind)
    }

    /// Takes a field, if it is there.
    fn take<T: Clone>(&mut self, name: &'static str, field: &Option<T>) -> Option<T> {
        self.used.push(name);
        field.clone()
    }

    /// Takes a field that must be there.
    fn need<T: Clone>(&mut self, name: &'static str, field: &Option<T>) -> Option<T> {
        let taken = self.take(name, field);
        if taken.is_none() {
            self.missing(name);
        }
        taken
    }

    /// Checks a fault's duration: it must not be 0.
    fn lasts(&mut self, lasts: &Spanned<Span>) {
        if lasts.get_ref().0.is_zero() {
            let problem = "must be longer than 0";
            self.errors.add(lasts.span(), "fault.for", problem);
        }
    }

    fn missing(&mut self, name: &str) {
        let kind = self.spec.kind.get_ref();
        let problem = format!("a fault of the kind `{kind}` needs `{name}`");
        self.errors
            .add(self.spec.kind.span(), &format!("fault.{name}"), problem);
    }

    fn unwanted(&mut self, name: &str) {
        let kind = self.spec.kind.get_ref();
        let problem = format!("a fault of the kind `{kind}` has no `{name}`");
        self.errors
            .add(self.spec.kind.span(), &format!("fault.{name}"), problem);
    }

    /// Takes a name for which `known` holds.
    fn name(
        &mut self,
        field: &'static str,
        value: &Option<Name>,
        known: impl Fn(&dyn Names, &str) -> bool,
        what: &str,
    ) -> Option<String> {
        let name = self.need(field, value)?;
        if !known(self.names, name.get_ref()) {
            let problem = format!("`{}` is no {what} of this world", name.get_ref());
            self.errors
                .add(name.span(), &format!("fault.{field}"), problem);
            return None;
        }
        Some(name.into_inner())
    }

    fn target(&mut self, known: impl Fn(&dyn Names, &str) -> bool, what: &str) -> Option<String> {
        let target = &self.spec.target;
        self.name("target", target, known, what)
    }

    fn host(&mut self) -> Option<String> {
        self.target(
            |names, name| names.is_host(name) || names.is_cell(name),
            "host",
        )
    }

    fn router(&mut self) -> Option<String> {
        self.target(|names, name| names.is_router(name), "router")
    }

    /// A host that has a serving certificate, or all hosts of a cell.
    fn served(&mut self) -> Option<String> {
        let known = |names: &dyn Names, name: &str| names.is_router(name) || names.is_cell(name);
        self.target(known, "router or cell")
    }

    fn lifetime(&mut self) -> Option<Duration> {
        let lifetime = self.need("lifetime", &self.spec.lifetime)?;
        if lifetime.get_ref().0 < Duration::from_secs(1) {
            let problem = "must be a second at least";
            self.errors.add(lifetime.span(), "fault.lifetime", problem);
        }
        Some(lifetime.into_inner().0)
    }

    fn cell_target(&mut self) -> Option<String> {
        let known = |names: &dyn Names, name: &str| names.is_cell(name) || names.is_endpoint(name);
        self.target(known, "cell")
    }

    fn cell_itself(&mut self) -> Option<String> {
        self.target(|names, name| names.is_cell(name), "cell")
    }

    /// A cell that uses HTTP/2.
    fn http2_cell(&mut self) -> Option<String> {
        let target = self.cell_target()?;
        if self.names.speaks_http1(&target)
            && let Some(name) = &self.spec.target
        {
            let problem = format!("`{target}` speaks HTTP/1.1, which has no streams");
            self.errors.add(name.span(), "fault.target", problem);
        }
        Some(target)
    }

    fn identity_provider(&mut self) -> Option<String> {
        self.target(
            |names, name| names.is_identity_provider(name),
            "identity provider",
        )
    }

    fn keys_of(&mut self) -> Option<String> {
        let keys_of = &self.spec.keys_of;
        self.name(
            "keys_of",
            keys_of,
            |names, name| names.is_identity_provider(name),
            "identity provider",
        )
    }

    fn settings(&mut self) -> Option<toml::Table> {
        let settings = self.need("settings", &self.spec.settings)?;
        Some(settings.into_inner())
    }

    fn service(&mut self) -> Option<String> {
        let known = |names: &dyn Names, name: &str| {
            let cell = names.is_cell(name) || names.is_endpoint(name);
            cell || names.is_identity_provider(name) || name == CONTROL_PLANE
        };
        self.target(known, "cell, identity provider or control plane")
    }

    fn garbage_target(&mut self) -> Option<String> {
        let known = |names: &dyn Names, name: &str| {
            names.is_identity_provider(name) || name == CONTROL_PLANE
        };
        self.target(known, "identity provider or control plane")
    }

    fn between(&mut self) -> Option<(String, String)> {
        let [a, b] = self.need("between", &self.spec.between)?;
        for name in [&a, &b] {
            if !self.names.is_host(name.get_ref()) && !self.names.is_cell(name.get_ref()) {
                let problem = format!("`{}` is no host of this world", name.get_ref());
                self.errors.add(name.span(), "fault.between", problem);
                return None;
            }
        }
        if a.get_ref() == b.get_ref() {
            let problem = "must be two: nothing travels from a host to itself";
            self.errors.add(b.span(), "fault.between", problem);
        }
        Some((a.into_inner(), b.into_inner()))
    }

    fn delay(&mut self) -> Option<Duration> {
        self.need("delay", &self.spec.delay)
            .map(|delay| delay.into_inner().0)
    }

    fn status(&mut self) -> Option<u16> {
        let status = self.need("status", &self.spec.status)?;
        if !(400..600).contains(status.get_ref()) {
            let problem = "must be an error's status, 400 to 599";
            self.errors.add(status.span(), "fault.status", problem);
        }
        Some(status.into_inner())
    }

    fn key(&mut self) -> Option<String> {
        let key = self.need("key", &self.spec.key)?;
        self.kid(&key);
        Some(key.into_inner())
    }

    fn kid(&mut self, key: &Name) {
        if !is_kid(key.get_ref()) {
            let problem = "must be 1 to 64 letters, digits, `-`, `_` or `.`";
            self.errors.add(key.span(), "fault.key", problem);
        }
    }

    fn envelope_key(&mut self) -> Option<String> {
        let key = self.need("key", &self.spec.key)?;
        if !self.names.has_envelopes() {
            let problem = "nobody seals envelopes in this world: write [router.envelope]";
            self.errors.add(key.span(), "fault.key", problem);
        }
        self.kid(&key);
        Some(key.into_inner())
    }

    fn signs_after(&mut self) -> Option<Duration> {
        let after = self.need("signs_after", &self.spec.signs_after)?;
        Some(after.get_ref().0)
    }

    fn authority(&mut self) -> Option<Authority> {
        let name = self.need("authority", &self.spec.authority)?;
        let found = Authority::ALL
            .into_iter()
            .find(|a| a.as_str() == name.get_ref());
        if found.is_none() {
            let problem = "must be clients, cells or servers";
            self.errors.add(name.span(), "fault.authority", problem);
        }
        found
    }

    fn skew(&mut self) -> Option<i64> {
        let millis = |span: &Spanned<Span>| span.get_ref().0.as_millis() as i64;
        let ahead = self.take("ahead", &self.spec.ahead);
        let behind = self.take("behind", &self.spec.behind);
        match (ahead, behind) {
            (Some(ahead), None) => Some(millis(&ahead)),
            (None, Some(behind)) => Some(-millis(&behind)),
            _ => {
                self.missing("ahead` or `behind");
                None
            }
        }
    }

    fn change(&mut self) -> Option<Change> {
        let document = self.need("document", &self.spec.document)?;
        Some(match document.get_ref().as_str() {
            "same" => Change::Same,
            "move" => Change::Move(self.tenant()?, self.cell()?),
            "suspend" => Change::Suspend(self.tenant()?),
            "resume" => Change::Resume(self.tenant()?),
            "revoke" => Change::Revoke(self.tenant()?, self.subject()?),
            "restore" => Change::Restore(self.tenant()?, self.subject()?),
            "cell_state" => {
                let state = self.need("state", &self.spec.state);
                Change::CellState(self.cell()?, state?.into_inner())
            }
            "cell_key" => Change::CellKey(self.cell()?),
            "older" => Change::Older,
            "same_version" => Change::SameVersion,
            "invalid" => Change::Invalid,
            "empty" => Change::Empty,
            "shrunken" => Change::Shrunken,
            other => {
                let problem = format!("`{other}` is no document; known: {DOCUMENTS}");
                self.errors.add(document.span(), "fault.document", problem);
                return None;
            }
        })
    }

    fn tenant(&mut self) -> Option<String> {
        let tenant = &self.spec.tenant;
        self.name(
            "tenant",
            tenant,
            |names, name| names.is_tenant(name),
            "tenant",
        )
    }

    /// The `sub` of a client's tokens is its name.
    fn subject(&mut self) -> Option<String> {
        let subject = &self.spec.subject;
        self.name(
            "subject",
            subject,
            |names, name| names.is_client(name),
            "client",
        )
    }

    fn cell(&mut self) -> Option<String> {
        let cell = &self.spec.cell;
        self.name("cell", cell, |names, name| names.is_cell(name), "cell")
    }

    /// Complains about fields that the kind has no use for: they would be silently ignored.
    fn refuse_the_rest(&mut self) {
        let spec = self.spec;
        let given = [
            ("target", spec.target.is_some()),
            ("between", spec.between.is_some()),
            ("delay", spec.delay.is_some()),
            ("status", spec.status.is_some()),
            ("key", spec.key.is_some()),
            ("authority", spec.authority.is_some()),
            ("tenant", spec.tenant.is_some()),
            ("subject", spec.subject.is_some()),
            ("cell", spec.cell.is_some()),
            ("state", spec.state.is_some()),
            ("ahead", spec.ahead.is_some()),
            ("behind", spec.behind.is_some()),
            ("document", spec.document.is_some()),
            ("keys_of", spec.keys_of.is_some()),
            ("settings", spec.settings.is_some()),
            ("signs_after", spec.signs_after.is_some()),
            ("lifetime", spec.lifetime.is_some()),
        ];
        for (name, is_given) in given {
            if is_given && !self.used.contains(&name) {
                self.unwanted(name);
            }
        }
    }
}

const KINDS: &str = "crash, drain, partition, latency, slow, status, half_open, reset, break_off, \
     refuse_connections, refuse_streams, go_away, empty_keys, huge_keys, wrong_issuer, wrong_keys, garbage, publish_key, sign_with, withdraw_key, \
     replace_keys, publish, rotate_certificate, \
     expiring_certificate, wrong_certificate, break_certificate, configure, \
     break_configuration, trust_next, issue_from_next, drop_old, add_envelope_key, \
     remove_envelope_key, clock_skew, disk_full, torn_write";

const DOCUMENTS: &str = "same, move, suspend, resume, revoke, restore, cell_state, cell_key, older, same_version, invalid, empty, shrunken";
