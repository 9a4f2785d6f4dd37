//! Parts, encodings, headers and JSON.

use serde_json::{Value, json};

use crate::Row;
use crate::keys::{claims, encode, header, message, sign, signed, token, with_header};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = parts();
    rows.extend(encodings());
    rows.extend(headers());
    rows.extend(objects());
    rows
}

/// Anything but three parts.
fn parts() -> Vec<Row> {
    let good = token("EdDSA");
    let [header, payload, signature] = split(&good);
    let jwe = json!({"alg": "dir", "enc": "A128GCM", "kid": "EdDSA"}).to_string();
    let general = json!({"payload": payload, "signatures": [
        {"protected": header, "signature": signature}]});
    let flat = json!({"payload": payload, "protected": header, "signature": signature});
    [
        ("nothing at all", String::new()),
        ("one dot", ".".into()),
        ("two dots", "..".into()),
        ("one part", header.into()),
        ("two parts", format!("{header}.{payload}")),
        ("no header", format!(".{payload}.{signature}")),
        ("no payload (detached)", format!("{header}..{signature}")),
        ("a dot before", format!(".{good}")),
        ("a dot after", format!("{good}.")),
        ("four parts", format!("{good}.{signature}")),
        (
            "five parts (encrypted)",
            format!("{}.{}.AAAA.AAAA.AAAA", encode(jwe), encode("key")),
        ),
        ("five parts, signed ones first", format!("{good}.AAAA.AAAA")),
        ("JSON, general", general.to_string()),
        ("JSON, flattened", flat.to_string()),
        ("a quoted token", format!("\"{good}\"")),
        ("the payload alone", payload.into()),
        (
            "over 16 KiB",
            with_header("EdDSA", json!({"pad": "x".repeat(17_000)})),
        ),
    ]
    .map(|(name, token)| Row::new("parts", name, token))
    .into()
}

/// A change to one part of a token.
type Respelling = fn(&str) -> String;

/// Other spellings of base64url, or none.
const RESPELLINGS: [(&str, Respelling); 9] = [
    ("padded", |part| format!("{part}=")),
    ("padded twice", |part| format!("{part}==")),
    ("a space after", |part| format!("{part} ")),
    ("a tabulator before", |part| format!("\t{part}")),
    ("a space inside", |part| {
        format!("{} {}", &part[..4], &part[4..])
    }),
    ("one character more", |part| format!("{part}A")),
    ("one character less", |part| {
        part[..part.len() - 1].to_owned()
    }),
    ("a percent escape", |part| {
        format!("%{:02x}{}", part.as_bytes()[0], &part[1..])
    }),
    ("a star inside", |part| {
        format!("{}*{}", &part[..4], &part[4..])
    }),
];

/// Base64url has one spelling.
fn encodings() -> Vec<Row> {
    let good = token("EdDSA");
    let [header, payload, signature] = split(&good);
    let mut rows = Vec::new();
    let mut row = |name: String, token| rows.push(Row::new("base64url", name, token));
    for (name, change) in RESPELLINGS {
        row(
            format!("header: {name}"),
            format!("{}.{payload}.{signature}", change(header)),
        );
        row(
            format!("payload: {name}"),
            format!("{header}.{}.{signature}", change(payload)),
        );
        row(
            format!("signature: {name}"),
            format!("{header}.{payload}.{}", change(signature)),
        );
    }
    // 64 bytes leave two bits over in the last character.
    let (rest, last) = signature.split_at(signature.len() - 1);
    let dirty = char::from(last.as_bytes()[0] + 1);
    row(
        "signature: bits left over".into(),
        format!("{header}.{payload}.{rest}{dirty}"),
    );
    let plus = signature.replace('-', "+").replace('_', "/");
    row(
        "signature: the other alphabet".into(),
        format!("{header}.{payload}.{plus}+"),
    );
    rows.extend(signed_as_sent(header, payload));
    rows
}

/// Well signed over the spelling that is sent.
fn signed_as_sent(header: &str, payload: &str) -> impl Iterator<Item = Row> {
    let rows = [
        (
            "a padded header, signed as sent",
            format!("{header}=.{payload}"),
        ),
        (
            "a padded payload, signed as sent",
            format!("{header}.{payload}=="),
        ),
        (
            "a payload of two encodings",
            format!("{header}.{}", encode(payload)),
        ),
    ];
    rows.into_iter().map(|(name, message)| {
        let token = format!("{message}.{}", sign("EdDSA", &message));
        Row::new("base64url", name, token)
    })
}

