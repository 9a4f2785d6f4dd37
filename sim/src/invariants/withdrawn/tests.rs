use super::super::testing::*;
use super::*;

/// The token of `key-1` of `main` is decided on at two seconds.
fn fed(issuer: &str, key: &str, from: u32, until: Option<u32>) -> Result<(), String> {
    let withdrawn = Withdrawn {
        issuer: issuer.to_owned(),
        key: key.to_owned(),
        from: SECOND * from,
        until: until.map(|until| SECOND * until),
    };
    let facts = [
        published(1, &[]),
        with_token("t", "main"),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
    ];
    feed(&mut WithdrawnKeys::new(&[withdrawn]), &facts)
}

#[test]
fn notices_a_token_of_a_withdrawn_key() {
    assert!(fed("main", "key-1", 2, None).is_err());
}

#[test]
fn accepts_before_the_bound_and_with_a_key_that_came_back() {
    assert_eq!(fed("main", "key-1", 3, None), Ok(()));
    assert_eq!(fed("main", "key-1", 1, Some(2)), Ok(()));
}

#[test]
fn tells_keys_and_issuers_apart() {
    assert_eq!(fed("main", "key-2", 0, None), Ok(()));
    assert_eq!(fed("other", "key-1", 0, None), Ok(()));
}
