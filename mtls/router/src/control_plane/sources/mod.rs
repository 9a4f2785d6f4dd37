//! Fetches issuers' keys and the registry.

mod keys;
mod registry;

pub(crate) use self::keys::{fetch_keys, keys_source};
pub(crate) use self::registry::bearer_token;
pub(crate) use self::registry::{INLINE, RegistryAnswer, fetch_registry_document, file_validator};

#[cfg(test)]
mod tests;
