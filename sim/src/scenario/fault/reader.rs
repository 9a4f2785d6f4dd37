//! Reads the fields of a `[[fault]]` table, in which every kind's fields are optional.

use std::time::Duration;

use cellway_core::envelope::is_kid;
use toml::Spanned;

use super::Authority;
use super::registry::{self, NewRegistry};
use crate::scenario::CONTROL_PLANE;
use crate::scenario::choices::CellState;
use crate::scenario::error::Errors;
use crate::scenario::file::{self, Name};
use crate::scenario::units::Span;

/// The most early hints before an answer.
const HINTS_MAX: u32 = 1000;

/// The most streams of a cell that allows few.
const FEW_STREAMS_MAX: u32 = 100;

/// The names in a world, to check the names in a fault.
pub(in crate::scenario) trait Names {
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

/// Reads the fields of one fault and remembers which were asked for.
pub(super) struct Reader<'a, 'e, 't> {
    spec: &'a file::Fault,
    names: &'a dyn Names,
    errors: &'e mut Errors<'t>,
    used: Vec<&'static str>,
}

impl<'a, 'e, 't> Reader<'a, 'e, 't> {
    pub(super) fn new(
        spec: &'a file::Fault,
        names: &'a dyn Names,
        errors: &'e mut Errors<'t>,
    ) -> Self {
        Self {
            spec,
            names,
            errors,
            used: vec!["at", "kind"],
        }
    }

