use super::super::testing::*;
use super::super::{EndpointTrouble, RouterSettings};
use super::*;

fn ejection(host: &str, ejected: bool) -> Fact {
    Fact::Ejected {
        life: life(0),
        host: host.to_owned(),
        ejected,
    }
}

/// `a` has three endpoints, and all but `a-3` have a fault all the time.
fn fed(facts: impl IntoIterator<Item = Fact>) -> Result<(), String> {
    let hosts = ["a-1", "a-2", "a-3"].map(str::to_owned);
    let trouble = |host: &String| EndpointTrouble {
        host: host.clone(),
        from: Duration::ZERO,
        until: SECOND * 100,
    };
    let troubles = hosts.iter().take(2).map(trouble).collect();
    let bounds = Bounds {
        endpoints: Endpoints {
            hosts: [("a".to_owned(), hosts.into())].into(),
            troubles,
        },
        ..with_settings(RouterSettings {
            ejected_percent_max: 50,
            ejection: [SECOND * 2, SECOND * 3],
            ejection_factor: 2,
            ..RouterSettings::default()
        })
    };
    let facts: Vec<_> = facts.into_iter().collect();
    feed(&mut EjectedForCause::new(&bounds), &facts)
}

#[test]
fn an_ejection_for_a_fault_passes() {
    let facts = [ejection("a-1", true), bad("t"), ejection("a-1", false)];
    assert_eq!(fed(facts), Ok(()));
}

#[test]
fn notices_an_ejection_without_a_fault() {
    let error = fed([ejection("a-3", true)]).unwrap_err();
    assert!(error.contains("has had no fault since"), "{error}");
}

#[test]
fn notices_too_many_ejections() {
    let both = [ejection("a-1", true), ejection("a-2", true)];
    let error = fed(both).unwrap_err();
    assert!(
        error.contains("2 of 3 endpoints of a, but at most 1"),
        "{error}"
    );
    let one_after_the_other = [
        ejection("a-1", true),
        ejection("a-1", false),
        ejection("a-2", true),
        ejection("a-2", false),
    ];
    assert_eq!(fed(one_after_the_other), Ok(()));
}

#[test]
fn notices_an_ejection_that_lasts_too_long() {
    let waits = |n| std::iter::repeat_n(bad("t"), n);
    let first = [ejection("a-1", true)].into_iter();
    let error = fed(first.clone().chain(waits(4))).unwrap_err();
    assert!(error.contains("for longer than 2s"), "{error}");
    let second = first
        .clone()
        .chain([ejection("a-1", false), ejection("a-1", true)]);
    let back = [ejection("a-1", false)];
    assert_eq!(fed(second.clone().chain(waits(3)).chain(back)), Ok(()));
    let error = fed(second.chain(waits(5))).unwrap_err();
    assert!(error.contains("for longer than 3s"), "{error}");
    assert_eq!(
        fed(first.chain([Fact::Crashed(life(0))]).chain(waits(9))),
        Ok(())
    );
}
