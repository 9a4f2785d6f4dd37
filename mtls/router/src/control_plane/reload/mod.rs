//! Changes settings while a router runs.
//!
//! The reloader checks files for changes every few seconds (one `stat` each, through the
//! environment's store, so that the simulator sees it too), and whenever an operator asks. It first
//! reads, checks and builds everything, and only then puts it in force. If a file is bad, the old
//! settings stay in force and the mistake is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use cellway_core::policy::KeysLocation;
use cellway_env::{Env, Privacy, Stat, Store};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::config::{Config, LogTable};
use crate::control_plane::apply::Applier;
use crate::envelope;
use crate::error::ReloadError;
use crate::finding::Finding;
use crate::observe::event::{Changed, Event, Sink};
use crate::observe::log::{LogChange, LogControl, LogError, subjects};
use crate::settings::RegistryLocation;
use crate::settings::{DrainTimes, Pem, RouterSettings};

/// Keeps a router's settings equal to its configuration file and the files that it names.
#[derive(Debug)]
pub struct Reloader<E: Env, S: Sink, V> {
    applier: Arc<Applier<E, S>>,
    file: String,
    variables: V,
    config: Config,
    /// The configuration that was refused last. It may only lack a file that it names, so these
    /// files are watched too.
    refused: Option<Config>,
    /// Each file's state at the last check.
    seen: BTreeMap<String, Option<Stat>>,
    /// Files that have changed but aren't in force yet.
    changed: BTreeSet<String>,
    /// The process's log. `None` if the reloader has none.
    log: Option<LogControl>,
    drain: DrainInForce,
}

/// The times of a drain in force. Each reload that succeeds may change them.
#[derive(Clone, Debug)]
pub struct DrainInForce(Arc<Mutex<DrainTimes>>);

impl DrainInForce {
    fn new(times: DrainTimes) -> Self {
        Self(Arc::new(Mutex::new(times)))
    }

    fn set(&self, times: DrainTimes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = times;
    }

