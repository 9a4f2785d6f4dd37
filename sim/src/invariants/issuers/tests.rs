use super::super::testing::*;
use super::*;

fn fed(issuer: &str) -> Result<(), String> {
    let issuer_tenants = [("main".to_owned(), "acme".to_owned())].into();
    let facts = [
        with_token("t", issuer),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
    ];
    feed(&mut IssuerSpeaks::new(&issuer_tenants), &facts)
}

#[test]
fn accepts_with_the_tenants_own_issuer() {
    assert_eq!(fed("main"), Ok(()));
}

#[test]
fn notices_another() {
    assert!(fed("partner").unwrap_err().contains("may not speak"));
}
