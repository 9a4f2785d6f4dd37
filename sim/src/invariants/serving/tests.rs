use super::super::testing::*;
use super::*;

/// Facts are a second apart.
fn fed(certificates: &[(bool, u8)]) -> Result<(), String> {
    let facts: Vec<_> = certificates
        .iter()
        .map(|(written, leaf)| match written {
            true => Fact::RouterCertificate {
                router: "router-1".to_owned(),
                leaf: vec![*leaf],
            },
            false => Fact::Connected {
                client: "client".to_owned(),
                to: "router-1".to_owned(),
                leaf: vec![*leaf],
            },
        })
        .collect();
    let bounds = with_settings(|it| it.reload_within = SECOND);
    feed(&mut ServingCertificate::new(&bounds), &facts)
}

#[test]
fn notices_a_router_that_does_not_follow_its_disk() {
    assert_eq!(
        fed(&[(true, 1), (false, 1), (true, 2), (false, 1), (false, 2)]),
        Ok(())
    );
    assert!(fed(&[(true, 1), (true, 2), (false, 2), (false, 1)]).is_err());
    assert!(fed(&[(true, 1), (false, 3)]).is_err());
}
