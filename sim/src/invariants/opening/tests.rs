use super::super::testing::*;
use super::*;

/// Facts a second apart: a start, a pause, and a request decided with this reason.
fn fed(wait_secs: u64, reason: Reason) -> Result<(), String> {
    let decided = decided_with("r", |decided| {
        decided.cell = None;
        decided.reason = reason;
        decided.registry_version = None;
    });
    let pause = Fact::FaultEnds("nothing".to_owned());
    let mut invariant = ClosedWithoutRegistry::new(&with_settings(|it| {
        it.open_wait = Duration::from_secs(wait_secs)
    }));
    feed(&mut invariant, &[Fact::Started(life(0)), pause, decided])
}

#[test]
fn accepts_once_the_wait_is_over() {
    assert_eq!(fed(2, Reason::RegistryNeverLoaded), Ok(()));
    assert_eq!(fed(9, Reason::MissingToken), Ok(()));
}

#[test]
fn notices_a_listener_that_opens_too_early() {
    assert!(fed(3, Reason::RegistryNeverLoaded).is_err());
}
