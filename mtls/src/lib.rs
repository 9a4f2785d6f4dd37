//! The production shell of Cellway: listeners, TLS, the proxy path, sources.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod env;
