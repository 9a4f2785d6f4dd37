//! Identity envelopes prove to a cell which caller the router verified.
//!
//! A cell can trust the plain headers only if it trusts the network between the router and itself.
//! An envelope is signed. It contains the identity, the one cell that it is for, and the method and
//! path of one request, and it is valid for at most a minute. Whoever steals it can't use it at
//! another cell or for another call.
//!
//! There are three forms with the same claims. [`seal`] makes a JWS under an Ed25519 key that only
//! the router has, [`seal_hmac`] six headers under a key that router and cell share, and
//! [`seal_compatible`] the six that cells of older tenant routers know. [`Verifier`] verifies all
//! of them. A cell can use it without any other part of Cellway; the crate
//! `cellway-service` puts it around a service.
//!
//! [`KeyRing`] says which of the router's keys signs at a given time, and which are published.

mod claims;
mod compatible;
mod hmac;
mod key;
mod page;
mod refused;
mod ring;
#[cfg(test)]
mod tests;
mod trust;
mod verify;

use std::time::Duration;

use http::Uri;

pub use crate::kid::{KID_LEN_MAX, is_kid};
pub use claims::{EnvelopeContents, Verified};
pub use compatible::{COMPATIBLE_ALG, canonical_compatible, seal_compatible};
pub use hmac::{HMAC_KEY_LEN, HmacKey, HmacStamps, canonical, seal_hmac};
pub use key::{KeyError, SigningKey, seal};
pub use page::respells_jwks_path;
pub use refused::EnvelopeRefused;
pub use ring::{KeyRing, KeyRingError, RingEntry, RingTiming};
pub use trust::{TrustMode, Verdict};
pub use verify::{Verifier, VerifierSpec, VerifierSpecError};

/// The longest time between `iat` and `exp`.
pub const LIFETIME_MAX: Duration = Duration::from_secs(60);

/// The value of `typ`.
pub const TYPE: &str = "cellway-envelope+jwt";

/// The path under which the router publishes its public keys.
pub const JWKS_PATH: &str = "/.well-known/cellway/jwks.json";

/// The most bytes of an encoded envelope. The largest identity that a token can prove fits, so
/// sealing always succeeds.
pub const LEN_MAX: usize = 32 * 1024;

/// The path and query of a request as it is forwarded, which is what an envelope is bound to: the
/// target in origin form, byte for byte; `*` for `OPTIONS *`.
pub fn target(uri: &Uri) -> std::borrow::Cow<'_, str> {
    match uri.path_and_query().map(|target| target.as_str()) {
        None | Some("") => "/".into(),
        // A URI such as `http://host?query` has no path, and travels with one.
        Some(target) if target.starts_with('?') => format!("/{target}").into(),
        Some(target) => target.into(),
    }
}
