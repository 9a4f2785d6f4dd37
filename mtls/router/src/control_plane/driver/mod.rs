//! Drives core's [`Control`]: performs its actions and passes the results back to it.
//!
//! One task owns `Control`, and no other task uses it. Fetches, parsing and writing run as separate
//! tasks and send their results back over a bounded channel, so a slow identity provider delays
//! only its own answer. The loop is the one that core's documentation describes: pass one input in,
//! drain the outputs, wait.

mod performer;
mod tasks;
mod writer;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use cellway_core::control::{Control, ControlSettings};
use cellway_core::health::EndpointHealth;
use cellway_core::keys::RestoreError;
use cellway_core::policy::IssuerId;
use cellway_core::registry::EndpointId;
use cellway_env::fetch::{Client, KEYS_BYTES_MAX, Reach};
use cellway_env::{Clock, Env};
use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use self::performer::Performer;
use self::tasks::Tasks;
use self::writer::LastKnownGoodWriter;
use crate::active_config::ActiveConfig;
use crate::control_plane::checked::Checked;
use crate::control_plane::last_known_good::{LastKnownGood, Slot};
use crate::control_plane::outputs::{self, Answer};
use crate::control_plane::sources::keys_source;
use crate::observe::Refusals;
use crate::observe::event::Sink;
use crate::settings::{RouterSettings, Sources};
use crate::view::{Inbox, ToControl, View, ViewCell};

/// The most answers that may wait in the channel. There are never more answers than tasks in flight:
/// one for each issuer, one for the registry, and [`PROBES_MAX`](cellway_core::health::PROBES_MAX). More
/// answers wait inside their tasks.
const ANSWERS_MAX: usize = 64;
/// The most commands from outside that may wait.
const COMMANDS_MAX: usize = 8;

/// A command from a router's handle to its control task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Replace the configuration.
    Configure(Box<Configure>),
    /// Fetch the registry and try failing issuers again now, before their next interval.
    Refresh,
    /// Say what is known of the health of these endpoints.
    Health(Vec<EndpointId>, oneshot::Sender<Vec<EndpointHealth>>),
    /// Stop, because nobody needs snapshots any more.
    Stop,
}

/// A configuration that replaces the current one.
#[derive(Debug)]
pub(crate) struct Configure {
    /// The driver gives it the next epoch.
    pub(crate) config: Box<ActiveConfig>,
    /// The TLS configuration for sources.
    pub(crate) fetch: Arc<ClientConfig>,
    /// The key sets of issuers with keys in files.
    pub(crate) keys: Vec<(IssuerId, Bytes)>,
    /// Notified when the configuration is in force.
    pub(crate) done: oneshot::Sender<()>,
}

/// The task that owns [`Control`].
#[derive(Debug)]
pub(crate) struct Driver<E: Env, S> {
    clock: Clock<E>,
    control: Control,
    performer: Performer<E, S>,
    /// How to connect to sources. A new value applies from the next fetch on.
    tls: Arc<ArcSwap<ClientConfig>>,
    reach: Arc<ArcSwap<Reach>>,
    inbox: Inbox,
    commands: mpsc::Receiver<Command>,
    answers: mpsc::Receiver<Answer>,
    refusals: Arc<Refusals>,
    /// Key sets that were read from files before the start. They are used after the last-known-good
    /// ones are restored.
    examined: Vec<(IssuerId, Bytes)>,
}

/// The result of [`Driver::new`]: the task, and the ways to reach it.
#[derive(Debug)]
pub(crate) struct Driving<E: Env, S> {
    /// The task, which the caller must [run](Driver::run).
    pub(crate) driver: Driver<E, S>,
    /// Where it publishes snapshots.
    pub(crate) views: Arc<ViewCell>,
    /// Sends commands to it.
    pub(crate) commands: mpsc::Sender<Command>,
    /// Reaches sources as the configuration in force says.
    pub(crate) client: Client<E>,
    /// Where it notes what becomes of the registry's documents.
    pub(crate) refusals: Arc<Refusals>,
}

