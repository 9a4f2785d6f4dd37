//! Signatures and algorithms.

use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Row;
use crate::keys::{
    ALGORITHMS, bare, claims, decode, encode, forge, header, jwk, message, published, sign,
    strangers, token, with, with_header,
};
use crate::sets::beside_another;

/// Tokens of RSA keys that no library of ours would make: other salts, other padding, keys whose
/// numbers were chosen for the attack. Made once, with arithmetic on the bare numbers.
const RSA: &str = include_str!("rsa.json");

/// The orders of P-256 and P-384 (SEC 2).
const ORDERS: [(&str, &str); 2] = [
    (
        "ES256",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    ),
    (
        "ES384",
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    ),
];
/// The order of Ed25519's group, little-endian (RFC 8032).
const ED25519_ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

/// An entry of [`RSA`].
#[derive(Deserialize)]
pub(crate) struct Fixed {
    pub name: String,
    pub alg: String,
    pub jwk: Value,
    pub token: String,
    /// A good token, to show that the bad ones are bad in one way only.
    pub good: bool,
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = confusions();
    rows.extend(secrets());
    rows.extend(names());
    rows.extend(spoiled());
    rows.extend(ecdsa());
    rows.extend(ed25519());
    rows.extend(
        fixed()
            .into_iter()
            .filter(|fixed| !fixed.good)
            .map(|fixed| {
                let class = if fixed.token.starts_with("eyJhbGciOiJQ") {
                    "RSASSA-PSS"
                } else {
                    "RSA"
                };
                row(class, fixed)
            }),
    );
    rows
}

/// Every entry of [`RSA`].
pub(crate) fn fixed() -> Vec<Fixed> {
    serde_json::from_str(RSA).unwrap()
}

/// A token and the one key that is to verify it.
pub(crate) fn row(class: &'static str, fixed: Fixed) -> Row {
    let Fixed {
        name,
        alg,
        jwk,
        token,
        ..
    } = fixed;
    let keys = beside_another(with(&jwk, json!({"alg": alg})));
    Row {
        class,
        name,
        keys,
        token,
    }
}

/// RFC 8725, sections 2.1 and 3.1: the key's algorithm holds, not the token's.
fn confusions() -> Vec<Row> {
    let mut rows = Vec::new();
    for algorithm in ALGORITHMS {
        for other in ALGORITHMS.into_iter().filter(|other| *other != algorithm) {
            let named = format!("{algorithm} under the key for {other}");
            let swapped = with_header(algorithm, json!({"kid": other}));
            rows.push(Row::new("another key's algorithm", named, swapped));
            if bare(algorithm) == bare(other) {
                let message = message(&header(other).to_string(), &claims().to_string());
                let signature = sign(algorithm, &message);
                let named = format!("{other} that is signed as {algorithm}");
                let lying = format!("{message}.{signature}");
                rows.push(Row::new("another key's algorithm", named, lying));
            }
        }
    }
    rows
}

/// RFC 8725, section 2.1: public keys as secrets of HMAC.
fn secrets() -> Vec<Row> {
    let raw = |name| decode(bare("EdDSA")[name].as_str().unwrap());
    let modulus = decode(bare("RS256")["n"].as_str().unwrap());
    let point = ["x", "y"]
        .map(|name| decode(bare("ES256")[name].as_str().unwrap()))
        .concat();
    let secrets = [
        ("nothing", "EdDSA", Vec::new()),
        ("a zero byte", "EdDSA", vec![0]),
        ("the Ed25519 key", "EdDSA", raw("x")),
        ("the JWK", "EdDSA", jwk("EdDSA").to_string().into_bytes()),
        ("the key set", "EdDSA", published().into_bytes()),
        ("the modulus", "RS256", modulus),
        ("the point", "ES256", point),
    ];
    let mut rows = Vec::new();
    for (name, kid, secret) in &secrets {
        for alg in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = json!({"alg": format!("{alg:?}"), "kid": kid}).to_string();
            let message = message(&header, &claims().to_string());
            let key = EncodingKey::from_secret(secret);
            let signature = crypto::sign(message.as_bytes(), &key, alg).unwrap();
            let named = format!("{alg:?} with {name} as secret");
            rows.push(Row::new("HMAC", named, format!("{message}.{signature}")));
        }
    }
    rows
}

