//! Fuzz targets: each takes any bytes and panics if Cellway breaks a promise about them.
//!
//! Not to crash is the least of the promises. A token that is taken must be one to a lenient reader
//! too, a key set must be the same whatever its order, a document that was taken must be taken
//! again, a certificate must name the tenant that it is taken for, and a message that passes has one
//! reading.
//!
//! `just fuzz` (or `tests/fuzz/run SECONDS`) runs each for a while with libFuzzer, on the stable
//! toolchain. `cargo test -p cellway-fuzz` tries the seeds and what comes of changing them a
//! little, in seconds and without libFuzzer.

#![forbid(unsafe_code)]

mod certificate;
mod http1;
mod identity;
mod jwks;
mod mutate;
mod proxy_protocol;
mod registry;
mod routing_key;
mod token;

pub use self::mutate::Mutations;

/// What is fuzzed.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name on the command line and of the folder with its inputs.
    pub name: &'static str,
    /// Tries one input.
    ///
    /// # Panics
    /// If a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs to begin with, good ones among them.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: [Target; 8] = [
    Target {
        name: "token",
        run: token::run,
        seeds: token::seeds,
    },
    Target {
        name: "jwks",
        run: jwks::run,
        seeds: jwks::seeds,
    },
    Target {
        name: "registry",
        run: registry::run,
        seeds: registry::seeds,
    },
    Target {
        name: "routing_key",
        run: routing_key::run,
        seeds: routing_key::seeds,
    },
    Target {
        name: "proxy_protocol",
        run: proxy_protocol::run,
        seeds: proxy_protocol::seeds,
    },
    Target {
        name: "certificate",
        run: certificate::run,
        seeds: certificate::seeds,
    },
    Target {
        name: "san",
        run: certificate::run_names,
        seeds: certificate::name_seeds,
    },
    Target {
        name: "http1",
        run: http1::run,
        seeds: http1::seeds,
    },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
