//! Key sets.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cellway_core::keys::{Algorithm, KeySet};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The same keys are the same set, in whatever order and however often they are written.
pub(crate) fn run(data: &[u8]) {
    let Ok(set) = KeySet::parse(data, &Algorithm::ALL) else {
        return;
    };
    assert!(!set.is_empty() && set.len() <= KeySet::KEYS_MAX);
    let text = data.strip_prefix("\u{feff}".as_bytes()).unwrap_or(data);
    let document: Document<'_> = serde_json::from_slice(text).expect("a set is JSON");
    let entries: Vec<&str> = document.keys.iter().map(|entry| entry.get()).collect();
    assert!(set.len() + set.skipped().len() <= entries.len());
    let mut other: Vec<&str> = entries.iter().rev().copied().collect();
    if 2 * entries.len() <= KeySet::ENTRIES_MAX {
        other.extend(&entries);
    }
    let text = format!("\n{{ \"x\": [], \"keys\" : [ {} ] }} ", other.join(" ,\n"));
    if text.len() > KeySet::BYTES_MAX {
        return;
    }
    let again = KeySet::parse(text.as_bytes(), &Algorithm::ALL).expect("the same keys");
    assert_eq!(again.digest(), set.digest(), "{text}");
    assert_eq!(again.len(), set.len(), "{text}");
    // Fewer algorithms, never more keys.
    if let Ok(fewer) = KeySet::parse(data, &[Algorithm::EdDSA, Algorithm::PS256]) {
        assert!(fewer.len() <= set.len());
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let ed = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any seed is a key");
    let x = URL_SAFE_NO_PAD.encode(ed.public_key());
    let ed = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": x, "use": "sig"});
    let p256 = ec("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
    let p384 = ec("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING);
    let n = URL_SAFE_NO_PAD.encode([&[0xff; 255][..], &[0x8f]].concat());
    let rsa = json!({"kty": "RSA", "alg": "RS256", "kid": "rsa", "n": n, "e": "AQAB"});
    let oct = json!({"kty": "oct", "kid": "oct", "k": "AAAA", "alg": "HS256"});
    let ops = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "key_ops": ["verify", "sign"],
        "x5c": ["AAAA"], "ext": true});
    let set = |keys: &[&Value]| json!({ "keys": keys }).to_string().into_bytes();
    vec![
        set(&[&ed]),
        set(&[&rsa]),
        set(&[&p256, &p384]),
        set(&[&oct, &ops]),
        set(&[&ed, &rsa, &p256, &p384, &oct, &ops]),
    ]
}

/// A new key each time. Inputs that matter are kept by their bytes.
fn ec(crv: &str, algorithm: &'static EcdsaSigningAlgorithm) -> Value {
    let key = EcdsaKeyPair::generate(algorithm).expect("the library makes keys");
    let point = key.public_key().as_ref();
    let (x, y) = point[1..].split_at(point.len() / 2);
    let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
    json!({"kty": "EC", "crv": crv, "kid": crv, "x": x, "y": y})
}
