//! Control's actions that take time: fetching, parsing, freeing.

use std::sync::Arc;

use bytes::Bytes;
use cellway_core::control::{KeySourceId, Retired};
use cellway_core::policy::Issuer;
use cellway_core::registry::{Parsed, Registry, RegistryError, RegistryFetched};
use cellway_env::fetch::{Client, FetchError};
use cellway_env::{Clock, Env};
use tokio::sync::mpsc;

use super::Answer;
use crate::control_plane::sources::{RegistryAnswer, fetch_keys, keys_source};
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
            let settings = &tasks.registry;
            let limit = settings.limits.document_bytes_max;
            let asked = validator.as_deref();
            let fetched = settings
                .location
                .fetch(&tasks.env, &tasks.client, asked, limit);
            let answer = match fetched.await {
                Ok(RegistryAnswer::NotModified) => Ok(RegistryFetched::NotModified),
                Ok(RegistryAnswer::Document { body, validator }) => Ok(RegistryFetched::Document {
                    parsed: tasks.parse(body.clone(), current).await,
                    body,
                    validator,
                }),
                Err(error) => {
                    tasks.failed(&settings.location.source(), &error);
                    error.of_registry()
                }
            };
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
            let parsed = tasks.parse(body.clone(), current).await;
            let document = RegistryFetched::Document {
                parsed,
                body,
                validator,
            };
            tasks.send(Answer::Registry(Ok(document))).await;
        });
    }

    /// Validates and indexes a document where that delays no request.
    pub(super) async fn parse(
        &self,
        body: Bytes,
        current: Option<Arc<Registry>>,
    ) -> Result<Parsed, RegistryError> {
        let settings = Arc::clone(&self.registry);
        let format = settings.location.format();
        self.env
            .heavy(move || Registry::parse(&body, format, current.as_deref(), &settings.limits))
            .await
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
