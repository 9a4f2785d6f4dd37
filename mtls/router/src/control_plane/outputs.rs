//! The loop over the outputs of [`Control`], for the router's driver and for `explain`.
//!
//! It is the loop that core's documentation describes: [`drain`] the outputs, wait for an [`Answer`],
//! [hand it in](Answer::hand_to), and drain again.

use std::sync::Arc;

use bytes::Bytes;
use cellway_core::control::{Control, KeySourceId, Notice, Output, Retired};
use cellway_core::health::{Probe, ProbeFailure, ProbeId};
use cellway_core::keys::JwksFetchError;
use cellway_core::policy::{Issuer, Policy};
use cellway_core::registry::{
    Candidate, Parsed, Registry, RegistryError, RegistryFetchError, RegistryFetched,
};
use cellway_core::{Now, Snapshot, Unix};
use cellway_env::Env;
use cellway_env::fetch::{Client, FetchError};

use crate::control_plane::checked::Fetched;
use crate::control_plane::sources::{RegistryAnswer, fetch_registry_document};
use crate::settings::RegistrySettings;

/// Performs what [`Control`] asks for. No method waits: a fetch is started or queued, and its
/// [`Answer`] is handed in later.
pub(crate) trait Perform {
    /// Fetches an issuer's keys. `forced`: an unknown key causes the fetch, not the schedule.
    fn fetch_keys(&mut self, source: KeySourceId, issuer: Issuer, forced: bool);

    /// Fetches the registry, and validates it against the current one.
    fn fetch_registry(&mut self, validator: Option<Arc<str>>, current: Option<Arc<Registry>>);

    /// Validates a document again, because the current registry has changed.
    fn parse_registry(
        &mut self,
        body: Bytes,
        validator: Option<Arc<str>>,
        current: Option<Arc<Registry>>,
    );

    /// Decides with this snapshot from now on.
    fn publish(&mut self, snapshot: Arc<Snapshot>);

    /// Keeps an issuer's key set as the last known good one.
    fn save_keys(&mut self, issuer: &Issuer, body: Bytes, fetched_at: Unix);

    /// Keeps a registry as the last known good one.
    fn save_registry(&mut self, body: Bytes, fetched_at: Unix);

    /// Keeps the time at which the source confirmed the last known good registry.
    fn confirm_registry(&mut self, fetched_at: Unix);

    /// Checks the health of an endpoint.
    fn probe(&mut self, probe: Probe);

    /// Frees memory.
    fn free(&mut self, retired: Retired);

    /// Reports what happened. The ids in the notice belong to `policy`.
    fn notice(&mut self, notice: &Notice, policy: &Policy);
}

/// Performs everything that control asks for.
pub(crate) fn drain(control: &mut Control, performer: &mut impl Perform) {
    while let Some(output) = control.poll_output() {
        let policy = || &control.snapshot().policy;
        match output {
            Output::Publish(snapshot) => performer.publish(snapshot),
            Output::FetchKeys {
                source,
                issuer,
                forced,
            } => performer.fetch_keys(source, policy().issuer(issuer).clone(), forced),
            Output::FetchRegistry { validator } => {
                performer.fetch_registry(validator, control.registry().cloned());
            }
            Output::ParseRegistry { body, validator } => {
                performer.parse_registry(body, validator, control.registry().cloned());
            }
            Output::SaveKeys {
                issuer,
                body,
                fetched_at,
                ..
            } => performer.save_keys(policy().issuer(issuer), body, fetched_at),
            Output::SaveRegistry { body, fetched_at } => performer.save_registry(body, fetched_at),
            Output::ConfirmRegistry { fetched_at } => performer.confirm_registry(fetched_at),
            Output::Probe(probe) => performer.probe(probe),
            Output::Free(retired) => performer.free(retired),
            Output::Notice(notice) => performer.notice(&notice, policy()),
        }
    }
}

