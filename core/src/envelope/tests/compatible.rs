//! The compatible form, as a cell reads it without this library.

use http::{HeaderName, HeaderValue};

use super::*;

/// The names of its headers, in order.
const NAMES: [&str; 6] = [
    "x-cellway-envelope-alg",
    "x-cellway-envelope-kid",
    "x-cellway-envelope-issued",
    "x-cellway-envelope-expires",
    "x-cellway-envelope-claims",
    "x-cellway-envelope-signature",
];

fn refused(case: &Case, headers: &HeaderMap) -> EnvelopeRefused {
    let verifier = Verifier::new(spec()).unwrap();
    case.check(&verifier, headers, 0).unwrap_err()
}

fn set(mut headers: HeaderMap, name: &str, value: &str) -> HeaderMap {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    headers.insert(name, HeaderValue::from_str(value).unwrap());
    headers
}

/// Written from docs/envelope.md alone.
#[test]
fn an_older_cell_can_verify_it() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    let case = Case::default();
    let headers = case.compatible();
    assert_eq!(headers.len(), 6);
    let [alg, kid, issued, expires, claims, signature] =
        NAMES.map(|name| headers[name].to_str().unwrap());
    assert_eq!((alg, kid), ("HS256", "eu-1-a"));
    let (method, target) = ("POST", "/orders?page=2");
    let signed = format!(
        "cellway-envelope-compatible-v1\n{alg}\n{kid}\n{issued}\n{expires}\n{method}\n{target}\n{claims}"
    );
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET);
    let signature = BASE64.decode(signature).unwrap();
    aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
    let claims: serde_json::Value =
        serde_json::from_slice(&BASE64.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["aud"], "eu-1");
    assert_eq!(claims["tenant"], "acme");
    assert_eq!(claims["roles"], serde_json::json!(["admin", "reader"]));
    let secs = |text: &str| text.parse::<u64>().unwrap();
    assert_eq!(secs(expires) - secs(issued), 30);
}

/// Catches: an algorithm that the envelope chooses.
#[test]
fn the_algorithm_is_compared_and_never_chosen() {
    let case = Case::default();
    for alg in ["none", "", "hs256", "HS512", "RS256", "HS256 "] {
        let headers = set(case.compatible(), NAMES[0], alg);
        let why = refused(&case, &headers);
        assert_eq!(why, EnvelopeRefused::ForbiddenAlgorithm, "{alg:?}");
    }
}

#[test]
fn six_headers_are_six() {
    let case = Case::default();
    for name in NAMES {
        let mut headers = case.compatible();
        headers.remove(name);
        let why = refused(&case, &headers);
        assert!(
            matches!(why, EnvelopeRefused::Malformed(_)),
            "{name}: {why:?}"
        );
        let mut headers = case.compatible();
        let value = headers[name].clone();
        headers.append(HeaderName::from_static(name), value);
        assert_eq!(refused(&case, &headers), EnvelopeRefused::Several, "{name}");
        let headers = set(case.compatible(), name, "x");
        refused(&case, &headers);
    }
    let cell = set(case.compatible(), "x-cellway-envelope-cell", "eu-1");
    let two = EnvelopeRefused::Malformed("it has the headers of two forms");
    assert_eq!(refused(&case, &cell), two);
    let alg = set(case.hmac(), NAMES[0], "HS256");
    assert_eq!(refused(&case, &alg), two);
}

/// Both forms may use the same key. Catches: a signature of one form that is valid in the other.
#[test]
fn neither_form_passes_for_the_other() {
    let case = Case::default();
    let mut dressed = case.hmac();
    dressed.remove("x-cellway-envelope-cell");
    let dressed = set(dressed, NAMES[0], "HS256");
    assert_eq!(refused(&case, &dressed), EnvelopeRefused::BadSignature);
    let mut dressed = case.compatible();
    dressed.remove(NAMES[0]);
    let dressed = set(dressed, "x-cellway-envelope-cell", "eu-1");
    assert_eq!(refused(&case, &dressed), EnvelopeRefused::BadSignature);
}
