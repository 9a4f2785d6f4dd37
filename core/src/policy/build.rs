//! From the configuration's tables to a [`Policy`].

use super::{Policy, PolicyError, PolicySpecs};

pub(super) fn build(specs: &PolicySpecs) -> Result<Policy, Vec<PolicyError>> {
    let _ = specs;
    Err(Vec::new())
}
