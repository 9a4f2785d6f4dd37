//! Makes the snapshot that a router would decide on.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use cellway_core::control::{Control, ControlSettings, KeySourceId, Notice, Retired};
use cellway_core::health::Probe;
use cellway_core::keys::{KeyNotice, KeySet, RestoreError};
use cellway_core::policy::{Issuer, KeysLocation, Policy};
use cellway_core::registry::{Registry, RegistryFetched};
use cellway_core::{Snapshot, Unix};
use cellway_env::fetch::{Client, KEYS_BYTES_MAX};
use cellway_env::{Clock, Env};

use crate::control_plane::last_known_good::{Document, LastKnownGood, Slot};
use crate::control_plane::outputs::{
    Answer, Perform, drain, fetch_registry, parse_registry, validated,
};
use crate::control_plane::sources::{fetch_keys, keys_source};
use crate::settings::RegistryLocation;
use crate::settings::{RegistrySettings, RouterSettings};

/// The most rounds of asking sources.
const ROUNDS_MAX: usize = 1_000;

/// The most entries of a refused key set that are named.
const SKIPPED_MAX: usize = 16;

/// The text for a source that only the network can reach.
pub const NOT_ASKED: &str = "not asked, because of --offline";

/// Makes the snapshot that a router with these settings would decide with. It uses the network if
/// there is a `client`, and otherwise only files. Also returns one line for each source, which says
/// what it gave.
pub async fn gather<E: Env>(
    env: &E,
    clock: &Clock<E>,
    settings: &RouterSettings,
    client: Option<&Client<E>>,
) -> (Arc<Snapshot>, Vec<String>) {
    let timing = settings.sources.registry.timing.clone();
    let control = ControlSettings {
        registry: timing,
        ..ControlSettings::default()
    };
    let control = Control::new(Arc::clone(&settings.policy), control, clock.now(), 0);
    let mut gather = Gather {
        env,
        clock,
        registry: Arc::new(settings.sources.registry.clone()),
        client,
        last_known_good: settings.sources.state.as_deref().map(LastKnownGood::new),
        control,
        asked: Asked::default(),
    };
    gather.run().await;
    let snapshot = Arc::clone(gather.control.snapshot());
    (snapshot, gather.asked.sources)
}

/// Drives [`Control`] like the router's driver, but performs one thing after the other.
struct Gather<'a, E: Env> {
    env: &'a E,
    clock: &'a Clock<E>,
    registry: Arc<RegistrySettings>,
    client: Option<&'a Client<E>>,
    last_known_good: Option<LastKnownGood>,
    control: Control,
    asked: Asked,
}

/// What control has asked for, and what happened to the sources.
#[derive(Default)]
struct Asked {
    /// Not performed yet.
    jobs: Vec<Job>,
    /// Where the data of the decision came from: one line for each source.
    sources: Vec<String>,
}

/// Something that takes time.
enum Job {
    FetchKeys(KeySourceId, Box<Issuer>),
    FetchRegistry(Option<Arc<Registry>>),
    ParseRegistry(Bytes, Option<Arc<str>>, Option<Arc<Registry>>),
}

impl Perform for Asked {
    fn fetch_keys(&mut self, source: KeySourceId, issuer: Issuer, _: bool) {
        self.jobs.push(Job::FetchKeys(source, Box::new(issuer)));
    }

    fn fetch_registry(&mut self, _: Option<Arc<str>>, current: Option<Arc<Registry>>) {
        self.jobs.push(Job::FetchRegistry(current));
    }

    fn parse_registry(
        &mut self,
        body: Bytes,
        validator: Option<Arc<str>>,
        current: Option<Arc<Registry>>,
    ) {
        let job = Job::ParseRegistry(body, validator, current);
        self.jobs.push(job);
    }

    fn notice(&mut self, notice: &Notice, policy: &Policy) {
        if let Notice::Keys {
            issuer,
            notice: KeyNotice::Refused(refused),
        } = notice
        {
            let source = keys_source(policy.issuer(*issuer));
            self.note(&source, Some(refused));
            let named = refused.skipped.iter().take(SKIPPED_MAX);
            self.sources
                .extend(named.map(|key| format!("{source}: {key}")));
        }
    }

    // The snapshot is read from control at the end, and nothing is kept on disk. Without settings for
    // health checks control asks for none.

    fn probe(&mut self, _: Probe) {}

    fn publish(&mut self, _: Arc<Snapshot>) {}

    fn save_keys(&mut self, _: &Issuer, _: Bytes, _: Unix) {}

    fn save_registry(&mut self, _: Bytes, _: Unix) {}

    fn confirm_registry(&mut self, _: Unix) {}

    fn free(&mut self, _: Retired) {}
}

impl Asked {
    fn note(&mut self, source: &str, problem: Option<&impl fmt::Display>) {
        self.sources.push(match problem {
            None => format!("{source}: read"),
            Some(problem) => format!("{source}: not used: {problem}"),
        });
    }
}

