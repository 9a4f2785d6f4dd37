use super::super::testing::*;
use super::*;

fn fed(facts: &[Fact]) -> Result<(), String> {
    feed(&mut MonotonicRegistry::default(), facts)
}

#[test]
fn accepts_with_progress_and_with_a_restored_version() {
    assert_eq!(
        fed(&[applied(0, 1), applied(0, 3), applied(1, 3), applied(1, 4)]),
        Ok(())
    );
}

#[test]
fn notices_a_step_back_and_a_repetition() {
    assert!(fed(&[applied(0, 2), applied(0, 1)]).is_err());
    assert!(fed(&[applied(0, 2), applied(0, 2)]).is_err());
}

#[test]
fn notices_a_step_back_over_a_restart_unless_the_disk_was_damaged() {
    assert!(fed(&[applied(0, 2), applied(1, 1)]).is_err());
    let damaged = Fact::StateDamaged("router-1".to_owned());
    assert_eq!(fed(&[applied(0, 2), damaged, applied(1, 1)]), Ok(()));
}

#[test]
fn notices_a_registry_that_was_forgotten() {
    let without = |incarnation| {
        decided_with("r", |decided| {
            decided.life = life(incarnation);
            decided.registry_version = None;
        })
    };
    let pause = || arrived("a", "t", "r");
    let late = [
        applied(0, 1),
        pause(),
        pause(),
        Fact::Crashed(life(0)),
        without(1),
    ];
    assert!(fed(&late).is_err());
    // The registry may not be on the disk yet.
    assert_eq!(
        fed(&[applied(0, 1), Fact::Crashed(life(0)), without(1)]),
        Ok(())
    );
    assert_eq!(fed(&[without(0)]), Ok(()));
}

fn followed(within: u32, facts: &[Fact]) -> Result<(), String> {
    let bounds = Bounds {
        registry_troubles: vec![(Some("router-2".to_owned()), Duration::ZERO, SECOND * 9)],
        ..with_settings(|it| it.registry.within = SECOND * within)
    };
    feed(&mut RegistryFollowed::new(&bounds), facts)
}

#[test]
fn notices_a_decision_on_an_old_version() {
    let facts = [applied(0, 1), applied(0, 2), allowed("r", "a", 1)];
    assert!(followed(9, &facts).is_err());
    let facts = [applied(0, 2), allowed("r", "a", 2)];
    assert_eq!(followed(9, &facts), Ok(()));
}

#[test]
fn notices_a_router_that_does_not_ask() {
    let facts = [published(1, &[]), published(2, &[]), allowed("r", "a", 1)];
    assert!(followed(0, &facts).is_err());
    assert_eq!(followed(1, &facts), Ok(()));
    // Another router may be cut off.
    let other = decided_with("r", |decided| decided.life.router = "router-2".to_owned());
    let facts = [published(1, &[]), published(2, &[]), other];
    assert_eq!(followed(0, &facts), Ok(()));
}
