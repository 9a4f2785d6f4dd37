//! Fetching keys and registries: a small HTTPS client over [`Env`](crate::env::Env), and the rules
//! of where each document comes from.

mod client;
mod encoding;
mod error;
mod freshness;
mod keys;
mod proxy;
mod registry;
mod url;

pub use self::client::{Answer, Client, Get, Reach};
pub use self::error::FetchError;
pub use self::keys::{KEYS_BYTES_MAX, fetch_keys, keys_source};
pub use self::proxy::{Proxies, ProxyRefused};
pub(crate) use self::registry::bearer_token;
pub use self::registry::{RegistryAnswer, RegistryLocation};
pub use self::url::{SourceUrl, UrlRefused};

#[cfg(all(test, feature = "demo"))]
mod tests;