    /// Reports a name that no row of a table has.
    pub(super) fn unknown<'n>(
        &mut self,
        name: &Name,
        field: &str,
        what: &str,
        known: impl Iterator<Item = &'n str>,
    ) {
        let known: Vec<_> = known.collect();
        let known = known.join(", ");
        let problem = format!("no {what} is called `{}`; known: {known}", name.get_ref());
        self.errors
            .add(name.span(), &format!("fault.{field}"), problem);
    }

    /// The field `for`, which only faults with a duration have. It must not be 0.
    pub(super) fn lasts(&mut self, ends: bool) -> Duration {
        let lasts = self.take("for", &self.spec.lasts);
        match &lasts {
            Some(_) if !ends => self.unwanted("for"),
            None if ends => self.missing("for"),
            Some(lasts) if lasts.get_ref().0.is_zero() => {
                let problem = "must be longer than 0";
                self.errors.add(lasts.span(), "fault.for", problem);
            }
            _ => {}
        }
        lasts.map_or(Duration::ZERO, |lasts| lasts.get_ref().0)
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
            let problem = format!("no {what} of this world is called `{}`", name.get_ref());
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

    pub(super) fn host(&mut self) -> Option<String> {
        self.target(
            |names, name| names.is_host(name) || names.is_cell(name),
            "host",
        )
    }

    pub(super) fn router(&mut self) -> Option<String> {
        self.target(|names, name| names.is_router(name), "router")
    }

    /// A host that has a serving certificate, or all hosts of a cell.
    pub(super) fn served(&mut self) -> Option<String> {
        let known = |names: &dyn Names, name: &str| names.is_router(name) || names.is_cell(name);
        self.target(known, "router or cell")
    }

    pub(super) fn retry_after(&mut self) -> Option<Duration> {
        let after = self.need("retry_after", &self.spec.retry_after)?;
        let given = after.get_ref().0;
        if given.is_zero() || given.subsec_nanos() > 0 {
            let problem = "must be whole seconds, because `Retry-After` has no others";
            self.errors.add(after.span(), "fault.retry_after", problem);
        }
        Some(given)
    }

    pub(super) fn lifetime(&mut self) -> Option<Duration> {
        let lifetime = self.need("lifetime", &self.spec.lifetime)?;
        if lifetime.get_ref().0 < Duration::from_secs(1) {
            let problem = "must be at least 1s";
            self.errors.add(lifetime.span(), "fault.lifetime", problem);
        }
        Some(lifetime.into_inner().0)
    }

    pub(super) fn cell_target(&mut self) -> Option<String> {
        let known = |names: &dyn Names, name: &str| names.is_cell(name) || names.is_endpoint(name);
        self.target(known, "cell")
    }

    pub(super) fn cell_itself(&mut self) -> Option<String> {
        self.target(|names, name| names.is_cell(name), "cell")
    }

    pub(super) fn endpoint(&mut self) -> Option<String> {
        self.target(|names, name| names.is_endpoint(name), "endpoint")
    }

    pub(super) fn other_endpoint(&mut self) -> Option<String> {
        let to = &self.spec.to;
        self.name("to", to, |names, name| names.is_endpoint(name), "endpoint")
    }

    /// A cell that uses HTTP/2.
    pub(super) fn http2_cell(&mut self) -> Option<String> {
        let target = self.cell_target()?;
        if self.names.speaks_http1(&target)
            && let Some(name) = &self.spec.target
        {
            let problem = format!("`{target}` speaks HTTP/1.1, which has no streams");
            self.errors.add(name.span(), "fault.target", problem);
        }
        Some(target)
    }

    pub(super) fn identity_provider(&mut self) -> Option<String> {
        self.target(
            |names, name| names.is_identity_provider(name),
            "identity provider",
        )
    }

    pub(super) fn keys_of(&mut self) -> Option<String> {
        let keys_of = &self.spec.keys_of;
        self.name(
            "keys_of",
            keys_of,
            |names, name| names.is_identity_provider(name),
            "identity provider",
        )
    }

    pub(super) fn settings(&mut self) -> Option<toml::Table> {
        let settings = self.need("settings", &self.spec.settings)?;
        Some(settings.into_inner())
    }

    pub(super) fn registry(&mut self) -> Option<Box<NewRegistry>> {
        let spec = self.need("registry", &self.spec.registry)?;
        let names = self.names;
        let is_cell = |name: &str| names.is_cell(name);
        let is_endpoint = |name: &str| names.is_endpoint(name);
        let read = registry::read(&spec, is_cell, is_endpoint, self.errors);
        Some(Box::new(read))
    }

    pub(super) fn service(&mut self) -> Option<String> {
        let known = |names: &dyn Names, name: &str| {
            let cell = names.is_cell(name) || names.is_endpoint(name);
            cell || names.is_identity_provider(name) || name == CONTROL_PLANE
        };
        self.target(known, "cell, identity provider or control plane")
    }

    pub(super) fn control_plane(&mut self) -> Option<String> {
        self.target(|_, name| name == CONTROL_PLANE, "control plane")
    }

    pub(super) fn between(&mut self) -> Option<[String; 2]> {
        let [a, b] = self.need("between", &self.spec.between)?;
        for name in [&a, &b] {
            if !self.names.is_host(name.get_ref()) && !self.names.is_cell(name.get_ref()) {
                let problem = format!("no host of this world is called `{}`", name.get_ref());
                self.errors.add(name.span(), "fault.between", problem);
                return None;
            }
        }
        if a.get_ref() == b.get_ref() {
            let problem = "must be two different hosts";
            self.errors.add(b.span(), "fault.between", problem);
        }
        Some([a.into_inner(), b.into_inner()])
    }

    pub(super) fn delay(&mut self) -> Option<Duration> {
        self.need("delay", &self.spec.delay)
            .map(|delay| delay.into_inner().0)
    }

    pub(super) fn grpc_status(&mut self) -> Option<u8> {
        let status = self.need("status", &self.spec.status)?;
        let read = u8::try_from(*status.get_ref()).ok();
        let read = read.filter(|status| (1..=16).contains(status));
        if read.is_none() {
            let problem = "must be the gRPC status of an error, 1 to 16";
            self.errors.add(status.span(), "fault.status", problem);
        }
        read
    }

    pub(super) fn status(&mut self) -> Option<u16> {
        let status = self.need("status", &self.spec.status)?;
        if !(400..600).contains(status.get_ref()) {
            let problem = "must be the status of an error, 400 to 599";
            self.errors.add(status.span(), "fault.status", problem);
        }
        Some(status.into_inner())
    }

    pub(super) fn hints(&mut self) -> Option<u32> {
        let hints = self.need("hints", &self.spec.hints)?;
        if !(1..=HINTS_MAX).contains(hints.get_ref()) {
            let problem = format!("must be a number from 1 to {HINTS_MAX}");
            self.errors.add(hints.span(), "fault.hints", problem);
        }
        Some(hints.into_inner())
    }

    pub(super) fn streams(&mut self) -> Option<u32> {
        let streams = self.need("streams", &self.spec.streams)?;
        if !(1..=FEW_STREAMS_MAX).contains(streams.get_ref()) {
            let problem = format!("must be a number from 1 to {FEW_STREAMS_MAX}");
            self.errors.add(streams.span(), "fault.streams", problem);
        }
        Some(streams.into_inner())
    }

    pub(super) fn key(&mut self) -> Option<String> {
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

    pub(super) fn envelope_key(&mut self) -> Option<String> {
        let key = self.need("key", &self.spec.key)?;
        if !self.names.has_envelopes() {
            let problem = "needs routers that seal envelopes: add [router.envelope]";
            self.errors.add(key.span(), "fault.key", problem);
        }
        self.kid(&key);
        Some(key.into_inner())
    }

    pub(super) fn signs_after(&mut self) -> Option<Duration> {
        let after = self.need("signs_after", &self.spec.signs_after)?;
        Some(after.get_ref().0)
    }

    pub(super) fn authority(&mut self) -> Option<Authority> {
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

    pub(super) fn skew(&mut self) -> Option<i64> {
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

    pub(super) fn document(&mut self) -> Option<Name> {
        self.need("document", &self.spec.document)
    }

    pub(super) fn state(&mut self) -> Option<CellState> {
        let state = self.need("state", &self.spec.state)?;
        Some(state.into_inner())
    }

    pub(super) fn tenant(&mut self) -> Option<String> {
        let tenant = &self.spec.tenant;
        self.name(
            "tenant",
            tenant,
            |names, name| names.is_tenant(name),
            "tenant",
        )
    }

    /// The `sub` of a client's tokens is its name.
    pub(super) fn subject(&mut self) -> Option<String> {
        let subject = &self.spec.subject;
        self.name(
            "subject",
            subject,
            |names, name| names.is_client(name),
            "client",
        )
    }

    pub(super) fn cell(&mut self) -> Option<String> {
        let cell = &self.spec.cell;
        self.name("cell", cell, |names, name| names.is_cell(name), "cell")
    }

    /// Reports fields that this kind doesn't have.
    pub(super) fn refuse_the_rest(&mut self) {
        for name in self.spec.given() {
            if !self.used.contains(&name) {
                self.unwanted(name);
            }
        }
    }
}
