use super::super::testing::*;
use super::*;
use crate::engine::EPOCH;
use crate::fact::Fact;

/// `allowed` is decided when the router's clock shows the epoch.
fn fed(expires: &[Option<Duration>]) -> Result<(), String> {
    let mut facts = vec![sent("t", "acme")];
    facts.extend(expires.iter().map(|expires| Fact::Presented {
        tag: "t".to_owned(),
        certificate_expires: *expires,
        authority: 0,
    }));
    facts.extend([allowed("r", "a", 1), arrived("a", "t", "r")]);
    feed(&mut CertificateLife, &facts)
}

#[test]
fn notices_a_certificate_that_has_ended() {
    assert!(fed(&[Some(EPOCH)]).is_err());
}

#[test]
fn accepts_before_its_end_and_with_a_newer_one() {
    assert_eq!(fed(&[Some(EPOCH + SECOND)]), Ok(()));
    assert_eq!(fed(&[None]), Ok(()));
    assert_eq!(fed(&[Some(EPOCH), Some(EPOCH + SECOND)]), Ok(()));
}