/// Values of `alg` that are none.
fn names() -> Vec<Row> {
    let mut rows = Vec::new();
    let [_, _, signature] = parts(&token("EdDSA"));
    for alg in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "none ",
        "\u{0}none",
        "",
        "null",
    ] {
        let header = json!({"alg": alg, "kid": "EdDSA"}).to_string();
        let message = message(&header, &claims().to_string());
        for (name, signature) in [("nothing", ""), ("a signature", &signature)] {
            let named = format!("{alg:?} with {name}");
            rows.push(Row::new(
                "alg none",
                named,
                format!("{message}.{signature}"),
            ));
        }
    }
    for alg in [
        json!("eddsa"),
        json!("EdDSA "),
        json!("Ed25519"),
        json!("Ed448"),
        json!("ES512"),
        json!("ES256K"),
        json!("RS1"),
        json!("rs256"),
        json!("HS256"),
        json!("dir"),
        json!("RSA-OAEP"),
        json!("A128KW"),
        json!("PBES2-HS256+A128KW"),
        json!("ML-DSA-44"),
        json!(1),
        json!(true),
        json!(["EdDSA"]),
        json!({"EdDSA": true}),
    ] {
        let token = with_header("EdDSA", json!({"alg": alg}));
        rows.push(Row::new("alg unheard of", alg.to_string(), token));
    }
    let token = with_header("EdDSA", json!({"alg": null}));
    rows.push(Row::new("alg unheard of", "absent", token));
    rows
}

/// Each algorithm's signature, spoiled in each way.
fn spoiled() -> Vec<Row> {
    let mut rows = Vec::new();
    for algorithm in ALGORITHMS {
        let good = token(algorithm);
        let (message, signature) = good.rsplit_once('.').unwrap();
        let signature = decode(signature);
        let (first, last) = (signature[0], signature[signature.len() - 1]);
        let change = |at: usize, byte: u8| {
            let mut changed = signature.clone();
            changed[at] = byte;
            changed
        };
        let other = with_header(algorithm, json!({"typ": "at+jwt"}));
        let mut reversed = signature.clone();
        reversed.reverse();
        for (name, spoiled) in [
            ("nothing", Vec::new()),
            ("a byte short", signature[..signature.len() - 1].to_vec()),
            ("without its first byte", signature[1..].to_vec()),
            ("with a zero byte after", [&signature[..], &[0]].concat()),
            ("with a zero byte before", [&[0], &signature[..]].concat()),
            ("twice", signature.repeat(2)),
            ("its first bit", change(0, first ^ 0x80)),
            ("its last bit", change(signature.len() - 1, last ^ 1)),
            ("zeros", vec![0; signature.len()]),
            ("ones", vec![0xff; signature.len()]),
            ("backwards", reversed),
            (
                "of another header",
                decode(other.rsplit_once('.').unwrap().1),
            ),
            ("by a stranger", decode(&forge(algorithm, message))),
        ] {
            let token = format!("{message}.{}", encode(spoiled));
            rows.push(Row::new(
                "signature spoiled",
                format!("{algorithm}: {name}"),
                token,
            ));
        }
        let [header, _, own] = parts(&good);
        let payload = encode(with(&claims(), json!({"tenant_id": "globex"})).to_string());
        let token = format!("{header}.{payload}.{own}");
        rows.push(Row::new(
            "signature spoiled",
            format!("{algorithm}: other claims"),
            token,
        ));
    }
    rows
}

