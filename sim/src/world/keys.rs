//! The signing keys of identity providers, cells and edges, made from the seed and their names.

use cellway_testbed::{Signer, TestbedError};

use crate::random::Random;

/// The name of the key that each cell signs with.
pub(super) const CELL_KEY: &str = "cell-key-1";

/// An identity provider's signing key of this name.
pub(super) fn provider(seed: u64, host: &str, kid: &str) -> Result<Signer, TestbedError> {
    signer(seed, host, kid)
}

/// The key with which a cell signs its calls to other cells.
pub(super) fn cell(seed: u64, cell: &str) -> Result<Signer, TestbedError> {
    signer(seed, cell, CELL_KEY)
}

/// The public key of a cell, for the registry.
pub(super) fn cell_jwk(seed: u64, id: &str) -> serde_json::Value {
    let signer = cell(seed, id);
    signer.expect("32 bytes are an Ed25519 key").jwk()
}

/// A key with the name of another owner's key.
pub(super) fn forged(seed: u64, kid: &str) -> Result<Signer, TestbedError> {
    signer(seed, "forger", kid)
}

fn signer(seed: u64, owner: &str, kid: &str) -> Result<Signer, TestbedError> {
    let mut secret = [0; 32];
    Random::new(seed, owner, 0, kid).fill(&mut secret);
    Signer::from_seed(kid, secret)
}

/// The key of this name that signs routing keys. It is the same in every run, so that a scenario can
/// contain the public key: the seed is the name, filled up with zeros.
pub(super) fn edge(kid: &str, forged: bool) -> Result<Signer, TestbedError> {
    let mut seed = [u8::from(forged); 32];
    for (at, byte) in seed.iter_mut().zip(kid.bytes()) {
        *at = byte;
    }
    Signer::from_seed(kid, seed)
}
