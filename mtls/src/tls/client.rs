//! Clients' certificates outside a handshake, for `explain`.

use rustls::pki_types::CertificateDer;

use super::material::{MaterialError, certificates};
use super::{Provider, Trust};
use crate::env::Env;
use crate::settings::{Pem, RevocationSettings};

/// The leaf of a client's chain, once the chain is verified as a handshake would, now.
///
/// # Errors
/// A file can't be read, or the handshake would be refused.
pub async fn verified_leaf<E: Env>(
    env: &E,
    provider: &Provider,
    bundle: &Pem,
    revocation: &RevocationSettings,
    chain: &Pem,
) -> Result<CertificateDer<'static>, MaterialError> {
    let trust = Trust::load(env, provider, bundle, revocation).await;
    let trust = trust.map_err(|(_, error)| error)?;
    let verifier = trust.verifier(provider, false)?;
    let mut chain_der = certificates(env, chain).await?;
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