impl<E: Env> Gather<'_, E> {
    /// Restores last-known-good copies first, as a router does at its start: it never accepts an
    /// older registry than it had.
    async fn run(&mut self) {
        drain(&mut self.control, &mut self.asked);
        self.restore().await;
        self.control.handle_timeout(self.clock.now());
        self.settle().await;
    }

    /// Performs what control asks for, until it asks for nothing more.
    async fn settle(&mut self) {
        drain(&mut self.control, &mut self.asked);
        for _ in 0..ROUNDS_MAX {
            let jobs = std::mem::take(&mut self.asked.jobs);
            if jobs.is_empty() {
                return;
            }
            for job in jobs {
                if let Some(answer) = self.perform(job).await {
                    answer.hand_to(&mut self.control, self.clock.now());
                    drain(&mut self.control, &mut self.asked);
                }
            }
        }
    }

    /// The result of a job. `None` if its source may not be asked.
    async fn perform(&mut self, job: Job) -> Option<Answer> {
        match job {
            Job::FetchKeys(source, issuer) => self.keys(source, &issuer).await,
            Job::FetchRegistry(current) => self.registry(current).await,
            Job::ParseRegistry(body, validator, current) => {
                let document = validated(self.env, &self.registry, body, validator, current);
                Some(Answer::Registry(Ok(document.await)))
            }
        }
    }

    /// The client for a source. A local file gets a client that isn't used.
    fn client(&self, local: bool) -> Option<Client<E>> {
        match (self.client, local) {
            (Some(client), _) => Some(client.clone()),
            (None, true) => Some(Client::unconnected(self.env.clone())),
            (None, false) => None,
        }
    }

    async fn keys(&mut self, source: KeySourceId, issuer: &Issuer) -> Option<Answer> {
        let local = matches!(issuer.keys, KeysLocation::File(_));
        let name = keys_source(issuer);
        let Some(client) = self.client(local) else {
            self.asked.note(&name, Some(&NOT_ASKED));
            return None;
        };
        let keys = fetch_keys(self.env, &client, issuer).await;
        match &keys {
            Err(error) => self.asked.note(&name, Some(error)),
            Ok(body) if KeySet::parse(body, &issuer.algorithms).is_ok() => {
                self.asked.note(&name, None::<&String>);
            }
            // Control reports it.
            Ok(_) => {}
        }
        Some(Answer::Keys(source, keys.map_err(|error| error.kind())))
    }

    async fn registry(&mut self, current: Option<Arc<Registry>>) -> Option<Answer> {
        let location = &self.registry.location;
        let name = location.source();
        let local = !matches!(location, RegistryLocation::Http { .. });
        let Some(client) = self.client(local) else {
            self.asked.note(&name, Some(&NOT_ASKED));
            return None;
        };
        let answer = fetch_registry(self.env, &client, &self.registry, None, current).await;
        let problem = match &answer {
            Ok(RegistryFetched::Document { parsed, .. }) => {
                parsed.as_ref().err().map(ToString::to_string)
            }
            // A document that is too large is an error of the fetch.
            Ok(RegistryFetched::NotModified | RegistryFetched::TooLarge { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        self.asked.note(&name, problem.as_ref());
        let answer = answer.or_else(|error| error.of_registry());
        Some(Answer::Registry(answer))
    }

    async fn restore(&mut self) {
        let Some(last_known_good) = self.last_known_good.clone() else {
            return;
        };
        let sources: Vec<_> = self
            .control
            .key_sources()
            .map(|(id, _, issuer)| (id, issuer.name.to_string(), keys_source(issuer)))
            .collect();
        for (id, name, source) in sources {
            let slot = Slot::Keys(name);
            if let Some(document) = self
                .load(&last_known_good, &slot, &source, KEYS_BYTES_MAX)
                .await
            {
                let now = self.clock.now();
                let (body, at) = (document.body, document.fetched_at);
                let restored = self.control.handle_restored_keys(now, id, &body, at);
                drain(&mut self.control, &mut self.asked);
                if restored != Err(RestoreError::NotNeeded) {
                    self.asked
                        .note(&last_known_good.path(&slot), restored.as_ref().err());
                }
            }
        }
        let settings = Arc::clone(&self.registry);
        let limit = settings.limits.document_bytes_max;
        let source = settings.location.source();
        if let Some(document) = self
            .load(&last_known_good, &Slot::Registry, &source, limit)
            .await
        {
            let parsed = parse_registry(self.env, &settings, document.body, None).await;
            self.asked.note(
                &last_known_good.path(&Slot::Registry),
                parsed.as_ref().err(),
            );
            let (now, at) = (self.clock.now(), document.fetched_at);
            self.control.handle_restored_registry(now, parsed, at);
            drain(&mut self.control, &mut self.asked);
        }
    }

    async fn load(
        &mut self,
        last_known_good: &LastKnownGood,
        slot: &Slot,
        from: &str,
        limit: usize,
    ) -> Option<Document> {
        match last_known_good.load(self.env, slot, from, limit).await {
            Ok(found) => found.map(|(_, document)| document),
            Err(refused) => {
                self.asked.note(&last_known_good.path(slot), Some(&refused));
                None
            }
        }
    }
}
