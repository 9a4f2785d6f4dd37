//! What the router does for control: it starts tasks, publishes, keeps documents, and reports.

use std::sync::Arc;

use bytes::Bytes;
use cellway_core::control::{KeySourceId, Notice, Retired};
use cellway_core::health::Probe;
use cellway_core::policy::{Issuer, Policy};
use cellway_core::registry::Registry;
use cellway_core::{Snapshot, Unix};
use cellway_env::{Clock, Env};

use super::tasks::Tasks;
use super::writer::{Document, LastKnownGoodWriter, Order};
use crate::active_config::ActiveConfig;
use crate::control_plane::checked::Checked;
use crate::control_plane::last_known_good::{DocumentId, LastKnownGood, LoadError, Slot};
use crate::control_plane::outputs::Perform;
use crate::control_plane::sources::keys_source;
use crate::observe::event::{Event, Sink};
use crate::settings::RegistryLocation;
use crate::view::{View, ViewCell};

#[derive(Debug)]
pub(super) struct Performer<E: Env, S> {
    pub(super) clock: Clock<E>,
    pub(super) sink: S,
    /// The configuration of the next view.
    pub(super) config: Arc<ActiveConfig>,
    pub(super) views: Arc<ViewCell>,
    pub(super) tasks: Tasks<E, S>,
    pub(super) writer: Option<LastKnownGoodWriter<E, S>>,
    /// Whether to read the registry's file at the next check even if it seems unchanged.
    pub(super) reread: bool,
    /// The registry that was read before the start.
    pub(super) checked: Checked,
}

impl<E: Env, S: Sink> Performer<E, S> {
    /// Publishes the configuration if no snapshot was published with it.
    pub(super) fn publish_config(&self, snapshot: &Arc<Snapshot>) {
        if !Arc::ptr_eq(&self.views.load().config, &self.config) {
            self.publish_view(Arc::clone(snapshot));
        }
    }

    fn publish_view(&self, snapshot: Arc<Snapshot>) {
        let view = View::new(Arc::clone(&self.config), snapshot);
        drop(self.views.publish(view));
    }

    pub(super) fn last_known_good(&self) -> Option<&LastKnownGood> {
        let writer = self.writer.as_ref()?;
        Some(writer.last_known_good())
    }

    /// The document that was loaded, if there was a good one.
    pub(super) fn loaded(
        &self,
        last_known_good: &LastKnownGood,
        slot: &Slot,
        loaded: Result<Option<(DocumentId, Document)>, LoadError>,
    ) -> Option<Document> {
        match loaded {
            Ok(None) => None,
            Ok(Some((id, document))) => {
                self.order(Order::Found(slot.clone(), id));
                Some(document)
            }
            Err(refused) => {
                self.refused(&last_known_good.path(slot), &refused.to_string());
                None
            }
        }
    }

    pub(super) fn refused(&self, file: &str, error: &str) {
        let event = Event::KeptRefused { file, error };
        self.sink.emit(self.clock.now(), &event);
    }

    fn order(&self, order: Order) {
        if let Some(writer) = &self.writer {
            writer.order(order);
        }
    }

    /// The validator for the next fetch of the registry. After a reload, a file is always read,
    /// because its content can change while its size, inode and time stay the same. A control plane
    /// compares the content itself.
    fn validator(&mut self, validator: Option<Arc<str>>) -> Option<Arc<str>> {
        let reread = std::mem::take(&mut self.reread);
        let is_file = matches!(self.tasks.registry.location, RegistryLocation::File(_));
        validator.filter(|_| !(reread && is_file))
    }
}

impl<E: Env, S: Sink> Perform for Performer<E, S> {
    fn fetch_keys(&mut self, source: KeySourceId, issuer: Issuer, forced: bool) {
        self.tasks.fetch_keys(source, issuer, forced);
    }

    fn fetch_registry(&mut self, validator: Option<Arc<str>>, current: Option<Arc<Registry>>) {
        let validator = self.validator(validator);
        match self.checked.take_fetched() {
            Some(checked) if current.is_none() => self.tasks.fetch_checked(checked),
            _ => self.tasks.fetch_registry(validator, current),
        }
    }

    fn parse_registry(
        &mut self,
        body: Bytes,
        validator: Option<Arc<str>>,
        current: Option<Arc<Registry>>,
    ) {
        self.tasks.parse_registry(body, validator, current);
    }

    fn publish(&mut self, snapshot: Arc<Snapshot>) {
        let event = Event::Published {
            snapshot: &snapshot,
        };
        self.sink.emit(self.clock.now(), &event);
        self.publish_view(snapshot);
    }

    fn save_keys(&mut self, issuer: &Issuer, body: Bytes, fetched_at: Unix) {
        let slot = Slot::Keys(issuer.name.as_str().to_owned());
        let document = Document { body, fetched_at };
        self.order(Order::Save(slot, keys_source(issuer), document));
    }

    fn save_registry(&mut self, body: Bytes, fetched_at: Unix) {
        let source = self.tasks.registry.location.source();
        let document = Document { body, fetched_at };
        self.order(Order::Save(Slot::Registry, source, document));
    }

    fn confirm_registry(&mut self, fetched_at: Unix) {
        self.order(Order::Confirm(Slot::Registry, fetched_at));
    }

    fn probe(&mut self, probe: Probe) {
        self.tasks.probe(probe, Arc::clone(&self.config));
    }

    fn free(&mut self, retired: Retired) {
        self.tasks.free(retired);
    }

    fn notice(&mut self, notice: &Notice, policy: &Policy) {
        let event = Event::Notice { notice, policy };
        self.sink.emit(self.clock.now(), &event);
    }
}
