//! Test doubles: an issuer that signs tokens, certificates, policies and registries.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::identity::Identity;
use crate::keys::{KeySource, KeyTable};
use crate::policy::{Policy, PolicySpecs};
use crate::registry::Registry;
use crate::text::Text;
use crate::time::{Mono, Now, Unix};

/// The Unix time of [`at`]'s zero.
pub(crate) const START: u64 = 1_000_000;

/// Both clocks, `secs` after the start of the test.
pub(crate) fn at(secs: u64) -> Now {
    Now {
        mono: Mono::from_origin(Duration::from_secs(secs)),
        unix: Unix::from_secs(START + secs),
    }
}

pub(crate) fn text(value: &str) -> Text {
    Text::new(value).unwrap()
}

/// The registry of a document without mistakes.
pub(crate) fn registry(document: &Value) -> Registry {
    Registry::from_json(&document.to_string()).unwrap()
}

/// An identity of which only the tenant is known.
pub(crate) fn of_tenant(id: &str) -> Identity {
    Identity {
        tenant: Some(text(id)),
        ..Identity::default()
    }
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A private key, and how the issuer publishes its public half.
pub(crate) enum Signer {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    pub(crate) fn ed25519(seed: u8) -> Self {
        Self::Ed25519(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    pub(crate) fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn p384() -> Self {
        Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::P256(key) | Self::P384(key) => {
                key.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let padding: &dyn aws_lc_rs::signature::RsaEncoding = match alg {
                    "RS256" => &RSA_PKCS1_SHA256,
                    "PS256" => &RSA_PSS_SHA256,
                    other => panic!("{other} is not an RSA algorithm of these tests"),
                };
                key.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// The members that make up the public key.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Ed25519(key) => {
                let x = base64url(key.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
            Self::P256(key) => ec_jwk(kid, "P-256", key.public_key().as_ref()),
            Self::P384(key) => ec_jwk(kid, "P-384", key.public_key().as_ref()),
            Self::Rsa(key) => {
                // RSAPublicKey of RFC 8017: two lengths of four bytes and a zero, then the modulus.
                let der = key.public_key().as_ref();
                let n = base64url(&der[9..9 + key.public_modulus_len()]);
                json!({"kty": "RSA", "kid": kid, "n": n, "e": "AQAB"})
            }
        }
    }

    /// A token with exactly this header and payload.
    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        self.token_of(
            &header.to_string(),
            &claims.to_string(),
            header["alg"].as_str(),
        )
    }

    /// A token with exactly this text for header and payload.
    pub(crate) fn token_of(&self, header: &str, claims: &str, alg: Option<&str>) -> String {
        let message = format!("{}.{}", base64url(header), base64url(claims));
        let signature = self.sign(alg.unwrap_or_default(), message.as_bytes());
        format!("{message}.{}", base64url(signature))
    }
}

fn ec_jwk(kid: &str, crv: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({"kty": "EC", "crv": crv, "kid": kid, "x": base64url(x), "y": base64url(y)})
}

/// A document with these keys.
pub(crate) fn jwks(keys: &[Value]) -> Bytes {
    Bytes::from(json!({ "keys": keys }).to_string())
}

/// The issuer `https://idp.example` for the audience `cellway`, with further members.
pub(crate) fn issuer(extra: Value) -> Value {
    let mut issuer = json!({
        "name": "main",
        "issuer": "https://idp.example",
        "audience": "cellway",
        "algorithms": ["RS256", "PS256", "ES256", "ES384", "EdDSA"],
    });
    issuer
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    issuer
}

pub(crate) fn specs(value: Value) -> PolicySpecs {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn policy(value: Value) -> Policy {
    Policy::build(&specs(value)).unwrap()
}

/// A table in which each issuer of `policy` has fetched its document of `bodies` at the start.
pub(crate) fn key_table(policy: &Policy, bodies: &[Bytes]) -> KeyTable {
    let fetched = |(issuer, body): (&crate::policy::Issuer, &Bytes)| {
        let mut source = KeySource::new(issuer.algorithms.clone(), issuer.timing, at(0).mono, 1);
        source.handle_timeout(at(0).mono);
        source.handle_fetched(at(0), Ok(body.clone()));
        assert!(source.view().set.is_some(), "the document is refused");
        Arc::clone(source.view())
    };
    KeyTable {
        epoch: 1,
        issuers: policy.issuers.iter().zip(bodies).map(fetched).collect(),
    }
}

/// The DER of a self-signed certificate, in force around the start, with what `change` does to it.
pub(crate) fn certificate(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Vec<u8> {
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(1971, 1, 1);
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    change(&mut params);
    let key = rcgen::KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

/// A certificate with these URI and DNS SANs.
pub(crate) fn certificate_for(uris: &[&str], dns_names: &[&str]) -> Vec<u8> {
    certificate(|params| {
        let uri = |s: &&str| rcgen::SanType::URI((*s).try_into().unwrap());
        let dns = |s: &&str| rcgen::SanType::DnsName((*s).try_into().unwrap());
        params.subject_alt_names = uris
            .iter()
            .map(uri)
            .chain(dns_names.iter().map(dns))
            .collect();
    })
}
