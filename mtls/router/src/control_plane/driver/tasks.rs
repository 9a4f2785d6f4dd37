//! Control's actions that take time: fetching, parsing, freeing.

use std::sync::Arc;

use bytes::Bytes;
use cellway_core::control::{KeySourceId, Retired};
use cellway_core::health::Probe;
use cellway_core::policy::Issuer;
use cellway_core::registry::Registry;
use cellway_env::fetch::{Client, FetchError};
use cellway_env::{Clock, Env};
use tokio::sync::mpsc;

use crate::active_config::ActiveConfig;
use crate::control_plane::checked::Checked;
use crate::control_plane::outputs::{Answer, fetch_registry, validated};
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
    /// The registry that was read before the start.
    pub(super) checked: Checked,
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
            let settings = &tasks.registry;
            let (with, asked) = ((settings, &tasks.checked), validator.as_deref());
            let fetched = fetch_registry(&tasks.env, &tasks.client, with, asked, current);
            let answer = fetched.await.or_else(|error| {
                tasks.failed(&settings.location.source(), &error);
                error.of_registry()
            });
            tasks.send(Answer::Registry(answer)).await;
        });
    }

    pub(super) fn parse_registry(
        &self,
        body: Bytes,
        validator: Option<Arc<str>>,
        current: Option<Arc<Registry>>,
    ) {
        let tasks = self.clone();
        self.env.spawn(async move {
            let with = (&tasks.registry, &tasks.checked);
            let document = validated(&tasks.env, with, body, validator, current).await;
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
