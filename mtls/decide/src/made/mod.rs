//! What takes the place of the configured keys, certificates and sources.

mod authorities;
mod env;
mod keys;
mod registry;

use aws_lc_rs::digest::{SHA256, digest};

pub(crate) use self::authorities::{Authorities, Issued};
pub(crate) use self::env::{FixedTime, MadeEnv, at_once};
pub(crate) use self::keys::{Keys, Owner, usual};
pub(crate) use self::registry::with_keys_of_cells;

/// The word for a key or an authority that nobody trusts.
pub(crate) const STRANGER: &str = "stranger";

/// The seed of the key with this purpose. Each run has the same keys.
fn seed(purpose: &str) -> [u8; 32] {
    let digest = digest(&SHA256, format!("cellway decide: {purpose}").as_bytes());
    let mut seed = [0; 32];
    seed.copy_from_slice(digest.as_ref());
    seed
}
