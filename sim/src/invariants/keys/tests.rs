use super::super::testing::*;
use super::*;

fn asked(incarnation: u32, issuer: &str, forced: bool) -> Fact {
    Fact::KeysAsked {
        life: life(incarnation),
        issuer: issuer.to_owned(),
        forced,
    }
}

/// Facts are a second apart.
fn fed(cooldown_secs: u64, facts: &[Fact]) -> Result<(), String> {
    let bounds = with_settings(|it| it.issuer.key_cooldown = Duration::from_secs(cooldown_secs));
    feed(&mut BoundedKeyFetches::new(&bounds), facts)
}

#[test]
fn accepts_with_a_cooldown_between() {
    assert_eq!(
        fed(1, &[asked(0, "main", true), asked(0, "main", true)]),
        Ok(())
    );
}

#[test]
fn notices_two_within_a_cooldown() {
    assert!(fed(2, &[asked(0, "main", true), asked(0, "main", true)]).is_err());
}

#[test]
fn counts_issuers_lives_and_schedules_apart() {
    for other in [
        asked(0, "other", true),
        asked(1, "main", true),
        asked(0, "main", false),
    ] {
        assert_eq!(fed(9, &[asked(0, "main", true), other]), Ok(()));
    }
}
