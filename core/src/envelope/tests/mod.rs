mod compatible;
mod ring;
mod trust;
mod vectors;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};

use super::*;
use crate::headers::HeaderRules;
use crate::keys::KeySet;
use crate::testing::{START, at};
use crate::{Identity, Text};

pub(super) const SECRET: &[u8; 32] = b"thirty-two bytes that are shared";

pub(super) fn key(seed: u8) -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed(&format!("k{seed}"), &[seed; 32]).unwrap())
}

/// The published key set of a router with these keys.
pub(super) fn published(keys: &[u8]) -> KeySet {
    let jwks: Vec<String> = keys.iter().map(|seed| key(*seed).jwk()).collect();
    let jwks = format!("{{\"keys\":[{}]}}", jwks.join(","));
    KeySet::parse(jwks.as_bytes(), &Verifier::ALGORITHMS).unwrap()
}

pub(super) fn hmac_key() -> HmacKey {
    HmacKey::new("eu-1-a", "eu-1", SECRET).unwrap()
}

/// A request that was sealed, and the parts of it that a test may change.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) identity: Identity,
    pub(super) cell: Text,
    pub(super) epoch: u64,
    pub(super) issuer: String,
    pub(super) id: String,
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) lifetime: Duration,
}

impl Default for Case {
    fn default() -> Self {
        let text = |value| Some(Text::new(value).unwrap());
        Self {
            identity: Identity {
                tenant: text("acme"),
                subject: text("ada"),
                org: text("acme \"corp\""),
                roles: ["admin", "reader"].map(|r| Text::new(r).unwrap()).into(),
                ..Identity::default()
            },
            cell: Text::new("eu-1").unwrap(),
            epoch: 7,
            issuer: "cellway".to_owned(),
            id: "0011223344556677".to_owned(),
            method: Method::POST,
            target: "/orders?page=2".to_owned(),
            lifetime: Duration::from_secs(30),
        }
    }
}

impl Case {
    pub(super) fn sealing(&self) -> EnvelopeContents<'_> {
        EnvelopeContents {
            issuer: &self.issuer,
            identity: &self.identity,
            cell: &self.cell,
            placement_epoch: self.epoch,
            id: &self.id,
            method: &self.method,
            target: &self.target,
            now: at(0).unix,
            lifetime: self.lifetime,
        }
    }

    /// The headers of the JWS form, sealed with the first key.
    pub(super) fn jws(&self) -> HeaderMap {
        let rules = HeaderRules::default();
        let envelope = seal(&key(1), &self.sealing());
        [(rules.envelope().clone(), envelope)].into_iter().collect()
    }

    /// The headers of the HMAC form.
    pub(super) fn hmac(&self) -> HeaderMap {
        let rules = HeaderRules::default();
        let values = seal_hmac(&hmac_key(), &self.sealing());
        rules.envelope_hmac().iter().cloned().zip(values).collect()
    }

    /// The headers of the compatible form.
    pub(super) fn compatible(&self) -> HeaderMap {
        let rules = HeaderRules::default();
        let values = seal_compatible(&hmac_key(), &self.sealing());
        let names = rules.envelope_compatible().iter().cloned();
        names.zip(values).collect()
    }

    /// The verifier's result for this request with these headers, `secs` after it was sealed.
    pub(super) fn check(
        &self,
        verifier: &Verifier,
        headers: &HeaderMap,
        secs: u64,
    ) -> Result<Verdict, EnvelopeRefused> {
        let keys = published(&[1, 2]);
        let now = at(secs).unix;
        verifier.check(Some(&keys), &self.method, &self.target, headers, now)
    }
}

/// A service of the cell `eu-1` that accepts every form.
pub(super) fn spec() -> VerifierSpec {
    VerifierSpec {
        hmac: vec![hmac_key()],
        ..VerifierSpec::new("eu-1")
    }
}

#[test]
fn the_target_is_the_path_and_query_as_sent() {
    for (uri, sent) in [
        ("/a?b=c", "/a?b=c"),
        ("https://host/a%2Fb", "/a%2Fb"),
        ("https://host", "/"),
        ("https://host?b=c", "/?b=c"),
        ("*", "*"),
    ] {
        assert_eq!(target(&uri.parse().unwrap()), sent, "{uri}");
    }
}

#[test]
fn invalid_keys_are_refused() {
    let long = "k".repeat(KID_LEN_MAX + 1);
    for kid in ["", ".", ".hidden", "a/b", "a b", "a\"b", "\u{e9}", &long] {
        let refused = SigningKey::from_seed(kid, &[1; 32]).unwrap_err();
        assert_eq!(refused, KeyError::Kid, "{kid:?}");
        let refused = HmacKey::new(kid, "eu-1", SECRET).unwrap_err();
        assert_eq!(refused, KeyError::Kid, "{kid:?}");
    }
    let refused = HmacKey::new("a", "eu-1", &SECRET[1..]).unwrap_err();
    assert_eq!(refused, KeyError::HmacLength);
    let refused = SigningKey::from_pkcs8("a", b"no key").unwrap_err();
    assert_eq!(refused, KeyError::NotEd25519);
}

#[test]
fn a_key_survives_its_file() {
    let before = key(3);
    let after = SigningKey::from_pkcs8("k3", &before.to_pkcs8().unwrap()).unwrap();
    assert_eq!(after.jwk(), before.jwk());
}

#[test]
fn no_secret_is_shown() {
    let shown = format!("{:?} {:?} {:?}", key(1), hmac_key(), spec());
    assert!(!shown.contains("shared"), "{shown}");
    assert!(!shown.contains("[116, 104"), "{shown}");
    assert!(shown.contains("SigningKey(\"k1\")"), "{shown}");
}

/// The largest identity that a token can prove fits, so that sealing never fails.
#[test]
fn the_largest_identity_can_be_sealed() {
    let text = |i: usize| Text::new(&format!("{i:04}{}", "\"".repeat(120))).unwrap();
    let case = Case {
        identity: Identity {
            tenant: Some(text(0)),
            subject: Some(text(1)),
            workspace: Some(text(2)),
            org: Some(text(3)),
            roles: (0..64).map(text).collect(),
            ..Identity::default()
        },
        ..Case::default()
    };
    let verifier = Verifier::new(spec()).unwrap();
    for headers in [case.jws(), case.hmac(), case.compatible()] {
        let verdict = case.check(&verifier, &headers, 0).unwrap();
        assert_eq!(verdict.verified().unwrap().roles, case.identity.roles);
    }
}
