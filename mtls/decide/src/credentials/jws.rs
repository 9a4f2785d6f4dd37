//! The header and the signature of a token, good or bad.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use cellway_core::keys::Algorithm as Allowed;
use cellway_router::config::Tables;
use cellway_testbed::Algorithm;
use serde_json::{Map, Value, json};

use crate::cases::meant;
use crate::error::DecideError;
use crate::made::{Keys, Owner, usual};

/// Names that `algorithm` may have, although no key of ours has them: attacks.
const BAD: [&str; 5] = ["none", "HS256", "HS384", "HS512", "ES512"];

/// How a token is signed, as the file says it.
#[derive(Clone, Copy)]
pub(super) struct Signing<'a> {
    pub(super) setting: &'a str,
    pub(super) algorithm: Option<&'a str>,
    /// `""`: none.
    pub(super) typ: Option<&'a str>,
    /// `""`: none.
    pub(super) kid: Option<&'a str>,
    /// The algorithms that the verifier allows.
    pub(super) allowed: &'a [Allowed],
    /// Whose key the verifier has.
    pub(super) owner: &'a Owner,
    /// Whose key signs.
    pub(super) by: &'a Owner,
}

impl Signing<'_> {
    /// Signs the claims. `typ` is the usual type.
    pub(super) fn sign(
        &self,
        claims: Map<String, Value>,
        typ: &str,
        keys: &mut Keys,
        mistakes: &mut Tables,
    ) -> Result<String, DecideError> {
        let own = Algorithm::ALL.into_iter();
        let named = self.algorithm.map(|name| (name, own.clone()));
        let named = named.and_then(|(name, mut own)| own.find(|it| it.as_str() == name));
        let is_allowed = |it: &Algorithm| self.allowed.iter().any(|a| a.as_str() == it.as_str());
        // A key of an algorithm that isn't allowed would be refused with its set.
        let algorithm = named.filter(is_allowed).unwrap_or(usual(self.allowed));
        let name = self.algorithm.unwrap_or(algorithm.as_str());
        if named.is_none() && self.algorithm.is_some() && !BAD.contains(&name) {
            let setting = format!("{}.algorithm", self.setting);
            let known = own.map(Algorithm::as_str).chain(BAD);
            let problem = format!("{name:?} is no algorithm");
            mistakes.mistake(&setting, problem, meant(name, known));
        }
        let verifying = keys.of(self.owner, algorithm)?;
        let signer = keys.of(self.by, algorithm)?;
        let mut header = json!({ "alg": name });
        let typ = self.typ.unwrap_or(typ);
        let kid = self.kid.unwrap_or(verifying.kid());
        for (member, value) in [("typ", typ), ("kid", kid)] {
            if !value.is_empty() {
                header[member] = value.into();
            }
        }
        let claims = Value::Object(claims);
        if name == "none" {
            let part = |value: &Value| BASE64.encode(value.to_string());
            return Ok(format!("{}.{}.", part(&header), part(&claims)));
        }
        Ok(signer.sign_jws(&header, &claims)?)
    }
}
