//! Key sets: each token is well signed by the key that it names, and the key must not count.

use serde_json::{Value, json};

use crate::Row;
use crate::keys::{
    bare, claims, decode, encode, header, jwk, message, set, sign, signed, strangers, token, with,
};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = purposes();
    rows.extend(shapes());
    rows.extend(weak());
    rows.extend(documents());
    rows.extend(other_names());
    rows.extend(other_algorithms());
    rows
}

/// A token of this algorithm, and the issuer's key for it with these members changed.
fn changed(class: &'static str, algorithm: &str, change: Value) -> Row {
    let mut name = change.to_string();
    name.truncate(50);
    named(class, algorithm, &name, change)
}

/// The same where the change holds parts of a key, which is new in each run.
fn named(class: &'static str, algorithm: &str, name: &str, change: Value) -> Row {
    Row {
        class,
        name: format!("{algorithm}: {name}"),
        keys: beside_another(with(&jwk(algorithm), change)),
        token: token(algorithm),
    }
}

/// A set that stands without this key too, so that the key itself is what is refused.
pub(crate) fn beside_another(key: Value) -> String {
    set(&[key, with(&jwk("ES384"), json!({"kid": "another"}))])
}

/// `use`, `key_ops`, `alg` (RFC 7517, section 4).
fn purposes() -> Vec<Row> {
    let changes = [
        json!({"use": "enc"}),
        json!({"use": "Sig"}),
        json!({"use": ""}),
        json!({"use": ["sig"]}),
        json!({"use": 1}),
        json!({"key_ops": []}),
        json!({"key_ops": ["sign"]}),
        json!({"key_ops": ["encrypt", "wrapKey"]}),
        json!({"key_ops": ["Verify"]}),
        json!({"key_ops": "verify"}),
        json!({"key_ops": ["verify", "verify"]}),
        json!({"key_ops": ["verify", 1]}),
        json!({"key_ops": ["verify", "encrypt"]}),
        json!({"key_ops": {"verify": true}}),
        json!({"alg": "none"}),
        json!({"alg": "HS256"}),
        json!({"alg": "dir"}),
        json!({"alg": "RSA-OAEP"}),
        json!({"alg": ""}),
        json!({"alg": 1}),
        json!({"alg": ["EdDSA", "ES256", "RS256"]}),
    ];
    let mut rows = Vec::new();
    for change in changes {
        for algorithm in ["RS256", "ES256", "EdDSA"] {
            rows.push(changed(
                "use, key_ops and alg of a key",
                algorithm,
                change.clone(),
            ));
        }
    }
    rows
}

/// `kty`, `crv` and the members that make a key (RFC 7518, section 6; RFC 8037, section 2).
fn shapes() -> Vec<Row> {
    const CLASS: &str = "shape of a key";
    let mut rows = Vec::new();
    let mut row = |algorithm, change| rows.push(changed(CLASS, algorithm, change));
    for kty in [
        json!("oct"),
        json!("rsa"),
        json!("AKP"),
        json!(""),
        json!(1),
        json!(null),
    ] {
        for algorithm in ["RS256", "ES256", "EdDSA"] {
            row(algorithm, json!({"kty": kty}));
        }
    }
    row("RS256", json!({"kty": "EC"}));
    row("ES256", json!({"kty": "OKP"}));
    row("EdDSA", json!({"kty": "EC"}));
    for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        row("RS256", json!({private: "AQAB"}));
    }
    row("EdDSA", json!({"d": encode([1; 32])}));
    row("ES256", json!({"d": encode([1; 32])}));
    for crv in ["P-384", "P-521", "secp256k1", "p-256", "Ed25519", ""] {
        row("ES256", json!({"crv": crv}));
    }
    for crv in ["Ed448", "X25519", "P-256", "ed25519", ""] {
        row("EdDSA", json!({"crv": crv}));
    }
    for (algorithm, member) in [
        ("RS256", "n"),
        ("RS256", "e"),
        ("ES256", "x"),
        ("ES256", "y"),
    ] {
        row(algorithm, json!({ member: null }));
        row(algorithm, json!({ member: "" }));
        row(algorithm, json!({ member: 1 }));
    }
    for kid in [
        json!(""),
        json!(1),
        json!(["EdDSA"]),
        json!("k".repeat(257)),
    ] {
        row("EdDSA", json!({"kid": kid}));
    }
    rows.extend(respelled());
    rows
}

