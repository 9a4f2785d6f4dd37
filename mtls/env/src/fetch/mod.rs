//! Fetching documents: a small HTTPS client over [`Env`](crate::Env).

mod client;
mod encoding;
mod error;
mod freshness;
mod proxy;
mod roots;
mod url;

pub use self::client::{Answer, Client, Get, Post, Reach};
pub use self::error::FetchError;
pub use self::proxy::{Proxies, ProxyError};
pub use self::roots::{BundleError, system_roots};
pub use self::url::{SourceUrl, UrlError};

/// The most bytes of a key set.
pub const KEYS_BYTES_MAX: usize = 1 << 20;