/// ECDSA: numbers out of range (one of them the "psychic" signature), and other encodings.
fn ecdsa() -> Vec<Row> {
    let mut rows = Vec::new();
    for (algorithm, order) in ORDERS {
        let order = hex(order);
        let good = token(algorithm);
        let (message, signature) = good.rsplit_once('.').unwrap();
        let signature = decode(signature);
        let (r, s) = signature.split_at(signature.len() / 2);
        let (zero, one) = (vec![0; r.len()], [&vec![0; r.len() - 1][..], &[1]].concat());
        for (name, spoiled) in [
            ("r = s = 0", [&zero[..], &zero].concat()),
            ("r = 0", [&zero[..], s].concat()),
            ("s = 0", [r, &zero].concat()),
            ("r = s = 1", [&one[..], &one].concat()),
            ("r = s = the order", [&order[..], &order].concat()),
            ("r = the order", [&order[..], s].concat()),
            ("s = the order", [r, &order].concat()),
            ("r = the order, s = 0", [&order[..], &zero].concat()),
            ("r and s swapped", [s, r].concat()),
            ("r alone", r.to_vec()),
            ("ASN.1", der(r, s)),
            ("ASN.1 of zeros", vec![0x30, 6, 2, 1, 0, 2, 1, 0]),
            (
                "each number with a zero before",
                [&[0][..], r, &[0], s].concat(),
            ),
            ("the point's mark before", [&[4][..], r, s].concat()),
        ] {
            let token = format!("{message}.{}", encode(spoiled));
            rows.push(Row::new("ECDSA", format!("{algorithm}: {name}"), token));
        }
    }
    rows
}

/// Ed25519: a second S for the same signature, and an R that says nothing.
fn ed25519() -> Vec<Row> {
    let good = token("EdDSA");
    let (message, signature) = good.rsplit_once('.').unwrap();
    let signature = decode(signature);
    let (r, s) = signature.split_at(32);
    let mut carry = 0_u16;
    let larger: Vec<u8> = (s.iter().zip(hex(ED25519_ORDER)))
        .map(|(&a, b)| {
            let sum = u16::from(a) + u16::from(b) + carry;
            carry = sum >> 8;
            sum.to_le_bytes()[0]
        })
        .collect();
    let identity = [&[1][..], &[0; 31]].concat();
    let spoiled = [
        ("S and the order", [r, &larger].concat()),
        ("S = 0", [r, &[0; 32]].concat()),
        ("S = the order", [r, &hex(ED25519_ORDER)].concat()),
        ("R = the identity", [&identity[..], s].concat()),
        (
            "R = the identity, S = 0",
            [&identity[..], &[0; 32]].concat(),
        ),
        ("R and S swapped", [s, r].concat()),
        ("R in another spelling", [&[0xff; 32][..], s].concat()),
    ];
    let mut rows: Vec<Row> = spoiled
        .into_iter()
        .map(|(name, spoiled)| Row::new("Ed25519", name, format!("{message}.{}", encode(spoiled))))
        .collect();
    // A key that the token brings itself, in each of the ways that there are.
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        for (name, own) in [
            ("jwk", json!({"jwk": strangers(algorithm)})),
            ("jku", json!({"jku": "https://idp.evil.test/jwks.json"})),
            ("x5u", json!({"x5u": "https://idp.evil.test/x5u.pem"})),
            ("x5c", json!({"x5c": ["MIIB"]})),
            ("x5t", json!({"x5t#S256": encode([0; 32])})),
        ] {
            let header = with(&header(algorithm), own).to_string();
            let message = crate::keys::message(&header, &claims().to_string());
            let token = format!("{message}.{}", forge(algorithm, &message));
            rows.push(Row::new(
                "keys that a token brings",
                format!("{algorithm}: {name}"),
                token,
            ));
        }
    }
    rows
}

fn parts(token: &str) -> [String; 3] {
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().expect("three parts")
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// `SEQUENCE { r INTEGER, s INTEGER }`.
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let number = &number[zeros..];
        let sign: &[u8] = if number[0] < 0x80 { &[] } else { &[0] };
        [&[2, (sign.len() + number.len()) as u8], sign, number].concat()
    };
    let both = [integer(r), integer(s)].concat();
    [&[0x30, both.len() as u8], &both[..]].concat()
}
