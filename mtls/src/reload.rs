//! Settings that change while a router runs.
//!
//! Files are looked at every few seconds (a `stat` each, through the environment's store, so that
//! the simulator sees it too), and an operator may ask. Either way everything is read, checked and
//! built anew, and only then put in force: a bad file leaves the old in force, and says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cellway_core::policy::KeysLocation;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::config::Config;
use crate::env::{Env, Privacy, Stat, Store};
use crate::envelope;
use crate::event::{Event, Sink};
use crate::fetch::RegistryLocation;
use crate::log::Subjects;
use crate::router::Handle;
use crate::settings::{Pem, RouterSettings};

/// Keeps a router at what its configuration file, and the files that this names, say.
#[derive(Debug)]
pub struct Reloader<E: Env, S: Sink, V> {
    env: E,
    handle: Handle<E, S>,
    sink: S,
    file: String,
    variables: V,
    config: Config,
    /// What was read last and refused: a file that it names may be all that it lacks.
    refused: Option<RouterSettings>,
    /// What each file was when it was last looked at.
    seen: BTreeMap<String, Option<Stat>>,
}

impl<E, S, V, I> Reloader<E, S, V>
where
    E: Env,
    S: Sink,
    V: Fn() -> I + Send + 'static,
    I: IntoIterator<Item = (String, String)>,
{
    /// For the router behind `handle`, which was started from `config`, which was read from
    /// `file` with overrides from `variables`.
    pub fn new(
        env: E,
        handle: Handle<E, S>,
        sink: S,
        file: &str,
        variables: V,
        config: Config,
    ) -> Self {
        Self {
            env,
            handle,
            sink,
            file: file.to_owned(),
            variables,
            config,
            refused: None,
            seen: BTreeMap::new(),
        }
    }

    /// Reloads whenever a file has changed and whenever `asked` is notified, without end.
    pub async fn run(mut self, asked: Arc<Notify>) {
        self.seen = self.look().await;
        loop {
            let by_order = tokio::select! {
                biased;
                () = asked.notified() => true,
                () = sleep(self.config.watch) => false,
            };
            let now = self.look().await;
            // What is bad is tried again when it changes, not at every look. A file that nothing
            // names any more is no change: what named it is one.
            let changed = (now.iter()).any(|(file, stat)| self.seen.get(file) != Some(stat));
            if by_order || changed {
                self.seen = now;
                self.reload().await;
            }
        }
    }

    /// Reads everything again and puts it in force, if all of it is good.
    pub async fn reload(&mut self) {
        match self.read().await {
            Ok(config) => {
                self.refused = Some(config.router.clone());
                self.look_at_more().await;
                // What is wrong with the files it names, the handle tells the sink.
                if self.handle.apply(config.router.clone()).await.is_ok() {
                    self.config = config;
                    self.refused = None;
                }
            }
            Err(error) => {
                self.refused = None;
                let event = Event::ReloadRefused { error: &error };
                self.sink.emit(self.handle.clock().now(), &event);
            }
        }
    }

    /// Looks at the files that only the settings about to be tried name, before they are read: a
    /// change that comes while they are is seen at the next look.
    async fn look_at_more(&mut self) {
        for (file, stat) in self.look().await {
            self.seen.entry(file).or_insert(stat);
        }
    }

    async fn read(&self) -> Result<Config, String> {
        let store = self.env.store();
        let content = store.read(&self.file, Config::BYTES_MAX, Privacy::Any);
        let content = content
            .await
            .map_err(|error| format!("{}: {error}", self.file))?;
        let text = std::str::from_utf8(&content)
            .map_err(|_| format!("{}: is no UTF-8 text", self.file))?;
        let config = Config::load(&self.file, text, (self.variables)())
            .map_err(|errors| errors.to_string())?;
        self.same_for_good(&config)?;
        // It is read only at start, but a file that the next start would refuse is refused now.
        let key = config.log.subject_key.as_deref();
        let subjects = Subjects::load(&self.env, config.log.subject, key).await;
        subjects.map_err(|error| format!("log.subject_key: {error}"))?;
        Ok(config)
    }

    /// What is set once, at the start of the process.
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
            ("log", old.log != new.log),
        ];
        match changed.iter().find(|(_, changed)| *changed) {
            None => Ok(()),
            Some((setting, _)) => Err(format!(
                "{setting}: can't change while the router runs; restart it"
            )),
        }
    }

    /// What all files are at present: those in force, and those that would be.
    async fn look(&self) -> BTreeMap<String, Option<Stat>> {
        let mut files = BTreeSet::from([self.file.clone()]);
        files.extend(self.config.log.subject_key.clone());
        for settings in [Some(&self.config.router), self.refused.as_ref()] {
            let Some(settings) = settings else { continue };
            files.extend(files_of(settings));
            if let Some(envelope) = &settings.envelope {
                files.extend(envelope::files(&self.env, envelope).await);
            }
        }
        let mut stats = BTreeMap::new();
        for file in files {
            let stat = self.env.store().stat(&file).await.ok();
            stats.insert(file, stat);
        }
        stats
    }
}

/// The files that settings name, except a registry's, which its source looks at itself.
fn files_of(settings: &RouterSettings) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut add = |pem: &Pem| {
        if let Pem::File(path) = pem {
            files.insert(path.clone());
        }
    };
    let listeners = settings.listeners.iter();
    let listeners = listeners.filter_map(|listener| listener.tls.as_ref());
    let pairs = listeners
        .map(|tls| &tls.identity)
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
    let domains = settings.domain_bundles.iter().map(|domain| &domain.bundle);
    let all = bundles.into_iter().flatten().chain(domains).chain(lists);
    all.for_each(add);
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

#[cfg(all(test, feature = "demo"))]
mod tests;
