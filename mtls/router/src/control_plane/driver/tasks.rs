//! Control's actions that take time: fetching, parsing, freeing.

use std::sync::Arc;

use bytes::Bytes;
use cellway_core::control::{KeySourceId, Retired};
use cellway_core::health::Probe;
use cellway_core::policy::Issuer;
use cellway_core::registry::{Registry, RegistryFetched};
use cellway_env::fetch::{Client, FetchError};
use cellway_env::{Clock, Env};
use tokio::sync::mpsc;

use crate::active_config::ActiveConfig;
use crate::control_plane::checked::Fetched;
use crate::control_plane::outputs::{Answer, fetch_checked, fetch_registry, validated};
use crate::control_plane::prober::{self, ProbeError};
use crate::control_plane::sources::{fetch_keys, keys_source};
use crate::observe::event::{Event, Sink};
use crate::settings::RegistrySettings;

#[derive(Clone, Debug)]
pub(super) struct Tasks<E, S> {
    pub(super) env: E,
    pub(super) clock: Clock<E>,
    pub(super) sink: S,
    pub(super) client: Client<E>,
    pub(super) registry: Arc<RegistrySettings>,
    pub(super) answer: mpsc::Sender<Answer>,
}

impl<E: Env, S: Sink> Tasks<E, S> {
    pub(super) fn fetch_keys(&self, source: KeySourceId, issuer: Issuer, forced: bool) {
        let event = Event::KeysRequested {
            issuer: &issuer.name,
            forced,
        };
        self.sink.emit(self.clock.now(), &event);
        let tasks = self.clone();
        self.env.spawn(async move {
            let keys = fetch_keys(&tasks.env, &tasks.client, &issuer).await;
            let keys = keys.map_err(|error| {
                tasks.failed(&keys_source(&issuer), &error);
                error.kind()
            });
            tasks.send(Answer::Keys(source, keys)).await;
        });
    }

    pub(super) fn fetch_registry(
        &self,
        validator: Option<Arc<str>>,
        current: Option<Arc<Registry>>,
    ) {
        let tasks = self.clone();
        self.env.spawn(async move {
            let (settings, asked) = (&tasks.registry, validator.as_deref());
            let fetched = fetch_registry(&tasks.env, &tasks.client, settings, asked, current);
            tasks.fetched(fetched.await).await;
        });
    }

    /// Fetches the first registry, which may be the one that was read before the start.
    pub(super) fn fetch_checked(&self, checked: Fetched) {
        let tasks = self.clone();
        self.env.spawn(async move {
            let fetched = fetch_checked(&tasks.env, &tasks.client, &tasks.registry, checked);
            tasks.fetched(fetched.await).await;
        });
    }

    async fn fetched(&self, fetched: Result<RegistryFetched, FetchError>) {
        let answer = fetched.or_else(|error| {
            self.failed(&self.registry.location.source(), &error);
            error.of_registry()
        });
        self.send(Answer::Registry(answer)).await;
    }

    pub(super) fn parse_registry(
        &self,
        body: Bytes,
        validator: Option<Arc<str>>,
        current: Option<Arc<Registry>>,
    ) {
        let tasks = self.clone();
        self.env.spawn(async move {
            let settings = &tasks.registry;
            let document = validated(&tasks.env, settings, body, validator, current).await;
            tasks.send(Answer::Registry(Ok(document))).await;
        });
    }

    /// Checks an endpoint as requests would reach it with this configuration. Every probe has a
    /// result, because each of its steps ends in time.
    pub(super) fn probe(&self, probe: Probe, config: Arc<ActiveConfig>) {
        let tasks = self.clone();
        self.env.spawn(async move {
            let result = prober::probe(&tasks.env, &config, &probe).await;
            let (failure, error) = match &result {
                Ok(()) => (None, None),
                Err(ProbeError { failure, error }) => (Some(*failure), Some(error.as_str())),
            };
            let event = Event::EndpointChecked {
                cell: &probe.cell,
                endpoint: probe.endpoint.url.as_str(),
                failure,
                error,
            };
            tasks.sink.emit(tasks.clock.now(), &event);
            let result = result.map_err(|error| error.failure);
            tasks.send(Answer::Probed(probe.id, result)).await;
        });
    }

    /// Frees memory where that delays no request.
    pub(super) fn free(&self, retired: Retired) {
        let env = self.env.clone();
        self.env
            .spawn(async move { env.heavy(move || drop(retired)).await });
    }

    fn failed(&self, source: &str, error: &FetchError) {
        let event = Event::SourceFailed { source, error };
        self.sink.emit(self.clock.now(), &event);
    }

    async fn send(&self, answer: Answer) {
        // The driver is gone only when the router is gone.
        let _ = self.answer.send(answer).await;
    }
}