/// The result of something that takes time.
#[derive(Debug)]
pub(crate) enum Answer {
    Keys(KeySourceId, Result<Bytes, JwksFetchError>),
    Registry(Result<RegistryFetched, RegistryFetchError>),
    Probed(ProbeId, Result<(), ProbeFailure>),
}

impl Answer {
    /// Hands the result to control. Drain its outputs afterwards.
    pub(crate) fn hand_to(self, control: &mut Control, now: Now) {
        match self {
            Self::Keys(source, result) => control.handle_keys(now, source, result),
            Self::Registry(result) => control.handle_registry(now, result),
            Self::Probed(id, result) => control.handle_probed(now, id, result),
        }
    }
}

/// Fetches the registry, and validates it against the current one.
///
/// # Errors
/// [`FetchError`]. A document that isn't valid is no error: it is in the result.
pub(crate) async fn fetch_registry<E: Env>(
    env: &E,
    client: &Client<E>,
    settings: &Arc<RegistrySettings>,
    validator: Option<&str>,
    current: Option<Arc<Registry>>,
) -> Result<RegistryFetched, FetchError> {
    let limit = settings.limits.document_bytes_max;
    let fetched = fetch_registry_document(&settings.location, env, client, validator, limit);
    Ok(match fetched.await? {
        RegistryAnswer::NotModified => RegistryFetched::NotModified,
        RegistryAnswer::Document { body, validator } => {
            validated(env, settings, body, validator, current).await
        }
    })
}

/// The registry that was read before the start, unless its source has another document meanwhile. Then
/// it fetches and validates that one.
///
/// # Errors
/// [`FetchError`].
pub(crate) async fn fetch_checked<E: Env>(
    env: &E,
    client: &Client<E>,
    settings: &Arc<RegistrySettings>,
    checked: Fetched,
) -> Result<RegistryFetched, FetchError> {
    let (limit, asked) = (settings.limits.document_bytes_max, &*checked.validator);
    let fetched = fetch_registry_document(&settings.location, env, client, Some(asked), limit);
    Ok(match fetched.await? {
        RegistryAnswer::NotModified => checked.confirmed(),
        RegistryAnswer::Document { body, validator } => {
            // Its memory is needed for the other.
            drop(checked);
            validated(env, settings, body, validator, None).await
        }
    })
}

/// A document, validated against the current registry.
pub(crate) async fn validated<E: Env>(
    env: &E,
    settings: &Arc<RegistrySettings>,
    body: Bytes,
    validator: Option<Arc<str>>,
    current: Option<Arc<Registry>>,
) -> RegistryFetched {
    RegistryFetched::Document {
        parsed: parse_registry(env, settings, body.clone(), current).await,
        body,
        validator,
    }
}

/// Validates and indexes a document where that stalls no request.
///
/// # Errors
/// [`RegistryError`].
pub(crate) async fn parse_registry<E: Env>(
    env: &E,
    settings: &Arc<RegistrySettings>,
    body: Bytes,
    current: Option<Arc<Registry>>,
) -> Result<Parsed, RegistryError> {
    let settings = Arc::clone(settings);
    let format = settings.location.format();
    env.heavy(move || Registry::parse(&body, format, current.as_deref(), &settings.limits))
        .await
}

/// As [`parse_registry`], for the last-known-good copy. `checked` is the registry that was read from it
/// before the start, if there was one.
///
/// # Errors
/// [`RegistryError`].
pub(crate) async fn parse_kept<E: Env>(
    env: &E,
    settings: &Arc<RegistrySettings>,
    body: Bytes,
    checked: Option<Registry>,
) -> Result<Parsed, RegistryError> {
    let Some(checked) = checked else {
        return parse_registry(env, settings, body, None).await;
    };
    let document = body.clone();
    let same = env
        .heavy(move || checked.is_of(&document).then_some(checked))
        .await;
    match same {
        Some(same) => Ok(Parsed::Changed(Box::new(Candidate::first(same)))),
        None => parse_registry(env, settings, body, None).await,
    }
}
