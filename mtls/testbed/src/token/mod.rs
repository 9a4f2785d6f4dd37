//! Tokens, good and bad.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use cellway_core::Unix;
use serde_json::{Map, Value, json};

use super::{Signer, TestbedError};

/// The claims of a token before it is signed, with the parts of its header that can be chosen.
///
/// Every part can be set to a wrong value, because tests need many bad tokens.
#[derive(Clone, Debug)]
pub struct Claims {
    claims: Map<String, Value>,
    kid: Option<String>,
    typ: Option<String>,
}

impl Claims {
    /// A token of `issuer` for `audience`, issued at `now` and valid for `lifetime`.
    pub fn new(issuer: &str, audience: &str, now: Unix, lifetime: Duration) -> Self {
        let claims = Map::from_iter([
            ("iss".to_owned(), issuer.into()),
            ("aud".to_owned(), audience.into()),
            ("iat".to_owned(), now.as_secs().into()),
            ("exp".to_owned(), now.after(lifetime).as_secs().into()),
        ]);
        Self {
            claims,
            kid: None,
            typ: Some("JWT".to_owned()),
        }
    }

    /// The authorization that the cell `source` uses to call the cell `destination`, without a
    /// tenant. It is made at `now` and valid for half a minute.
    pub fn cell_bound(source: &str, destination: &str, jti: &str, now: Unix) -> Self {
        Self::new(source, destination, now, Duration::from_secs(30))
            .with("jti", jti)
            .typ(Some("cba+jwt"))
    }

    /// Sets `tenant_id`.
    #[must_use]
    pub fn tenant(self, tenant: &str) -> Self {
        self.with("tenant_id", tenant)
    }

    /// Sets `sub`.
    #[must_use]
    pub fn subject(self, subject: &str) -> Self {
        self.with("sub", subject)
    }

    /// Sets any claim.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a claim.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Names another key than the one that signs.
    #[must_use]
    pub fn kid(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
        self
    }

    /// Sets or removes `typ`.
    #[must_use]
    pub fn typ(mut self, typ: Option<&str>) -> Self {
        self.typ = typ.map(str::to_owned);
        self
    }

    /// Signs the token.
    ///
    /// # Errors
    /// [`TestbedError::Token`] if the cryptography library fails.
    pub fn sign(&self, signer: &Signer) -> Result<String, TestbedError> {
        let kid = self.kid.as_deref().unwrap_or(signer.kid());
        signer.encode(kid, self.typ.as_deref(), &self.claims)
    }
}

/// The token with `alg` `none` and no signature.
pub fn unsigned(claims: &Claims) -> String {
    let mut header = json!({ "alg": "none" });
    if let Some(typ) = &claims.typ {
        header["typ"] = typ.as_str().into();
    }
    let mut token = BASE64.encode(header.to_string());
    token.push('.');
    BASE64.encode_string(Value::from(claims.claims.clone()).to_string(), &mut token);
    token + "."
}

#[cfg(test)]
mod tests;
