//! Fetches issuers' keys and the registry.

mod keys;
mod registry;

pub use self::keys::{fetch_keys, keys_source};
pub(crate) use self::registry::bearer_token;
pub use self::registry::{RegistryAnswer, fetch_registry_document};

#[cfg(test)]
mod tests;