impl<E: Env, S: Sink> Driver<E, S> {
    /// Creates a driver that starts with this configuration. `fetch` is the TLS configuration for
    /// sources.
    #[allow(
        clippy::new_ret_no_self,
        reason = "the driver comes with the channels to it"
    )]
    pub(crate) fn new(
        env: E,
        clock: Clock<E>,
        sink: S,
        config: Arc<ActiveConfig>,
        fetch: ClientConfig,
    ) -> Driving<E, S> {
        let control = control(&env, &clock, &config.settings);
        let sources = &config.settings.sources;
        let view = View::new(Arc::clone(&config), Arc::clone(control.snapshot()));
        let (views, inbox) = ViewCell::new(view);
        let (commands, orders) = mpsc::channel(COMMANDS_MAX);
        let (answer, answers) = mpsc::channel(ANSWERS_MAX);
        let reach = Arc::new(ArcSwap::from_pointee(sources.fetch.reach()));
        let tls = Arc::new(ArcSwap::from_pointee(fetch));
        let client = Client::reaching(env.clone(), Arc::clone(&tls), Arc::clone(&reach));
        let last_known_good = sources.state.as_deref().map(LastKnownGood::new);
        let writer = last_known_good.map(|last_known_good| {
            LastKnownGoodWriter::start(&env, &clock, &sink, last_known_good)
        });
        let tasks = Tasks {
            env,
            clock: clock.clone(),
            sink: sink.clone(),
            client: client.clone(),
            registry: Arc::new(sources.registry.clone()),
            answer,
        };
        let performer = Performer {
            clock: clock.clone(),
            sink,
            config,
            views: Arc::clone(&views),
            tasks,
            writer,
            reread: false,
            checked: Checked::Nothing,
        };
        let refusals = Arc::new(Refusals::default());
        let driver = Self {
            clock,
            control,
            performer,
            tls,
            reach,
            inbox,
            commands: orders,
            answers,
            refusals: Arc::clone(&refusals),
            examined: Vec::new(),
        };
        Driving {
            driver,
            views,
            commands,
            client,
            refusals,
        }
    }

    /// Starts with these key sets, which were read from files and checked, so that what is put in
    /// force is what was checked. `checked` is the registry that was read then.
    pub(crate) fn begin_with(&mut self, keys: Vec<(IssuerId, Bytes)>, checked: Checked) {
        self.examined = keys;
        self.performer.checked = checked;
    }

    /// Restores last-known-good documents, then drives until [`Command::Stop`]. It doesn't stop
    /// when every sender of commands is dropped: a router whose handle was dropped keeps serving
    /// and needs current keys.
    pub(crate) async fn run(mut self) {
        self.drain();
        self.restore().await;
        self.drain();
        let examined = std::mem::take(&mut self.examined);
        if !examined.is_empty() {
            let policy = self.control.snapshot().policy.clone();
            self.control
                .handle_policy(self.clock.now(), policy, examined);
        }
        loop {
            self.drain();
            let wake = self.control.poll_timeout().map(|(at, _why)| at);
            let due = wake.map(|at| self.clock.instant(at));
            tokio::select! {
                biased;
                Some(command) = self.commands.recv() => match command {
                    Command::Configure(new) => self.configure(*new),
                    Command::Refresh => self.refresh(),
                    Command::Health(endpoints, answer) => {
                        let now = self.clock.now();
                        let health = endpoints.iter().map(|id| self.control.endpoint(now, *id));
                        // Nobody waits any more if the page was given up.
                        let _ = answer.send(health.collect());
                    }
                    Command::Stop => return,
                },
                () = reach(due) => self.control.handle_timeout(self.clock.now()),
                Some(answer) = self.answers.recv() => self.answer(answer),
                Some(message) = self.inbox.recv() => self.message(message),
            }
        }
    }

    /// Puts a configuration in force, together with the snapshot of its policy.
    fn configure(&mut self, new: Configure) {
        let mut config = new.config;
        // Given here, where configurations come into force one after the other, so that no two have
        // the same.
        config.epoch = self.performer.config.epoch + 1;
        let Sources {
            registry, fetch, ..
        } = &config.settings.sources;
        // First, because a new issuer is fetched from at once.
        self.tls.store(new.fetch);
        self.reach.store(Arc::new(fetch.reach()));
        self.performer.tasks.registry = Arc::new(registry.clone());
        // It was read under other settings.
        self.performer.checked = Checked::Nothing;
        let timing = registry.timing.clone();
        let health = config.settings.upstream.health.clone();
        let policy = Arc::clone(&config.settings.policy);
        self.performer.config = Arc::from(config);
        self.control
            .handle_policy(self.clock.now(), policy, new.keys);
        self.drain();
        // Control makes a snapshot only if the policy or the keys are new.
        self.performer.publish_config(self.control.snapshot());
        self.control
            .handle_registry_timing(self.clock.now(), timing);
        self.drain();
        self.control
            .handle_health_settings(self.clock.now(), health);
        self.drain();
        // Nobody waits any more if the reload was given up.
        let _ = new.done.send(());
    }

    /// Fetches the registry now. Issuers keep their schedule unless their last fetch failed: a
    /// reload must not make a whole fleet fetch from them at once, but a repaired bundle must take
    /// effect at once.
    fn refresh(&mut self) {
        self.performer.reread = true;
        self.performer.checked = Checked::Nothing;
        self.control.handle_refresh(self.clock.now());
    }

    fn answer(&mut self, answer: Answer) {
        let of_registry = matches!(answer, Answer::Registry(_));
        answer.hand_to(&mut self.control, self.clock.now());
        if of_registry {
            let refused = self.control.refused_registry();
            let refused = refused.map(|(at, why)| (*at, why.to_string()));
            let refused = refused.as_ref().map(|(at, why)| (*at, why.as_str()));
            self.refusals.registry(refused);
        }
    }

    fn message(&mut self, message: ToControl) {
        let now = self.clock.now();
        match message {
            ToControl::UnknownKey {
                issuer,
                policy,
                kid,
            } => {
                let current = &self.control.snapshot().policy;
                if let Some(issuer) = current.same_issuer(&policy, issuer) {
                    self.control.handle_unknown_key(now, issuer, kid.as_deref());
                }
            }
            ToControl::Outcome { endpoint, outcome } => {
                self.control.handle_outcome(now, endpoint, outcome);
            }
        }
    }

    fn drain(&mut self) {
        outputs::drain(&mut self.control, &mut self.performer);
    }

    /// Restores the documents of an earlier run before the first fetch, so that a restarted router
    /// never accepts an older registry than it had and can verify at once.
    async fn restore(&mut self) {
        let Some(last_known_good) = self.performer.last_known_good().cloned() else {
            return;
        };
        let env = self.performer.tasks.env.clone();
        let sources: Vec<_> = self
            .control
            .key_sources()
            .map(|(id, _, issuer)| (id, issuer.name.as_str().to_owned(), keys_source(issuer)))
            .collect();
        for (id, name, source) in sources {
            let slot = Slot::Keys(name);
            let loaded = last_known_good
                .load(&env, &slot, &source, KEYS_BYTES_MAX)
                .await;
            let Some(document) = self.performer.loaded(&last_known_good, &slot, loaded) else {
                continue;
            };
            let now = self.clock.now();
            let restored =
                self.control
                    .handle_restored_keys(now, id, &document.body, document.fetched_at);
            if let Err(refused) = restored
                && refused != RestoreError::NotNeeded
            {
                self.performer
                    .refused(&last_known_good.path(&slot), &refused.to_string());
            }
            self.drain();
        }
        let registry = Arc::clone(&self.performer.tasks.registry);
        let limit = registry.limits.document_bytes_max;
        let source = registry.location.source();
        let loaded = last_known_good
            .load(&env, &Slot::Registry, &source, limit)
            .await;
        if let Some(document) = self
            .performer
            .loaded(&last_known_good, &Slot::Registry, loaded)
        {
            let fetched_at = document.fetched_at;
            let (checked, body) = (self.performer.checked.take_kept(), document.body);
            let parsed = outputs::parse_kept(&env, &registry, body, checked).await;
            let now = self.clock.now();
            self.control
                .handle_restored_registry(now, parsed, fetched_at);
        }
    }
}

/// Waits until `due`, or forever if nothing is due.
async fn reach(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The state machines for these settings.
fn control<E: Env>(env: &E, clock: &Clock<E>, settings: &RouterSettings) -> Control {
    let mut seed = [0; 8];
    env.fill(&mut seed);
    let timing = ControlSettings {
        registry: settings.sources.registry.timing.clone(),
        health: settings.upstream.health.clone(),
    };
    let (policy, seed) = (Arc::clone(&settings.policy), u64::from_le_bytes(seed));
    Control::new(policy, timing, clock.now(), seed)
}

#[cfg(test)]
mod tests;