/// Members that ask for something (RFC 7515, RFC 7797, RFC 8725 sections 3.10 to 3.12). Every one
/// of these tokens is well signed.
fn headers() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |class, change: Value| {
        let token = with_header("EdDSA", change.clone());
        let mut name = change.to_string();
        name.truncate(58);
        rows.push(Row::new(class, name, token));
    };
    for crit in crits() {
        row("crit", json!({"crit": crit, "exp": 1}));
    }
    for change in wrappings() {
        row("b64, zip, enc, cty", change);
    }
    for typ in types() {
        row("typ", json!({"typ": typ}));
    }
    for kid in kids() {
        row("kid", json!({"kid": kid}));
    }
    rows
}

/// Extensions that must be understood; none is.
fn crits() -> Vec<Value> {
    vec![
        json!([]),
        json!(["exp"]),
        json!(["b64"]),
        json!(["alg"]),
        json!(["http://example.invalid/UNDEFINED"]),
        json!(["kid", "kid"]),
        json!([1]),
        json!("exp"),
        json!({}),
        json!(true),
        json!(false),
        json!(0),
    ]
}

/// Payloads that are something else than claims in base64url.
fn wrappings() -> Vec<Value> {
    vec![
        json!({"b64": false}),
        json!({"b64": true}),
        json!({"b64": "false"}),
        json!({"b64": false, "crit": ["b64"]}),
        json!({"zip": "DEF"}),
        json!({"zip": "none"}),
        json!({"enc": "A256GCM"}),
        json!({"cty": "JWT"}),
        json!({"cty": "jwt"}),
        json!({"cty": "application/jwt"}),
        json!({"cty": 1}),
    ]
}

/// Other kinds of document.
fn types() -> Vec<Value> {
    vec![
        json!(""),
        json!("JWS"),
        json!("JOSE"),
        json!("JOSE+JSON"),
        json!("cba+jwt"),
        json!("CBA+JWT"),
        json!("application/cba+jwt"),
        json!("cellway-envelope+jwt"),
        json!("application/cellway-envelope+jwt"),
        json!("dpop+jwt"),
        json!("logout+jwt"),
        json!("secevent+jwt"),
        json!("id_token"),
        json!("JWT "),
        json!("JWT;x=y"),
        json!("text/JWT"),
        json!("application/application/JWT"),
        json!(1),
        json!(["JWT"]),
    ]
}

/// Names of no key.
fn kids() -> Vec<Value> {
    vec![
        json!(""),
        json!("eddsa"),
        json!("EdDSA "),
        json!("EdDSA\u{0}"),
        json!("../../EdDSA"),
        json!("' OR 1=1 --"),
        json!("https://idp.example/EdDSA"),
        json!("k".repeat(257)),
        json!(1),
        json!(["EdDSA"]),
        json!({"kid": "EdDSA"}),
    ]
}

/// What parsers disagree about. Every one of these is well signed.
fn objects() -> Vec<Row> {
    let good = claims().to_string();
    let header = header("EdDSA").to_string();
    let mut rows = Vec::new();
    for (name, text) in header_texts(&header) {
        let token = signed("EdDSA", &text, &good);
        rows.push(Row::new("JSON", format!("header: {name}"), token));
    }
    for (name, text) in claims_texts(&good) {
        let token = signed("EdDSA", &header, &text);
        rows.push(Row::new("JSON", format!("claims: {name}"), token));
    }
    // JSON is UTF-8; these bytes aren't.
    let latin = encode([&good.as_bytes()[..good.len() - 1], b",\"x\":\"\xe9\"}"].concat());
    let message = format!("{}.{latin}", message(&header, "").trim_end_matches('.'));
    let token = format!("{message}.{}", sign("EdDSA", &message));
    rows.push(Row::new("JSON", "claims: not UTF-8", token));
    rows
}

