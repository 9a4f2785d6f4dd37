//! Checks settings together with all files that they name.
//!
//! `cellway check`, a start and a reload all use [`examine`], so that none of them accepts what
//! another refuses. The router uses the same file contents that were checked.

use std::io::ErrorKind;

use bytes::Bytes;
use cellway_core::keys::{JwksError, JwksErrorReason, KeySet};
use cellway_core::policy::{IssuerId, KeysLocation};
use cellway_core::registry::Registry;
use cellway_core::{Now, Unix};
use cellway_env::fetch::KEYS_BYTES_MAX;
use cellway_env::{Env, Privacy, Store};
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fit::fit;
use super::secrets::exposed;
use crate::active_config::ActiveConfig;
use crate::control_plane::last_known_good::{LastKnownGood, Slot};
use crate::control_plane::sources::bearer_token;
use crate::error::ReloadError;
use crate::finding::{Finding, Findings};
use crate::settings::RegistryLocation;
use crate::settings::RouterSettings;
use crate::tls::{self, Provider};

/// Settings, what was loaded from their files, and the findings.
#[derive(Debug)]
pub(crate) struct Examined {
    active: ActiveConfig,
    fetch: Option<ClientConfig>,
    keys: Vec<(IssuerId, Bytes)>,
    pub(crate) findings: Findings,
}

/// Settings that a router can use, with everything read from their files.
#[derive(Debug)]
pub(crate) struct Usable {
    pub(crate) active: ActiveConfig,
    /// The TLS configuration for sources.
    pub(crate) fetch: ClientConfig,
    /// The key sets that are in files.
    pub(crate) keys: Vec<(IssuerId, Bytes)>,
    /// The warnings. The router runs in spite of them.
    pub(crate) warnings: Vec<Finding>,
}

/// Reads and checks every file that the settings name, except the registry, which may have a
/// last-known-good copy and is checked by [`registry`](super::registry()). `before` is what is in
/// force now.
pub(crate) async fn examine<E: Env>(
    env: &E,
    provider: &Provider,
    settings: &RouterSettings,
    now: Now,
    before: Option<&ActiveConfig>,
) -> Examined {
    let mut findings = Findings::default();
    let active =
        ActiveConfig::load(env, provider, settings.clone(), now, before, &mut findings).await;
    let fetch = tls::router_source_config(env, provider, settings).await;
    let fetch = findings.take("fetch", fetch);
    let keys = key_files(env, settings, &mut findings).await;
    token_file(env, settings, &mut findings).await;
    if let Some(directory) = &settings.sources.state {
        state_directory(env, directory, &mut findings).await;
    }
    exposed(env, settings, &mut findings).await;
    Examined {
        active,
        fetch,
        keys,
        findings,
    }
}

impl Examined {
    /// Adds the findings of [`fit`](super::fit): things that don't fit together.
    pub(crate) async fn fit<E: Env>(
        &mut self,
        env: &E,
        registry: Option<&Registry>,
        config: &str,
        now: Now,
    ) {
        fit(env, &self.active, registry, config, now, &mut self.findings).await;
    }

    /// Adds warnings for certificates that expire soon. A running router reports them itself.
    pub(crate) fn ending(&mut self, now: Unix) {
        for certificate in self.active.certificates.iter() {
            let Some(problem) = certificate
                .warning(now)
                .filter(|_| now < certificate.not_after)
            else {
                continue;
            };
            let fix = "renew it before that";
            let setting = certificate.setting.to_string();
            self.findings.warning(setting, problem, fix);
        }
    }

    /// The result to apply.
    ///
    /// # Errors
    /// All errors, without the warnings. Then nothing may be used.
    pub(crate) fn usable(self) -> Result<Usable, ReloadError> {
        let (errors, warnings) = self.findings.parted();
        match self.fetch {
            Some(fetch) if errors.is_empty() => Ok(Usable {
                active: self.active,
                fetch,
                keys: self.keys,
                warnings,
            }),
            _ => Err(ReloadError { findings: errors }),
        }
    }
}

