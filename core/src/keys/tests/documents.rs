use crate::keys::{Algorithm, KeySet};
use crate::testing::Signer;

/// Catches: a document that people take for a key set, refused with words that don't say what it is.
#[test]
fn other_documents_are_called_what_they_are() {
    let key = Signer::ed25519(1).jwk("k").to_string();
    for (document, expected) in [
        ("", "empty; expected {\"keys\": [...]}"),
        ("<!doctype html><html>", "a page of HTML or XML; expected"),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "PEM; expected",
        ),
        (
            "{\"issuer\": \"https://a\", \"jwks_uri\": \"https://a/keys\"}",
            "a discovery document, whose jwks_uri names the key set; expected",
        ),
        (&key, "a single key, which must be in a list; expected"),
        ("{}", "not a key set at line 1; expected"),
        ("[]", "not a JSON object; expected"),
    ] {
        let refused = KeySet::parse(document.as_bytes(), &Algorithm::ALL).unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}