/// Parts of a key in another spelling, or of another length.
fn respelled() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |algorithm, name: &str, change| {
        rows.push(named("shape of a key", algorithm, name, change));
    };
    for (algorithm, member) in [
        ("RS256", "n"),
        ("RS256", "e"),
        ("ES256", "x"),
        ("ES256", "y"),
    ] {
        let value = bare(algorithm)[member].as_str().unwrap().to_owned();
        row(
            algorithm,
            &format!("{member} padded three times"),
            json!({ member: format!("{value}===") }),
        );
        row(
            algorithm,
            &format!("a space after {member}"),
            json!({ member: format!("{value} ") }),
        );
    }
    for algorithm in ["ES256", "EdDSA"] {
        let x = decode(bare(algorithm)["x"].as_str().unwrap());
        row(
            algorithm,
            "x a byte longer",
            json!({"x": encode([&[0], &x[..]].concat())}),
        );
        row(algorithm, "x a byte shorter", json!({"x": encode(&x[1..])}));
    }
    let key = bare("ES256");
    row(
        "ES256",
        "x and y swapped",
        json!({"x": key["y"], "y": key["x"]}),
    );
    row(
        "ES256",
        "y of another point",
        json!({"y": strangers("ES256")["y"]}),
    );
    row(
        "ES256",
        "x and y zero",
        json!({"x": encode([0; 32]), "y": encode([0; 32])}),
    );
    rows
}

/// Points of small order: signatures under them need no private key.
fn weak() -> Vec<Row> {
    let sign_bit = |mut point: [u8; 32]| {
        point[31] |= 0x80;
        point
    };
    let number = |first: u8, between: u8, last: u8| {
        let mut point = [between; 32];
        (point[0], point[31]) = (first, last);
        point
    };
    let identity = number(1, 0, 0);
    let message = message(&header("EdDSA").to_string(), &claims().to_string());
    [
        ("the identity", identity),
        ("the identity with a sign", sign_bit(identity)),
        ("order 2", number(0xec, 0xff, 0x7f)),
        ("order 4", [0; 32]),
        ("order 4 with a sign", sign_bit([0; 32])),
        (
            "the identity in a second spelling",
            number(0xee, 0xff, 0x7f),
        ),
        ("zero in a second spelling", number(0xed, 0xff, 0x7f)),
    ]
    .map(|(name, point)| {
        let key = with(&jwk("EdDSA"), json!({"x": encode(point)}));
        let forged = encode([&identity[..], &[0; 32]].concat());
        Row {
            class: "weak points",
            name: name.to_owned(),
            keys: beside_another(key),
            token: format!("{message}.{forged}"),
        }
    })
    .into()
}