async fn key_files<E: Env>(
    env: &E,
    settings: &RouterSettings,
    findings: &mut Findings,
) -> Vec<(IssuerId, Bytes)> {
    let mut keys = Vec::new();
    let policy = &settings.policy;
    for (i, (id, issuer)) in policy.issuer_ids().zip(&policy.issuers).enumerate() {
        let KeysLocation::File(path) = &issuer.keys else {
            continue;
        };
        let read = env.store().read(path, KEYS_BYTES_MAX, Privacy::Any).await;
        let good = match read {
            Err(error) => Err(format!("{path} can't be read: {error}")),
            Ok(body) if body.trim_ascii_start().starts_with(b"-----BEGIN ") => Err(format!(
                "{path} is PEM, and a key set must be JSON (RFC 7517); docs/tokens.md, \"A key set from \
                 a PEM key\", shows how to make one"
            )),
            Ok(body) => match KeySet::parse(&body, &issuer.algorithms) {
                Ok(_) => Ok(body),
                Err(refused) => {
                    let line = line_of(&body, &refused);
                    let line = line.map_or_else(String::new, |line| format!(" (line {line})"));
                    Err(format!("{path}: {refused}{line}"))
                }
            },
        };
        let good = findings.take(format!("issuer[{i}].jwks_file"), good);
        keys.extend(good.map(|body| (id, body)));
    }
    keys
}

/// The line of the first unusable key of a set, or of the list without a usable one. `None` if the
/// file has only one line, or if the text of the mistake names the line.
fn line_of(body: &[u8], refused: &JwksError) -> Option<usize> {
    #[derive(Deserialize)]
    struct Set<'a> {
        #[serde(borrow)]
        keys: &'a RawValue,
    }
    if !body.trim_ascii_end().contains(&b'\n') || refused.reason == JwksErrorReason::Malformed {
        return None;
    }
    // The key set was parsed without the mark too.
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let keys = serde_json::from_slice::<Set<'_>>(body).ok()?.keys;
    let found = match refused.skipped.first() {
        None => keys,
        Some(first) => {
            let entries: Vec<&RawValue> = serde_json::from_str(keys.get()).ok()?;
            *entries.get(first.at)?
        }
    };
    // The value is a slice of the body, so this is its offset.
    let start = found.get().as_ptr() as usize - body.as_ptr() as usize;
    let before = body.get(..start)?.iter();
    Some(before.filter(|byte| **byte == b'\n').count() + 1)
}

/// The token for the control plane is read at every fetch. This only checks that it is usable.
async fn token_file<E: Env>(env: &E, settings: &RouterSettings, findings: &mut Findings) {
    if let RegistryLocation::Http {
        token_file: Some(path),
        ..
    } = &settings.sources.registry.location
    {
        let token = bearer_token(env, path).await;
        findings.take("registry.token_file", token);
    }
}

/// The folder may be missing, because the first document that is kept creates it. But a file in its
/// place would lose every document, and so would a folder that the router can't write.
pub(super) async fn state_directory<E: Env>(env: &E, directory: &str, findings: &mut Findings) {
    let inside = LastKnownGood::new(directory).path(&Slot::Registry);
    let found = env.store().stat(&inside).await;
    if found.is_err_and(|error| error.kind() == ErrorKind::NotADirectory) {
        let problem = format!("{directory} is a file, or lies below one, and must be a folder");
        let fix = "name a folder that only this router uses; the router creates it";
        findings.error("state.directory", problem, fix);
    } else if let Err(error) = env.store().can_replace(&inside).await {
        let problem = format!(
            "{directory} can't be written, so the router would keep no registry and no keys for its \
             next start: {error}"
        );
        let fix = "give the folder to the user that the router runs as, or name another one";
        findings.warning("state.directory", problem, fix);
    }
}
