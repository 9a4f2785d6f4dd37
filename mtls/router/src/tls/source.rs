//! TLS to identity providers and the control plane.

use cellway_core::policy::{Issuer, KeysLocation};
use cellway_env::Env;
use cellway_env::fetch::system_roots;
use rustls::{ClientConfig, RootCertStore};

use super::Provider;
use super::material::{MaterialError, load_key_pair, load_roots, pair_refused};
use crate::settings::RegistryLocation;
use crate::settings::{FetchSettings, RouterSettings};

/// Trusts the configured bundle, or else the CAs that the system trusts.
async fn source_config<E: Env>(
    env: &E,
    provider: &Provider,
    fetch: &FetchSettings,
) -> Result<ClientConfig, MaterialError> {
    let roots = match &fetch.bundle {
        Some(bundle) => load_roots(env, bundle).await?,
        None => env.heavy(system_roots).await,
    };
    with_roots(env, provider, fetch, roots).await
}

/// The TLS configuration for a router's sources. It doesn't load the system's CAs if all sources are
/// local files.
///
/// # Errors
/// A file can't be read or used.
pub async fn router_source_config<E: Env>(
    env: &E,
    provider: &Provider,
    settings: &RouterSettings,
) -> Result<ClientConfig, MaterialError> {
    let fetch = &settings.sources.fetch;
    if fetch.bundle.is_none() && all_local(settings) {
        with_roots(env, provider, fetch, RootCertStore::empty()).await
    } else {
        source_config(env, provider, fetch).await
    }
}

fn all_local(settings: &RouterSettings) -> bool {
    let registry = match settings.sources.registry.location {
        RegistryLocation::File(_) | RegistryLocation::Text(_) => true,
        RegistryLocation::Http { .. } => false,
    };
    let local = |issuer: &Issuer| matches!(issuer.keys, KeysLocation::File(_));
    registry && settings.policy.issuers.iter().all(local)
}

async fn with_roots<E: Env>(
    env: &E,
    provider: &Provider,
    fetch: &FetchSettings,
    roots: RootCertStore,
) -> Result<ClientConfig, MaterialError> {
    let refuse = |error: rustls::Error| MaterialError {
        source: "fetch".to_owned(),
        problem: error.to_string(),
    };
    let builder =
        ClientConfig::builder_with_details(provider.crypto.clone(), provider.time.clone())
            .with_safe_default_protocol_versions()
            .map_err(refuse)?
            .with_root_certificates(roots);
    match &fetch.identity {
        None => Ok(builder.with_no_client_auth()),
        Some(pair) => {
            let (chain, key) = load_key_pair(env, pair).await?;
            let built = builder.with_client_auth_cert(chain, key);
            built.map_err(|error| pair_refused(pair, &error))
        }
    }
}
