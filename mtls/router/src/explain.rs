//! Explains how the router would decide a request, and why, without sending one.
//!
//! The same state machines and fetching code as in the router make the snapshot, from files,
//! last-known-good copies and, unless it must stay offline, the network. The decision is [`decide`]
//! itself, with a recorder.

use cellway_core::cert::PeerCertificate;
use cellway_core::control::{Control, ControlSettings, Notice, Output};
use cellway_core::identify::Memo;
use cellway_core::keys::{KeyNotice, KeySet, RestoreError};
use cellway_core::policy::{KeysLocation, PolicyId};
use cellway_core::registry::{Registry, RegistryFetched};
use cellway_core::{
    Allow, Credentials, Decision, Evidence, Now, Outcome, Reason, Snapshot, Steps, decide,
};
use cellway_env::fetch::{Client, KEYS_BYTES_MAX};
use cellway_env::{Clock, Env};
use http::{HeaderValue, Method};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

use crate::control_plane::last_known_good::{Document, LastKnownGood, Slot};
use crate::control_plane::sources::{RegistryAnswer, RegistryLocation, fetch_keys, keys_source};
use crate::envelope::Sealer;
use crate::settings::RouterSettings;

/// The most rounds of asking sources. Each round gets at least one answer.
const ROUNDS_MAX: usize = 1_000;

/// The most entries of a refused key set that are named.
const SKIPPED_MAX: usize = 16;

/// The text for a source that only the network can reach.
pub const NOT_ASKED: &str = "not asked, because of --offline";

/// What to explain.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The policy that the listener has for the request.
    pub policy: PolicyId,
    /// The method.
    pub method: &'a Method,
    /// Host and port.
    pub authority: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Whether its content type is gRPC's.
    pub grpc: bool,
    /// The value of `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// The value of the header that chooses one of several tenants.
    pub tenant_choice: Option<HeaderValue>,
    /// The value of `Cell-Bound-Authorization`.
    pub cell_bound: Option<HeaderValue>,
    /// The routing key.
    pub routing_key: Option<HeaderValue>,
    /// Its signature.
    pub routing_key_signature: Option<HeaderValue>,
    /// The client's certificate. Its chain must be verified.
    pub peer: Option<&'a PeerCertificate>,
}

/// A decision and the steps that led to it.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Each check, in order.
    pub steps: Steps,
}

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
        settings,
        client,
        last_known_good: settings.sources.state.as_deref().map(LastKnownGood::new),
        control,
        sources: Vec::new(),
    };
    gather.run().await;
    (Arc::clone(gather.control.snapshot()), gather.sources)
}

/// Decides as the router would.
pub fn explain(snapshot: &Snapshot, question: &Question<'_>, now: Now) -> Explanation {
    let credentials = Credentials {
        authorization: question.authorization.clone(),
        several: false,
        tenant_choice: question.tenant_choice.clone(),
        cell_bound: question.cell_bound.iter().cloned().collect(),
        routing_key: question.routing_key.iter().cloned().collect(),
        routing_key_signature: question.routing_key_signature.iter().cloned().collect(),
        grpc: question.grpc,
        overrides_request: false,
    };
    let evidence = Evidence {
        policy: question.policy,
        method: question.method,
        authority: question.authority,
        path: question.path,
        credentials: &credentials,
        peer: question.peer,
        spread: 0,
        waited: true,
    };
    let mut steps = Steps::default();
    let decision = match decide(snapshot, &evidence, now, &mut Memo::disabled(), &mut steps) {
        Outcome::Done(decision) => decision,
        // This can't happen, because `waited` is set.
        Outcome::Wait(_) => unreachable!("a request that has waited is decided"),
    };
    Explanation { decision, steps }
}

/// The envelope of an allowed request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Envelope {
    /// There is no `[envelope]`.
    Off,
    /// No caller is verified.
    NotVerified,
    /// The cell gets one.
    Sealed {
        /// `jws`, `hmac` or `compatible`.
        form: &'static str,
        /// The key.
        kid: String,
    },
    /// No key is shared with the cell, so the request is refused.
    NoKey,
    /// The keys can't be used, so no router would start.
    Unusable {
        /// What is wrong with the keys.
        error: String,
    },
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("none, because there is no [envelope]"),
            Self::NotVerified => f.write_str("none, because no caller is verified"),
            Self::Sealed { form, kid } => write!(f, "{form} under key {kid}"),
            Self::NoKey => write!(
                f,
                "none, because no key is shared with the cell: 503 {}",
                Reason::EnvelopeUnavailable
            ),
            Self::Unusable { error } => write!(f, "none, because envelope.keys: {error}"),
        }
    }
}

impl Envelope {
    /// Whether the request reaches its cell.
    pub fn lets_pass(&self) -> bool {
        match self {
            Self::Off | Self::NotVerified | Self::Sealed { .. } => true,
            Self::NoKey | Self::Unusable { .. } => false,
        }
    }
}

