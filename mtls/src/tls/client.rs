//! Clients' certificates outside a handshake, for `explain`.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;

use super::Provider;
use super::material::{MaterialError, certificates, load_roots};
use crate::env::Env;
use crate::settings::Pem;

/// The leaf of a client's chain, once the chain is verified as a handshake would, now.
///
/// # Errors
/// A file can't be read, or the handshake would be refused.
pub async fn verified_leaf<E: Env>(
    env: &E,
    provider: &Provider,
    bundle: &Pem,
    chain: &Pem,
) -> Result<CertificateDer<'static>, MaterialError> {
    let roots = Arc::new(load_roots(env, bundle).await?);
    let mut chain_der = certificates(env, chain).await?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.crypto.clone())
        .build()
        .map_err(|error| MaterialError::new(bundle, error))?;
    let refuse = |error: rustls::Error| MaterialError::new(chain, error);
    let now = provider
        .time
        .current_time()
        .ok_or_else(|| refuse(rustls::Error::FailedToGetCurrentTime))?;
    let leaf = chain_der.remove(0);
    verifier
        .verify_client_cert(&leaf, &chain_der, now)
        .map_err(refuse)?;
    Ok(leaf)
}
