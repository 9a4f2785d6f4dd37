//! The issuer's keys, one for each algorithm under the algorithm's name, and what they sign.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://idp.example";
pub(crate) const AUDIENCE: &str = "cellway";
/// The end of good tokens, in 2100.
pub(crate) const EXP: u64 = 4_102_444_800;

/// The algorithms, and so the ids of the issuer's keys.
pub(crate) const ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

/// A private key, and its public half.
pub(crate) struct Key {
    private: EncodingKey,
    public: Value,
}

/// The issuer's keys, and one of each kind that isn't the issuer's.
pub(crate) struct Keys {
    rsa: Key,
    p256: Key,
    p384: Key,
    ed25519: Key,
}

static ISSUERS: LazyLock<Keys> = LazyLock::new(|| Keys::generate(1));
static STRANGERS: LazyLock<Keys> = LazyLock::new(|| Keys::generate(2));

impl Keys {
    fn generate(seed: u8) -> Self {
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let rsa = EncodingKey::from_rsa_pem(rsa.serialize_pem().as_bytes()).unwrap();
        let ec = |algorithm| {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap()
        };
        let ed25519 = cellway_testbed::Key::from_seed([seed; 32]);
        let ed25519 = EncodingKey::from_ed_der(ed25519.der().secret_der());
        Self {
            rsa: Key::new(rsa, Algorithm::RS256),
            p256: Key::new(ec(&PKCS_ECDSA_P256_SHA256), Algorithm::ES256),
            p384: Key::new(ec(&PKCS_ECDSA_P384_SHA384), Algorithm::ES384),
            ed25519: Key::new(ed25519, Algorithm::EdDSA),
        }
    }

    fn of(&self, algorithm: &str) -> &Key {
        match algorithm {
            "ES256" => &self.p256,
            "ES384" => &self.p384,
            "EdDSA" => &self.ed25519,
            _ => &self.rsa,
        }
    }
}

impl Key {
    fn new(private: EncodingKey, algorithm: Algorithm) -> Self {
        let mut public = serde_json::to_value(Jwk::from_encoding_key(&private, algorithm).unwrap());
        let members = public.as_mut().unwrap().as_object_mut().unwrap();
        members.remove("alg");
        Self {
            private,
            public: public.unwrap(),
        }
    }

    fn sign(&self, algorithm: &str, message: &str) -> String {
        let algorithm = algorithm.parse().unwrap();
        crypto::sign(message.as_bytes(), &self.private, algorithm).unwrap()
    }
}

/// The signature over `message` by the issuer's key for this algorithm.
pub(crate) fn sign(algorithm: &str, message: &str) -> String {
    ISSUERS.of(algorithm).sign(algorithm, message)
}

/// The same by a key that isn't the issuer's.
pub(crate) fn forge(algorithm: &str, message: &str) -> String {
    STRANGERS.of(algorithm).sign(algorithm, message)
}

/// The issuer's public key for this algorithm, without id or use.
pub(crate) fn bare(algorithm: &str) -> Value {
    ISSUERS.of(algorithm).public.clone()
}

/// The public key with which [`forge`] signs.
pub(crate) fn strangers(algorithm: &str) -> Value {
    STRANGERS.of(algorithm).public.clone()
}

/// The issuer's public key for this algorithm, as published.
pub(crate) fn jwk(algorithm: &str) -> Value {
    with(
        &bare(algorithm),
        json!({"kid": algorithm, "alg": algorithm, "use": "sig"}),
    )
}

/// The issuer's document.
pub(crate) fn published() -> String {
    set(&ALGORITHMS.map(jwk))
}

/// A document with these keys.
pub(crate) fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// `base` with the members of `change` set, or removed where they are null.
pub(crate) fn with(base: &Value, change: Value) -> Value {
    let mut all = base.clone();
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => _ = all.as_object_mut().unwrap().remove(name),
            _ => all[name] = value.clone(),
        }
    }
    all
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Claims that are good until 2100.
pub(crate) fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "exp": EXP, "sub": "ada", "tenant_id": "acme"})
}

/// The header of a good token.
pub(crate) fn header(algorithm: &str) -> Value {
    json!({"alg": algorithm, "kid": algorithm, "typ": "JWT"})
}

/// Header and payload, ready for a signature.
pub(crate) fn message(header: &str, payload: &str) -> String {
    format!("{}.{}", encode(header), encode(payload))
}

/// A token of exactly this header and payload, well signed by the issuer's key for `algorithm`.
pub(crate) fn signed(algorithm: &str, header: &str, payload: &str) -> String {
    let message = message(header, payload);
    let signature = sign(algorithm, &message);
    format!("{message}.{signature}")
}

/// A well-signed token whose header has these members changed.
pub(crate) fn with_header(algorithm: &str, change: Value) -> String {
    let header = with(&header(algorithm), change).to_string();
    signed(algorithm, &header, &claims().to_string())
}

/// A well-signed token whose claims are changed.
pub(crate) fn with_claims(change: Value) -> String {
    let claims = with(&claims(), change).to_string();
    signed("EdDSA", &header("EdDSA").to_string(), &claims)
}

/// A good token.
pub(crate) fn token(algorithm: &str) -> String {
    with_header(algorithm, json!({}))
}
