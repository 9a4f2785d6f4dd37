//! Checks whether settings and the files that they name can be used.
//!
//! [`check`] is `cellway check`. A router's start and reload use the same function, so that they
//! refuse the same settings.

mod bundles;
mod examine;
mod fit;
mod named;
mod registry;
mod secrets;

pub(crate) use self::examine::{Usable, examine};
pub use self::named::unreadable;
pub(crate) use self::registry::{Occasion, registry};

use cellway_env::{Clock, Env};

pub use crate::finding::{Finding, Severity};
use crate::settings::RouterSettings;
use crate::tls::Provider;

/// Reads every file that the settings name, as a router does at start. Returns all errors, with
/// which a router wouldn't start, and all warnings, with which it would ([`Severity`]). It makes no
/// connections. `config` is the name of the settings' file, for suggested commands.
pub async fn check<E: Env>(
    env: &E,
    provider: &Provider,
    settings: &RouterSettings,
    config: &str,
) -> Vec<Finding> {
    let now = Clock::new(env.clone()).now();
    let mut examined = examine(env, provider, settings, now, None).await;
    let found = registry(env, settings, Occasion::Check, &mut examined.findings).await;
    examined
        .fit(env, found.registry.as_deref(), config, now)
        .await;
    examined.ending(now.unix);
    examined.findings.into_vec()
}

#[cfg(test)]
mod tests;
