use super::*;

#[test]
fn a_name_is_suggested_only_if_one_is_closest() {
    let cells = ["eu-1", "eu-2"];
    assert_eq!(
        suggestion("eu-9", "cells", cells),
        "known cells: eu-1, eu-2"
    );
    let issuers = ["main", "partner"];
    assert_eq!(
        suggestion("mian", "issuers", issuers),
        "did you mean \"main\"?"
    );
    assert_eq!(suggestion("x", "cells", []), "there are no cells");
    let many: Vec<String> = (0..20).map(|n| format!("cell-number-{n}")).collect();
    let listed = suggestion("zzz", "cells", many.iter().map(String::as_str));
    assert!(listed.ends_with("cell-number-11 and 8 more"), "{listed}");
}

/// Catches: a library's type name that reaches a user.
#[test]
fn messages_of_serde_are_put_in_plain_words() {
    let table = [
        (
            "invalid type: string \"7\", expected u64 at line 1 column 14",
            "must be a number, found \"7\"",
        ),
        (
            "invalid value: integer `-1`, expected u32",
            "must be a whole number from 0 to 4294967295, found -1",
        ),
        (
            "invalid type: floating point `1.8446744073709552e19`, expected u64 at line 1 column 9",
            "must be a whole number from 0 to 18446744073709551615, found 1.8446744073709552e19",
        ),
        (
            "invalid length 0, expected struct Cell with 9 elements",
            "must be a table, found a list of length 0",
        ),
        (
            "invalid type: map, expected a sequence",
            "must be a list, found a table",
        ),
        ("missing field `version`", "`version` is missing"),
        (
            "unknown field `stat`, expected one of `id`, `state`",
            "unknown field `stat`; did you mean \"state\"?",
        ),
        (
            "unknown variant `on`, expected `active` or `retired`",
            "unknown value `on`; known values: active, retired",
        ),
        ("duplicate field `id`", "duplicate field `id`"),
    ];
    for (message, expected) in table {
        assert_eq!(of_serde(message), expected);
    }
}
