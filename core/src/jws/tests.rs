use super::*;
use crate::testing::base64url;

fn is_of_type(typ: &str, wanted: &str) -> bool {
    let header = serde_json::json!({"alg": "EdDSA", "typ": typ}).to_string();
    let document = format!("{}.e30.", base64url(header));
    let jws = Jws::parse(document.as_bytes()).unwrap();
    jws.header().unwrap().is_of_type(wanted)
}

#[test]
fn types_are_compared_as_media_types() {
    for (typ, same) in [
        ("cba+jwt", true),
        ("CBA+jwt", true),
        ("application/cba+jwt", true),
        ("Application/Cba+JWT", true),
        ("", false),
        ("jwt", false),
        ("cba+jwt ", false),
        ("cba+jwt; v=1", false),
        ("text/cba+jwt", false),
        ("application/application/cba+jwt", false),
        ("cba+\u{212a}wt", false),
    ] {
        assert_eq!(is_of_type(typ, "cba+jwt"), same, "{typ:?}");
    }
}

#[test]
fn a_required_type_must_be_present() {
    let document = format!("{}.e30.", base64url(r#"{"alg":"EdDSA"}"#));
    let jws = Jws::parse(document.as_bytes()).unwrap();
    let header = jws.header().unwrap();
    assert!(header.is_of_types(&["at+jwt".into(), "jwt".into()]));
    assert!(!header.is_of_types(&["at+jwt".into()]));
    assert!(!header.is_of_type("jwt"));
}
