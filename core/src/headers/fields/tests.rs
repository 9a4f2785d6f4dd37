use super::*;

#[test]
fn the_lists_can_be_searched() {
    for list in [HEADER_ONLY, TRAILERS_TOO] {
        assert!(list.is_sorted_by(|a, b| a < b));
        for name in list {
            let folded: Vec<u8> = name.bytes().map(fold).collect();
            assert_eq!(folded, name.as_bytes(), "listed as it is looked up");
            assert!(name.len() <= KNOWN_LEN_MAX, "{name}");
            assert!(concerns_everybody(name.as_bytes()), "{name}");
        }
    }
    let longest = HEADER_ONLY.iter().map(|name| name.len()).max();
    assert_eq!(longest, Some(KNOWN_LEN_MAX));
}

#[test]
fn known_names_are_known_in_any_spelling() {
    for name in [
        "Content-Type",
        "content_type",
        "X_Forwarded-Anything",
        "If.Match",
        "ETag",
    ] {
        assert!(concerns_everybody(name.as_bytes()), "{name}");
    }
    for name in [
        "x-own",
        "content-typed",
        "iffy",
        "close",
        "upgrade",
        "keep-alive",
        "",
    ] {
        assert!(!concerns_everybody(name.as_bytes()), "{name}");
    }
}
