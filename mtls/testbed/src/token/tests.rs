use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};

use super::*;
use crate::Algorithm;

const NOW: Unix = Unix::from_secs(1_800_000_000);

fn claims() -> Claims {
    Claims::new(
        "https://idp.example",
        "cellway",
        NOW,
        Duration::from_secs(60),
    )
    .tenant("acme")
    .subject("ada")
}

fn decode(token: &str, signer: &Signer) -> Result<Value, jsonwebtoken::errors::Error> {
    let jwk: Jwk = serde_json::from_value(signer.jwk()).unwrap();
    let algorithm = signer.algorithm().as_str().parse().unwrap();
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.set_audience(&["cellway"]);
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    jsonwebtoken::decode(token, &key, &validation).map(|data| data.claims)
}

#[test]
fn every_algorithm_verifies_under_its_published_key() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Es256] {
        let signer = Signer::generate("k1", algorithm).unwrap();
        let other = Signer::generate("k1", algorithm).unwrap();
        let token = claims().sign(&signer).unwrap();
        let decoded = decode(&token, &signer).unwrap();
        assert_eq!(decoded["tenant_id"], "acme");
        assert_eq!(decoded["exp"], NOW.as_secs() + 60);
        decode(&token, &other).unwrap_err();
    }
}

#[test]
fn a_seed_gives_the_same_token_each_time() {
    let token = || {
        let signer = Signer::from_seed("k1", [7; 32]).unwrap();
        claims().sign(&signer).unwrap()
    };
    assert_eq!(token(), token());
    let signer = Signer::from_seed("k1", [7; 32]).unwrap();
    decode(&token(), &signer).unwrap();
}

#[test]
fn an_unsigned_token_says_so() {
    let token = unsigned(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!((parts.len(), parts[2]), (3, ""));
    let header = jsonwebtoken::decode_header(&token);
    assert!(header.is_err(), "no library should know the algorithm");
}
