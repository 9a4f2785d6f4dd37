use super::*;

#[test]
fn takes_the_canonical_spelling_only() {
    for (text, bytes) in [
        ("", Some(&b""[..])),
        ("_-8", Some(&[0xff, 0xef])),
        ("Zg", Some(b"f")),
        ("Zg==", None),
        ("Zh", None),
        ("Z", None),
        ("Zm 9", None),
        ("Zm9\n", None),
        ("/+8", None),
    ] {
        assert_eq!(decode(text.as_bytes()).as_deref(), bytes, "{text:?}");
    }
    assert_eq!(decode_exact::<1>("Zg"), Some(*b"f"));
    assert_eq!(decode_exact::<2>("Zg"), None);
}
