//! Verifies clients' certificates outside a handshake, for `explain`.

use cellway_env::Env;
use rustls::pki_types::CertificateDer;

use super::material::{MaterialError, certificates};
use super::{ClientVerifier, Provider, Trust};
use crate::settings::{Pem, RouterSettings};

/// Verifies a client's chain as a handshake would, at the current time, and returns its leaf.
///
/// # Errors
/// A file can't be read, or the handshake would be refused.
pub async fn verified_leaf<E: Env>(
    env: &E,
    provider: &Provider,
    settings: &RouterSettings,
    chain: &Pem,
) -> Result<CertificateDer<'static>, MaterialError> {
    let trust = Trust::load(env, settings).await;
    let trust = trust.map_err(|(_, error)| error)?;
    let refuse = |why: &dyn std::fmt::Display| MaterialError::new(chain, why);
    let trust = trust.ok_or_else(|| refuse(&"client certificates are not accepted"))?;
    let mut chain_der = certificates(env, chain).await?;
    let verifier = ClientVerifier::new(provider, &trust, false);
    verifier
        .verify_chain(&chain_der)
        .map_err(|why| refuse(&why))?;
    Ok(chain_der.swap_remove(0))
}