    /// How the router drains if SIGTERM comes now.
    pub fn get(&self) -> DrainTimes {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Env, S: Sink, V> Reloader<E, S, V> {
    pub(crate) fn over(
        applier: Arc<Applier<E, S>>,
        file: &str,
        variables: V,
        config: Config,
    ) -> Self {
        Self {
            drain: DrainInForce::new(config.drain),
            applier,
            file: file.to_owned(),
            variables,
            config,
            refused: None,
            seen: BTreeMap::new(),
            changed: BTreeSet::new(),
            log: None,
        }
    }
}

impl<E, S, V, I> Reloader<E, S, V>
where
    E: Env,
    S: Sink,
    V: Fn() -> I + Send + 'static,
    I: IntoIterator<Item = (String, String)>,
{
    /// Also applies changes of `[log]` to this log.
    #[must_use]
    pub fn with_log(self, log: LogControl) -> Self {
        let log = Some(log);
        Self { log, ..self }
    }

    /// The times of a drain, now and after later reloads.
    pub fn drain_times(&self) -> DrainInForce {
        self.drain.clone()
    }

    /// Reloads whenever a file has changed and whenever `asked` is notified. Runs forever.
    pub async fn run(mut self, asked: Arc<Notify>) {
        self.seen = self.look().await;
        loop {
            let by_order = tokio::select! {
                biased;
                () = asked.notified() => true,
                () = sleep(self.config.watch) => false,
            };
            let now = self.look().await;
            // Bad settings are tried again when a file changes, not at every check. A file that is
            // no longer named is not a change here: the file that named it has changed.
            let changed = (now.iter()).filter(|(file, stat)| self.seen.get(*file) != Some(stat));
            let changed: Vec<_> = changed.map(|(file, _)| file.clone()).collect();
            if by_order || !changed.is_empty() {
                self.changed.extend(changed);
                self.seen = now;
                self.reload().await;
            }
        }
    }

    /// Reads everything again, and puts it in force if everything is good.
    pub async fn reload(&mut self) {
        self.refused = None;
        let config = match self.read().await {
            Ok(config) => config,
            Err(error) => return self.refuse(&error),
        };
        self.refused = Some(config.clone());
        self.look_at_more().await;
        let log = match self.prepare_log(&config.log).await {
            Ok(log) => log,
            Err(error) => return self.refuse(&format!("{}: {error}", error.setting())),
        };
        // If files that it names are bad, the handle reports that to the sink.
        if self.apply(&config, log).await.is_ok() {
            self.drain.set(config.drain);
            self.config = config;
            self.refused = None;
            self.changed.clear();
        }
    }

    fn refuse(&self, error: &str) {
        self.applier.refuse(error);
    }

    async fn prepare_log(&self, settings: &LogTable) -> Result<Option<LogChange>, LogError> {
        match &self.log {
            Some(log) => log.prepare(self.applier.env(), settings).await.map(Some),
            // There is no log to change, but a reload must refuse what a start would refuse.
            None => subjects(self.applier.env(), settings).await.map(|_| None),
        }
    }

    /// Applies a configuration: first the router's settings, if they are good, and then the log's,
    /// which can't fail any more.
    async fn apply(&mut self, config: &Config, log: Option<LogChange>) -> Result<(), ReloadError> {
        let named = self.named_by(config).await;
        let changed = Changed {
            settings: config.stated.changed(&self.config.stated),
            files: self.changed.intersection(&named).cloned().collect(),
            digest: Some(config.stated.digest()),
        };
        let (applier, control) = (&self.applier, &mut self.log);
        let switch = || {
            let (Some(control), Some(log)) = (control, log) else {
                return;
            };
            if let Some(to) = log.moves_to() {
                applier.reporter().emit(&Event::LogMoved { to });
            }
            control.commit(log);
        };
        let settings = config.router.clone();
        let stated = Some((self.file.as_str(), &config.stated));
        applier.apply(settings, (&changed, stated), switch).await
    }

    /// Notes the state of files that only the new settings name, before they are read. So a change
    /// while they are read is seen at the next check.
    async fn look_at_more(&mut self) {
        for (file, stat) in self.look().await {
            self.seen.entry(file).or_insert(stat);
        }
    }

    async fn read(&self) -> Result<Config, String> {
        let store = self.applier.env().store();
        let content = store.read(&self.file, Config::BYTES_MAX, Privacy::Any);
        let content = content
            .await
            .map_err(|error| format!("{}: {error}", self.file))?;
        let text = std::str::from_utf8(&content)
            .map_err(|_| format!("{}: is not UTF-8 text", self.file))?;
        let config = Config::load(&self.file, text, (self.variables)())
            .map_err(|errors| errors.to_string())?;
        self.same_for_good(&config)?;
        Ok(config)
    }

    /// Refuses changes of settings that only apply at the start of the process.
    fn same_for_good(&self, new: &Config) -> Result<(), String> {
        let old = &self.config;
        let changed = [
            ("admin.bind", old.admin != new.admin),
            ("health.bind", old.health != new.health),
            ("runtime.workers", old.workers != new.workers),
            (
                "runtime.share_addresses",
                old.share_addresses != new.share_addresses,
            ),
        ];
        let changed = changed.into_iter().filter(|(_, changed)| *changed);
        let findings: Vec<_> = changed
            .map(|(setting, _)| {
                Finding::error(
                    setting,
                    "can't change while the router runs; undo it, restart the router, or upgrade it with \
                     SIGUSR2, which loses no connection (docs/drain.md)",
                )
            })
            .collect();
        match findings.is_empty() {
            true => Ok(()),
            false => Err(new.stated.located(&self.file, &findings)),
        }
    }

    /// The present state of all files that the settings in force or the refused settings name.
    async fn look(&self) -> BTreeMap<String, Option<Stat>> {
        let mut files = self.named_by(&self.config).await;
        if let Some(refused) = &self.refused {
            files.extend(self.named_by(refused).await);
        }
        let mut stats = BTreeMap::new();
        for file in files {
            let stat = self.applier.env().store().stat(&file).await.ok();
            stats.insert(file, stat);
        }
        stats
    }

    /// The configuration's own file, and the files that it names.
    async fn named_by(&self, config: &Config) -> BTreeSet<String> {
        let mut files = files_of(&config.router);
        files.insert(self.file.clone());
        files.extend(config.log.subject_key.clone());
        if let Some(envelope) = &config.router.envelope {
            files.extend(envelope::files(self.applier.env(), envelope).await);
        }
        files
    }
}

/// The files that settings name, except the registry's, because the registry's source checks that
/// one.
fn files_of(settings: &RouterSettings) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut add = |pem: &Pem| {
        if let Pem::File(path) = pem {
            files.insert(path.clone());
        }
    };
    let listeners = settings.listeners.iter();
    let listeners = listeners.filter_map(|listener| listener.tls.as_ref());
    let admin = settings.admin_tls.as_ref();
    let pairs = listeners
        .map(|tls| &tls.identity)
        .chain(admin.map(|tls| &tls.identity))
        .chain(&settings.upstream.identity)
        .chain(&settings.sources.fetch.identity);
    for pair in pairs {
        add(&pair.certificate);
        add(&pair.key);
    }
    let bundles = [
        &settings.trust_bundle,
        &settings.upstream.bundle,
        &settings.sources.fetch.bundle,
    ];
    let lists = &settings.revocation.lists;
    let of_admin = admin.into_iter();
    let of_admin = of_admin.flat_map(|tls| tls.revocation.lists.iter().chain([&tls.bundle]));
    let domains = settings.domain_bundles.iter().map(|domain| &domain.bundle);
    let all = bundles.into_iter().flatten().chain(domains).chain(lists);
    all.chain(of_admin).for_each(add);
    for issuer in &settings.policy.issuers {
        if let KeysLocation::File(path) = &issuer.keys {
            files.insert(path.to_string());
        }
    }
    if let RegistryLocation::Http { token_file, .. } = &settings.sources.registry.location {
        files.extend(token_file.clone());
    }
    files
}

#[cfg(test)]
mod tests;
