use super::super::testing::*;
use super::*;

/// The request is decided two seconds after the start.
fn fed(from: u32, until: u32, router: Option<&str>, issuer: &str) -> Result<(), String> {
    let outage = KeyOutage {
        issuer: issuer.to_owned(),
        router: router.map(str::to_owned),
        from: SECOND * from,
        until: SECOND * until,
    };
    let facts = [
        with_token("t", "main"),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
    ];
    feed(&mut KeyAge::new(&[outage]), &facts)
}

#[test]
fn notices_a_token_under_keys_that_have_expired() {
    assert!(fed(1, 9, None, "main").is_err());
    assert!(fed(0, 2, Some("router-1"), "main").is_err());
}

#[test]
fn accepts_before_and_after_and_with_others() {
    assert_eq!(fed(2, 9, None, "main"), Ok(()));
    assert_eq!(fed(0, 1, None, "main"), Ok(()));
    assert_eq!(fed(0, 9, Some("router-2"), "main"), Ok(()));
    assert_eq!(fed(0, 9, None, "partner"), Ok(()));
}