/// Says whether the cell would get an envelope with this allowed request. It seals none.
pub async fn envelope<E: Env>(
    env: &E,
    settings: &RouterSettings,
    allow: &Allow,
    now: Now,
) -> Envelope {
    let Some(envelope) = &settings.envelope else {
        return Envelope::Off;
    };
    let sealer = match Sealer::load(env, envelope, now, None).await {
        Ok(sealer) => sealer,
        Err(error) => {
            let error = error.to_string();
            return Envelope::Unusable { error };
        }
    };
    if allow.reason != Reason::Verified {
        return Envelope::NotVerified;
    }
    match sealer.kid(&allow.cell.id, now) {
        None => Envelope::NoKey,
        Some(kid) => Envelope::Sealed {
            form: sealer.form().as_str(),
            kid: kid.to_owned(),
        },
    }
}

struct Gather<'a, E: Env> {
    env: &'a E,
    clock: &'a Clock<E>,
    settings: &'a RouterSettings,
    client: Option<&'a Client<E>>,
    last_known_good: Option<LastKnownGood>,
    control: Control,
    /// Where the data of the decision came from: one line for each source.
    sources: Vec<String>,
}

impl<E: Env> Gather<'_, E> {
    /// Asks all sources first. Last-known-good copies replace sources that gave nothing.
    async fn run(&mut self) {
        self.control.handle_timeout(self.clock.now());
        self.drain().await;
        self.restore().await;
        self.drain().await;
    }

    async fn drain(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let Some(output) = self.control.poll_output() else {
                return;
            };
            match output {
                Output::FetchKeys { source, issuer, .. } => {
                    let issuer = self.settings.policy.issuer(issuer).clone();
                    let local = matches!(issuer.keys, KeysLocation::File(_));
                    let Some(client) = self.client(local) else {
                        self.note(&keys_source(&issuer), Some(&NOT_ASKED));
                        continue;
                    };
                    let keys = fetch_keys(self.env, &client, &issuer).await;
                    if let Err(error) = &keys {
                        self.note(&keys_source(&issuer), Some(error));
                    } else if KeySet::parse(
                        keys.as_ref().map_or(&[][..], |b| b),
                        &issuer.algorithms,
                    )
                    .is_ok()
                    {
                        self.note(&keys_source(&issuer), None::<&String>);
                    }
                    let now = self.clock.now();
                    let keys = keys.map_err(|error| error.kind());
                    self.control.handle_keys(now, source, keys);
                }
                Output::FetchRegistry { .. } => self.registry().await,
                Output::Notice(Notice::Keys {
                    issuer,
                    notice: KeyNotice::Refused(refused),
                }) => {
                    let source = keys_source(self.settings.policy.issuer(issuer));
                    self.note(&source, Some(&refused));
                    let named = refused.skipped.iter().take(SKIPPED_MAX);
                    self.sources
                        .extend(named.map(|key| format!("{source}: {key}")));
                }
                Output::ParseRegistry { .. }
                | Output::Publish(_)
                | Output::SaveKeys { .. }
                | Output::SaveRegistry { .. }
                | Output::ConfirmRegistry { .. }
                | Output::Free(_)
                | Output::Notice(_) => {}
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

    async fn registry(&mut self) {
        let settings = &self.settings.sources.registry;
        let local = !matches!(settings.location, RegistryLocation::Http { .. });
        let Some(client) = self.client(local) else {
            self.note(&settings.location.source(), Some(&NOT_ASKED));
            return;
        };
        let limit = settings.limits.document_bytes_max;
        let location = &settings.location;
        let answer = location.fetch(self.env, &client, None, limit).await;
        let mut note = answer.as_ref().err().map(ToString::to_string);
        let answer = match answer {
            Ok(RegistryAnswer::NotModified) => Ok(RegistryFetched::NotModified),
            Ok(RegistryAnswer::Document { body, validator }) => {
                let current = self.control.registry().map(|registry| &**registry);
                let format = location.format();
                let parsed = Registry::parse(&body, format, current, &settings.limits);
                note = parsed.as_ref().err().map(ToString::to_string);
                Ok(RegistryFetched::Document {
                    parsed,
                    body,
                    validator,
                })
            }
            Err(error) => error.of_registry(),
        };
        self.note(&location.source(), note.as_ref());
        self.control.handle_registry(self.clock.now(), answer);
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
                if restored != Err(RestoreError::NotNeeded) {
                    self.note(&last_known_good.path(&slot), restored.as_ref().err());
                }
            }
        }
        if self.control.registry().is_some() {
            return;
        }
        let settings = &self.settings.sources.registry;
        let limit = settings.limits.document_bytes_max;
        let source = settings.location.source();
        if let Some(document) = self
            .load(&last_known_good, &Slot::Registry, &source, limit)
            .await
        {
            let format = settings.location.format();
            let parsed = Registry::parse(&document.body, format, None, &settings.limits);
            self.note(
                &last_known_good.path(&Slot::Registry),
                parsed.as_ref().err(),
            );
            let (now, at) = (self.clock.now(), document.fetched_at);
            self.control.handle_restored_registry(now, parsed, at);
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
                self.note(&last_known_good.path(slot), Some(&refused));
                None
            }
        }
    }

    fn note(&mut self, source: &str, problem: Option<&impl std::fmt::Display>) {
        self.sources.push(match problem {
            None => format!("{source}: read"),
            Some(problem) => format!("{source}: not used: {problem}"),
        });
    }
}
