//! Puts new settings in force while the router runs.

use std::sync::Arc;

use cellway_core::policy::Mode;
use cellway_env::Env;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::config::Stated;
use crate::control_plane::check::{Usable, examine};
use crate::control_plane::driver::{Command, Configure};
use crate::error::ReloadError;
use crate::finding::Finding;
use crate::observe::event::{Changed, Event, Sink};
use crate::observe::{Refusals, Refused, Reporter};
use crate::settings::{ListenerSettings, RouterSettings};
use crate::tls::Provider;
use crate::view::ViewCell;

/// The configuration file's name in the commands that messages suggest. An embedded router has no
/// file.
pub(crate) const FILE: &str = "FILE";

/// Replaces the configuration of one router.
#[derive(Debug)]
pub(crate) struct Applier<E: Env, S> {
    env: E,
    provider: Provider,
    views: Arc<ViewCell>,
    reporter: Reporter<E, S>,
    commands: mpsc::Sender<Command>,
    refusals: Arc<Refusals>,
    /// Held while settings are replaced: one at a time.
    applying: Mutex<()>,
}

impl<E: Env, S: Sink> Applier<E, S> {
    pub(crate) fn new(
        env: E,
        provider: Provider,
        views: Arc<ViewCell>,
        reporter: Reporter<E, S>,
        (commands, refusals): (mpsc::Sender<Command>, Arc<Refusals>),
    ) -> Self {
        Self {
            env,
            provider,
            views,
            reporter,
            commands,
            refusals,
            applying: Mutex::new(()),
        }
    }

    pub(crate) fn env(&self) -> &E {
        &self.env
    }

    pub(crate) fn reporter(&self) -> &Reporter<E, S> {
        &self.reporter
    }

    /// What was refused and not corrected since.
    pub(crate) fn refused(&self) -> Refused {
        self.refusals.current()
    }

    /// Reports that new settings are refused.
    pub(crate) fn refuse(&self, error: &str) {
        let now = self.reporter.now();
        self.refusals.reload(Some((now.unix, error)));
        self.reporter.emit_at(now, &Event::ReloadRefused { error });
    }

    /// As [`apply`](Self::apply), in a task of its own: settings that come into force are reported
    /// even if the caller stops waiting.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub(crate) async fn apply_detached(
        self: &Arc<Self>,
        settings: RouterSettings,
    ) -> Result<(), ReloadError> {
        let (done, result) = oneshot::channel();
        let applier = Arc::clone(self);
        self.env.spawn(async move {
            let applied = applier
                .apply(settings, (&Changed::default(), None), || ())
                .await;
            // An error only says that nobody waits any more.
            let _ = done.send(applied);
        });
        result.await.unwrap_or_else(|_| Err(drained()))
    }

    /// Reads every file of the settings, and puts all of it in force if all of it is good. Reports it
    /// as a change of `changed`, and refused settings with their place in the file, if they are `stated` in
    /// one. `also` is done once the settings are in force, before that is reported.
    ///
    /// # Errors
    /// What is wrong with them; the old are still in force.
    pub(crate) async fn apply(
        &self,
        settings: RouterSettings,
        (changed, stated): (&Changed, Option<(&str, &Stated)>),
        also: impl FnOnce() + Send,
    ) -> Result<(), ReloadError> {
        let _one_at_a_time = self.applying.lock().await;
        match self.replace(settings).await {
            Ok(warnings) => {
                also();
                self.refusals.reload(None);
                self.reporter.emit(&Event::Reloaded { changed });
                self.warn(&warnings);
                Ok(())
            }
            Err(refused) => {
                match stated {
                    Some((file, stated)) => self.refuse(&stated.located(file, &refused.findings)),
                    None => self.refuse(&refused.to_string()),
                }
                Err(refused)
            }
        }
    }

    async fn replace(&self, settings: RouterSettings) -> Result<Vec<Finding>, ReloadError> {
        let before = self.views.config();
        same_for_good(&before.settings, &settings)?;
        let (env, provider, now) = (&self.env, &self.provider, self.reporter.now());
        let mut examined = examine(env, provider, &settings, now, Some(&before)).await;
        let registry = self.views.snapshot().registry.clone();
        examined.fit(env, registry.as_deref(), FILE, now).await;
        let Usable {
            active,
            fetch,
            keys,
            warnings,
        } = examined.usable()?;
        let (done, in_force) = oneshot::channel();
        let configure = Configure {
            config: Box::new(active),
            fetch: Arc::new(fetch),
            keys,
            done,
        };
        let configure = Command::Configure(Box::new(configure));
        let sent = self.commands.send(configure).await;
        sent.map_err(|_| drained())?;
        in_force.await.map_err(|_| drained())?;
        let _ = self.commands.send(Command::Refresh).await;
        Ok(warnings)
    }

    /// Reports the warnings about the settings in force, and policies that authenticate nobody, so
    /// that a mode from a test isn't forgotten.
    pub(crate) fn warn(&self, warnings: &[Finding]) {
        for finding in warnings {
            self.reporter.emit(&Event::ConfigWarning { finding });
        }
        let config = self.views.config();
        let auths = config.settings.policy.auths().iter();
        for auth in auths.filter(|auth| auth.mode == Mode::Disabled) {
            let policy = &auth.name;
            self.reporter.emit(&Event::Insecure { policy });
        }
    }
}

