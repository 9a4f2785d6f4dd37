//! Fetching documents: a small HTTPS client over [`Env`](crate::Env).

mod client;
mod encoding;
mod error;
mod freshness;
mod proxy;
mod url;

pub use self::client::{Answer, Client, Get, Reach};
pub use self::error::FetchError;
pub use self::proxy::{Proxies, ProxyRefused};
pub use self::url::{SourceUrl, UrlRefused};

/// The most bytes that a key set may have.
pub const KEYS_BYTES_MAX: usize = 1 << 20;
