//! A second opinion: what one gets by following `jsonwebtoken`'s documentation.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::keys::{AUDIENCE, ISSUER};

/// Whether the plain verifier believes the token.
pub(crate) fn takes(keys: &str, token: &str) -> bool {
    verify(keys, token).is_some()
}

fn verify(keys: &str, token: &str) -> Option<Value> {
    let set: JwkSet = serde_json::from_str(keys).ok()?;
    let header = decode_header(token).ok()?;
    let jwk = match &header.kid {
        Some(kid) => set.find(kid)?,
        None => set.keys.first()?,
    };
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.validate_nbf = true;
    decode(token, &key, &validation)
        .map(|data| data.claims)
        .ok()
}
