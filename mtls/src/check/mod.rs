//! Whether settings, and the files that they name, can be used.
//!
//! [`check`] answers for `cellway check`; a start and a reload of a router judge by the same
//! function, so that whatever one of them refuses, the others refuse too.

mod examine;
mod finding;
mod fit;
mod registry;

pub(crate) use self::examine::examine;
pub(crate) use self::finding::Findings;
pub use self::finding::{Finding, Severity};
pub(crate) use self::registry::{Occasion, registry};

use crate::clock::Clock;
use crate::env::Env;
use crate::settings::RouterSettings;
use crate::tls::Provider;

/// Reads every file that the settings name as a router at its start would, and says everything
/// that is wrong with them: what keeps a router from starting, and what it would refuse requests
/// for. Connects to nothing. `config` is the file that the settings are from, for commands that
/// mend something.
pub async fn check<E: Env>(
    env: &E,
    provider: &Provider,
    settings: &RouterSettings,
    config: &str,
) -> Vec<Finding> {
    let now = Clock::new(env.clone()).now();
    let mut examined = examine(env, provider, settings, now, None).await;
    let registry = registry(env, settings, Occasion::Check, &mut examined.findings).await;
    examined.fit(env, registry.as_deref(), config, now).await;
    examined.findings.into_vec()
}