/// Headers that are JSON to some parsers, and say the same or another thing to others.
fn header_texts(header: &str) -> Vec<(&'static str, String)> {
    vec![
        (
            "alg twice",
            r#"{"alg":"EdDSA","kid":"EdDSA","alg":"EdDSA"}"#.to_owned(),
        ),
        (
            "alg, then none",
            r#"{"alg":"EdDSA","kid":"EdDSA","alg":"none"}"#.to_owned(),
        ),
        (
            "alg twice, escaped",
            r#"{"alg":"EdDSA","kid":"EdDSA","\u0061lg":"EdDSA"}"#.to_owned(),
        ),
        (
            "kid twice",
            r#"{"alg":"EdDSA","kid":"x","kid":"EdDSA"}"#.to_owned(),
        ),
        (
            "twice inside",
            r#"{"alg":"EdDSA","kid":"EdDSA","x":{"a":1,"a":2}}"#.to_owned(),
        ),
        (
            "crit, escaped",
            r#"{"alg":"EdDSA","kid":"EdDSA","cr\u0069t":["exp"]}"#.to_owned(),
        ),
        ("text after", format!("{header}x")),
        ("a zero byte after", format!("{header}\u{0}")),
        ("a byte order mark", format!("\u{feff}{header}")),
        ("a list", format!("[{header}]")),
        ("a string", r#""EdDSA""#.to_owned()),
        ("null", "null".to_owned()),
        (
            "a comma at the end",
            r#"{"alg":"EdDSA","kid":"EdDSA",}"#.to_owned(),
        ),
        (
            "a comment",
            r#"{"alg":"EdDSA","kid":"EdDSA"/**/}"#.to_owned(),
        ),
        ("single quotes", "{'alg':'EdDSA','kid':'EdDSA'}".to_owned()),
        (
            "half a character",
            r#"{"alg":"EdDSA","kid":"EdDSA","x":"\ud800"}"#.to_owned(),
        ),
        (
            "too deep",
            format!(r#"{{"alg":"EdDSA","kid":"EdDSA","x":{}}}"#, deep(16)),
        ),
        (
            "far too deep",
            format!(r#"{{"alg":"EdDSA","kid":"EdDSA","x":{}}}"#, deep(5000)),
        ),
    ]
}

/// Claims that are.
fn claims_texts(good: &str) -> Vec<(&'static str, String)> {
    let inside = &good[1..good.len() - 1];
    vec![
        (
            "iss twice",
            format!(r#"{{{inside},"iss":"https://idp.example"}}"#),
        ),
        (
            "another iss",
            format!(r#"{{"iss":"https://evil.example",{inside}}}"#),
        ),
        (
            "tenant twice",
            format!(r#"{{{inside},"tenant_id":"acme"}}"#),
        ),
        (
            "another tenant",
            format!(r#"{{"tenant_id":"globex",{inside}}}"#),
        ),
        (
            "another tenant, escaped",
            format!(r#"{{"tenant\u005fid":"globex",{inside}}}"#),
        ),
        ("exp twice", format!(r#"{{{inside},"exp":9999999999}}"#)),
        ("aud twice", format!(r#"{{{inside},"aud":"cellway"}}"#)),
        (
            "an unused claim twice",
            format!(r#"{{{inside},"x":1,"x":1}}"#),
        ),
        (
            "twice, deep inside",
            format!(r#"{{{inside},"x":[{{"y":{{"a":1,"a":1}}}}]}}"#),
        ),
        ("text after", format!("{good}x")),
        ("another object after", format!("{good}{good}")),
        ("a byte order mark", format!("\u{feff}{good}")),
        ("a list", format!("[{good}]")),
        ("a string", format!("{good:?}")),
        ("a token", token("EdDSA")),
        ("empty", String::new()),
        ("an empty object", "{}".to_owned()),
        ("breaks off", good[..good.len() - 1].to_owned()),
        ("a number too large", format!(r#"{{{inside},"x":1e999}}"#)),
        ("not a number", format!(r#"{{{inside},"x":NaN}}"#)),
        ("too deep", format!(r#"{{{inside},"x":{}}}"#, deep(16))),
        (
            "far too deep",
            format!(r#"{{{inside},"x":{}}}"#, deep(5000)),
        ),
    ]
}

/// An array in an array, so many times.
fn deep(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

fn split(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().expect("three parts")
}