/// Documents that are no key set.
fn documents() -> Vec<Row> {
    let key = jwk("EdDSA").to_string();
    let many = vec![jwk("EdDSA"); 1025];
    let twice = key.replacen('{', r#"{"kty":"OKP","#, 1);
    [
        ("nothing", String::new()),
        ("a page", "<html>503</html>".to_owned()),
        ("null", "null".to_owned()),
        ("a list", format!("[{key}]")),
        ("a list of a list", format!("[[{key}]]")),
        ("one key, not in a set", key.clone()),
        ("no keys", "{}".to_owned()),
        ("keys that are null", r#"{"keys":null}"#.to_owned()),
        ("keys that are one", format!(r#"{{"keys":{key}}}"#)),
        ("keys by name", format!(r#"{{"keys":{{"EdDSA":{key}}}}}"#)),
        ("an empty set", r#"{"keys":[]}"#.to_owned()),
        ("keys in other case", format!(r#"{{"Keys":[{key}]}}"#)),
        ("keys twice", format!(r#"{{"keys":[{key}],"keys":[]}}"#)),
        (
            "keys twice, escaped",
            format!(r#"{{"keys":[],"\u006beys":[{key}]}}"#),
        ),
        ("text after", format!(r#"{{"keys":[{key}]}}x"#)),
        ("breaks off", format!(r#"{{"keys":[{key}"#)),
        (
            "a member of a key twice",
            format!(r#"{{"keys":[{twice}]}}"#),
        ),
        ("over 1024 entries", set(&many)),
        (
            "over 1 MiB",
            format!(r#"{{"keys":[{key}]}}{}"#, " ".repeat(1 << 20)),
        ),
        ("a key as text", set(&[json!(key)])),
        ("a key in a list", set(&[json!([jwk("EdDSA")])])),
        (
            "a byte order mark, twice",
            format!("\u{feff}\u{feff}{}", set(&[jwk("EdDSA")])),
        ),
    ]
    .map(|(name, keys)| Row {
        class: "documents",
        name: name.to_owned(),
        keys,
        token: token("EdDSA"),
    })
    .into()
}

/// A token for a set in which its key may be missing, or have another name or algorithm.
fn which_key(name: &str, keys: &[Value], token: String) -> Row {
    Row {
        class: "which key",
        name: name.to_owned(),
        keys: set(keys),
        token,
    }
}

fn stranger(kid: &str) -> Value {
    with(&strangers("EdDSA"), json!({ "kid": kid }))
}

/// Keys of other names, or without one.
fn other_names() -> Vec<Row> {
    let nameless = |key: &Value| with(key, json!({"kid": null}));
    let kidless = |algorithm: &str| {
        let header = json!({ "alg": algorithm }).to_string();
        signed(algorithm, &header, &claims().to_string())
    };
    vec![
        which_key(
            "a stranger's under the name",
            &[stranger("EdDSA")],
            token("EdDSA"),
        ),
        which_key(
            "the key under another name",
            &[with(&jwk("EdDSA"), json!({"kid": "x"}))],
            token("EdDSA"),
        ),
        which_key(
            "the key without a name, among others",
            &[nameless(&jwk("EdDSA")), jwk("ES256")],
            token("EdDSA"),
        ),
        which_key(
            "a stranger's alone and without a name",
            &[nameless(&stranger("x"))],
            token("EdDSA"),
        ),
        which_key(
            "no name in the token, two that fit",
            &[jwk("EdDSA"), stranger("x")],
            kidless("EdDSA"),
        ),
        which_key(
            "no name in the token, none that fits",
            &[jwk("ES256")],
            kidless("EdDSA"),
        ),
    ]
}

/// Keys of the right name for another algorithm.
fn other_algorithms() -> Vec<Row> {
    let own = header("EdDSA").to_string();
    let rsa = with(&jwk("RS256"), json!({"alg": "PS256", "kid": "RS256"}));
    let rs512 = with(&jwk("RS256"), json!({"alg": "RS512", "kid": "PS256"}));
    let message = message(&own, &claims().to_string());
    let signature = sign("ES256", &message);
    vec![
        which_key("a symmetric key under the name", &[oct()], token("EdDSA")),
        which_key("RS256 under an RSA key for PS256", &[rsa], token("RS256")),
        which_key("PS256 under an RSA key for RS512", &[rs512], token("PS256")),
        which_key(
            "EdDSA that is ECDSA",
            &[jwk("EdDSA"), jwk("ES256")],
            format!("{message}.{signature}"),
        ),
    ]
}

fn oct() -> Value {
    let k = bare("EdDSA")["x"].clone();
    json!({"kty": "oct", "kid": "EdDSA", "k": k, "alg": "HS256"})
}
