//! Whether the files that settings name can be used.

use std::fmt;

use cellway_core::keys::KeySet;
use cellway_core::policy::KeysLocation;
use cellway_core::registry::{Candidate, Parsed, Registry};

use crate::clock::Clock;
use crate::env::{Env, Privacy, Store};
use crate::envelope::{Sealer, without_key};
use crate::fetch::{KEYS_BYTES_MAX, RegistryLocation};
use crate::settings::RouterSettings;
use crate::tls::{CellTls, Provider, ServerTls, Trust, source_config};

/// Most cells that are named because no key for envelopes is shared with them.
const CELLS_NAMED_MAX: usize = 16;

/// A file that can't be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileProblem {
    /// The setting that names it, or the table if several do.
    pub setting: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

/// Reads certificates, keys, bundles, key sets and the registry as a router at its start would,
/// and says everything that is wrong with them. Connects to nothing. `config` is the file that the
/// settings are from, for commands that mend something.
pub async fn check_files<E: Env>(
    env: &E,
    provider: &Provider,
    settings: &RouterSettings,
    config: &str,
) -> Vec<FileProblem> {
    let mut problems = Problems(Vec::new());
    listeners(env, provider, settings, &mut problems).await;
    let cells = CellTls::load(env, provider, &settings.upstream).await;
    problems.note("upstream", cells.err());
    let fetch = source_config(env, provider, &settings.sources.fetch).await;
    problems.note("fetch", fetch.err());
    for (i, issuer) in settings.policy.issuers.iter().enumerate() {
        if let KeysLocation::File(path) = &issuer.keys {
            let setting = format!("issuer[{i}].jwks_file");
            match env.store().read(path, KEYS_BYTES_MAX, Privacy::Any).await {
                Err(error) => problems.note(&setting, Some(format!("{path}: {error}"))),
                Ok(body) => {
                    let refused = KeySet::parse(&body, &issuer.algorithms).err();
                    let refused = refused.map(|refused| format!("{path}: {refused}"));
                    problems.note(&setting, refused);
                }
            }
        }
    }
    let registry = registry(env, settings, &mut problems).await;
    envelope(
        env,
        settings,
        config,
        registry.as_deref().map(Candidate::registry),
        &mut problems,
    )
    .await;
    problems.0
}

struct Problems(Vec<FileProblem>);

impl Problems {
    fn note(&mut self, setting: &str, problem: Option<impl fmt::Display>) {
        self.0.extend(problem.map(|problem| FileProblem {
            setting: setting.to_owned(),
            problem: problem.to_string(),
        }));
    }
}

async fn listeners<E: Env>(
    env: &E,
    provider: &Provider,
    settings: &RouterSettings,
    problems: &mut Problems,
) {
    let trust = match Trust::load(env, settings).await {
        Ok(trust) => trust,
        Err((setting, error)) => {
            // The listeners' own files are checked all the same.
            problems.note(&setting, Some(error));
            None
        }
    };
    for (i, listener) in settings.listeners.iter().enumerate() {
        let Some(tls) = &listener.tls else { continue };
        let mut tls = tls.clone();
        if trust.is_none() {
            // Without a usable bundle, which was said above.
            tls.client_certificate = crate::settings::ClientCertificate::None;
        }
        let loaded = ServerTls::load(env, provider, &tls, trust.as_ref()).await;
        problems.note(&format!("listener[{i}].tls"), loaded.err());
    }
}

/// The keys, and whether each cell of the registry has one, where that is a file.
async fn envelope<E: Env>(
    env: &E,
    settings: &RouterSettings,
    config: &str,
    registry: Option<&Registry>,
    problems: &mut Problems,
) {
    let Some(envelope) = &settings.envelope else {
        return;
    };
    let now = Clock::new(env.clone()).now();
    let sealer = match Sealer::load(env, envelope, now, None).await {
        Ok(sealer) => sealer,
        Err(error) => return problems.note("envelope.keys", Some(error)),
    };
    let cells = (registry.into_iter()).flat_map(|registry| without_key(&sealer, registry, now));
    for cell in cells.take(CELLS_NAMED_MAX) {
        let problem = format!(
            "{}: no key is shared with cell `{cell}`, so that its requests would be refused\n    \
             cellway envelope-key new -c {config} --cell {cell}",
            envelope.keys
        );
        problems.note("envelope.keys", Some(problem));
    }
}

/// Says what is wrong with the registry's file; what is right in it.
async fn registry<E: Env>(
    env: &E,
    settings: &RouterSettings,
    problems: &mut Problems,
) -> Option<Box<Candidate>> {
    let registry = &settings.sources.registry;
    let limit = registry.limits.document_bytes_max;
    let (setting, path) = match &registry.location {
        RegistryLocation::File(path) => ("registry.file", path),
        RegistryLocation::Http {
            token_file: Some(path),
            ..
        } => ("registry.token_file", path),
        RegistryLocation::Http { .. } | RegistryLocation::Text(_) => return None,
    };
    let mut good = None;
    let problem = match env.store().read(path, limit, Privacy::Any).await {
        Err(error) if setting == "registry.file" => Some(format!(
            "{error}\n    docs/registry.md shows what stands in it"
        )),
        Err(error) => Some(error.to_string()),
        Ok(body) if setting == "registry.file" => {
            let (format, limits) = (registry.location.format(), registry.limits.clone());
            let parsed = env.heavy(move || Registry::parse(&body, format, None, &limits));
            match parsed.await {
                Ok(parsed) => {
                    // Compared with none, so it isn't unchanged.
                    good = match parsed {
                        Parsed::Changed(candidate) => Some(candidate),
                        Parsed::Unchanged(_) => None,
                    };
                    None
                }
                Err(refused) => Some(refused.to_string()),
            }
        }
        Ok(_) => None,
    };
    problems.note(setting, problem.map(|problem| format!("{path}: {problem}")));
    good
}
