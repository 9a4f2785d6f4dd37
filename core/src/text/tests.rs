use proptest::prelude::*;

use super::*;

#[test]
fn any_string_can_be_encoded_and_read_back() {
    for (value, encoded) in [
        ("ada", "ada"),
        ("acme corp", "acme corp"),
        ("https://idp.example/u/1?a=b", "https://idp.example/u/1?a=b"),
        ("Acme, Inc.", "Acme%2C Inc."),
        ("CN=Ada,OU=People", "CN=Ada%2COU=People"),
        ("jos\u{e9}", "jos%C3%A9"),
        ("100%", "100%25"),
        ("a%2Cb", "a%252Cb"),
        (" a b ", "%20a b%20"),
        ("  ", "%20%20"),
        ("a\r\nx: y", "a%0D%0Ax: y"),
        ("a\0\u{7f}", "a%00%7F"),
    ] {
        let text = Text::encode(value).unwrap();
        assert_eq!((text.as_str(), &*text.decode()), (encoded, value));
    }
    assert_eq!(Text::encode("").unwrap_err(), TextError::Empty);
    let longest = "\u{e9}".repeat(Text::ID_LEN_MAX / 6);
    assert_eq!(Text::encode(&longest).unwrap().decode(), longest);
    let longer = format!("{longest}\u{e9}");
    assert_eq!(Text::encode(&longer).unwrap_err(), TextError::TooLong);
}

#[test]
fn decode_accepts_any_text() {
    for (text, decoded) in [
        ("%", "%"),
        ("%4", "%4"),
        ("%zz", "%zz"),
        ("%FF", "\u{fffd}"),
    ] {
        assert_eq!(Text::new(text).unwrap().decode(), decoded);
    }
}

proptest! {
    /// Catches: two names that a cell would read as the same, and one that can't be decoded.
    #[test]
    fn encoding_is_reversible(value in "\\PC{1,20}|[ -~\\r\\n%]{1,20}") {
        let text = Text::encode(&value).unwrap();
        prop_assert!(Text::id(text.as_str()).is_ok());
        prop_assert_eq!(&*text.decode(), &*value);
    }
}

#[test]
fn refuses_values_that_a_header_cannot_hold() {
    for (value, why) in [
        ("", TextError::Empty),
        ("a,b", TextError::BadCharacter),
        ("a\r\nx: y", TextError::BadCharacter),
        (" a", TextError::BadCharacter),
        ("a ", TextError::BadCharacter),
        ("a\0", TextError::BadCharacter),
        ("caf\u{e9}", TextError::BadCharacter),
    ] {
        assert_eq!(Text::new(value).unwrap_err(), why, "{value:?}");
    }
    assert_eq!(Text::new(&"a".repeat(257)).unwrap_err(), TextError::TooLong);
    assert_eq!(Text::new("acme corp").unwrap().as_str(), "acme corp");
}