/// The error of a reload that came too late. It is about no setting.
fn drained() -> ReloadError {
    ReloadError::new("", "the router has drained, so nothing was changed")
}

/// Refuses changes that a running router can't make: listeners' addresses, the registry's source
/// and the state directory. Otherwise clients would find out that an address is missing.
fn same_for_good(before: &RouterSettings, after: &RouterSettings) -> Result<(), ReloadError> {
    let changed = [
        (
            "registry",
            before.sources.registry.location != after.sources.registry.location,
            "the source of the registry can only change at a restart; restart the router",
        ),
        (
            "admin.tls",
            before.admin_tls.is_some() != after.admin_tls.is_some(),
            "can only be added or removed at a restart; restart the router",
        ),
        (
            "state.directory",
            before.sources.state != after.sources.state,
            "it can only change at a restart; restart the router",
        ),
    ];
    let changed = changed.into_iter().filter(|(_, changed, _)| *changed);
    let changed = changed.map(|(setting, _, problem)| Finding::error(setting, problem));
    let moved = moved_listeners(&before.listeners, &after.listeners);
    let findings: Vec<_> = moved.into_iter().chain(changed).collect();
    match findings.is_empty() {
        true => Ok(()),
        false => Err(ReloadError { findings }),
    }
}

/// What differs in the names and addresses of listeners.
fn moved_listeners(before: &[ListenerSettings], after: &[ListenerSettings]) -> Vec<Finding> {
    const FIX: &str = "undo it, restart the router, or upgrade it with SIGUSR2, which loses no connection \
                       (docs/drain.md)";
    let (count, new_count) = (before.len(), after.len());
    if count != new_count {
        let problem = format!(
            "there are {new_count} listeners instead of {count}, and their number can't change while the \
             router runs; {FIX}"
        );
        return vec![Finding::error("listener", problem)];
    }
    let mut findings = Vec::new();
    for (at, (old, new)) in before.iter().zip(after).enumerate() {
        let (was, is) = (old.bind.to_string(), new.bind.to_string());
        let differences = [
            ("name", &*old.name, &*new.name),
            ("bind", was.as_str(), is.as_str()),
        ];
        for (setting, was, is) in differences.into_iter().filter(|(_, was, is)| was != is) {
            let problem = format!("can't change from {was} to {is} while the router runs; {FIX}");
            findings.push(Finding::error(format!("listener[{at}].{setting}"), problem));
        }
    }
    findings
}
