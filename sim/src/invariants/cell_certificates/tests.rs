use super::super::testing::*;
use super::*;

/// The endpoint gets these certificates, the first one at the epoch.
fn fed(certified: &[(Option<u32>, bool)]) -> Result<(), String> {
    let certified = certified
        .iter()
        .map(|(expires, restarted)| Fact::CellCertificate {
            impersonates: None,
            host: "a-1".to_owned(),
            expires: expires.map(|expires| EPOCH + SECOND * expires),
            restarted: *restarted,
        });
    let facts: Vec<_> = certified.chain([arrived("a", "t", "r")]).collect();
    feed(&mut CellCertificates::default(), &facts)
}

#[test]
fn notices_an_endpoint_that_started_with_an_ended_certificate() {
    assert!(fed(&[(Some(0), true)]).is_err());
    assert!(fed(&[(Some(1), true), (Some(1), true)]).is_err());
}

#[test]
fn accepts_with_what_may_be_older_and_with_a_new_one() {
    assert_eq!(fed(&[(None, true)]), Ok(()));
    assert_eq!(fed(&[(Some(1), true)]), Ok(()));
    assert_eq!(fed(&[(Some(0), false)]), Ok(()));
    assert_eq!(fed(&[(Some(0), true), (None, false)]), Ok(()));
}

#[test]
fn notices_a_cell_that_serves_as_another() {
    let fed = |restarted| {
        let certified = Fact::CellCertificate {
            host: "a-1".to_owned(),
            impersonates: Some("b".to_owned()),
            expires: None,
            restarted,
        };
        feed(
            &mut CellCertificates::default(),
            &[certified, arrived("a", "t", "r")],
        )
    };
    assert!(fed(true).is_err());
    // The request may have come over an older connection.
    assert_eq!(fed(false), Ok(()));
}
