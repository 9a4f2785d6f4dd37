//! The order of endpoints that follows from their health.

use super::*;

fn cell(registry: &Registry) -> &Cell {
    &registry.cells()[0]
}

fn order(control: &HealthControl, registry: &Registry, now: u64, spread: u64) -> Vec<usize> {
    let ranked = control.view().rank(cell(registry), at(now).mono, spread);
    ranked.positions().collect()
}

/// Ejects the first endpoints of a cell of four.
fn ejected(count: u32, when_all_ejected: WhenAllEjected) -> (HealthControl, Arc<Registry>) {
    let registry = registry(1, 4, None);
    let mut settings = settings();
    settings.outlier.ejected_percent_max = 100;
    settings.when_all_ejected = when_all_ejected;
    let mut control = control_with(&registry, settings);
    for endpoint in 0..count {
        fail(&mut control, at(0), endpoint, 3);
    }
    (control, registry)
}

/// Catches: an ejected endpoint that gets a request before a usable one, whatever the policy.
#[test]
fn usable_endpoints_come_first() {
    for spread in 0..20 {
        let panic = WhenAllEjected::default();
        let (control, registry) = ejected(2, panic);
        let order = order(&control, &registry, 0, spread);
        assert!(order[..2] == [2, 3] || order[..2] == [3, 2], "{order:?}");
        assert_eq!(order.len(), 4);
    }
}

#[test]
fn a_cell_below_the_panic_threshold_uses_all_endpoints() {
    let threshold_percent = 50;
    for (count, first) in [(2, vec![2, 3, 2, 3]), (3, vec![0, 1, 2, 3])] {
        let (control, registry) = ejected(count, WhenAllEjected::Panic { threshold_percent });
        let got: Vec<_> = (0..4)
            .map(|spread| order(&control, &registry, 0, spread)[0])
            .collect();
        assert_eq!(got, first, "{count} ejected");
    }
}

#[test]
fn a_cell_with_none_left_uses_all_or_none_as_the_policy_says() {
    let (control, registry) = ejected(4, WhenAllEjected::default());
    assert_eq!(order(&control, &registry, 0, 1), [1, 2, 3, 0]);
    let (control, registry) = ejected(4, WhenAllEjected::Fail);
    assert!(order(&control, &registry, 0, 1).is_empty());
    let (control, registry) = ejected(3, WhenAllEjected::Fail);
    assert_eq!(order(&control, &registry, 0, 1), [3]);
}

/// The share of the first endpoint among the first choices of 1000 requests, in percent.
fn share(control: &HealthControl, registry: &Registry, now: u64) -> i64 {
    let first = (0..1000).filter(|spread| order(control, registry, now, *spread)[0] == 0);
    first.count() as i64 / 10
}

#[test]
fn a_returned_endpoint_gets_its_share_back_slowly() {
    let registry = registry(1, 2, None);
    let settings = HealthSettings {
        slow_start: SECOND * 20,
        ..settings()
    };
    let mut control = control_with(&registry, settings);
    assert_eq!(share(&control, &registry, 0), 50);
    fail(&mut control, at(0), 0, 3);
    assert_eq!(share(&control, &registry, 0), 0);
    control.handle_timeout(at(10));
    // Against the other's whole share: a tenth at least, and then as much as the time that passed.
    for (now, expected) in [(10, 9), (12, 9), (20, 33), (30, 50)] {
        let share = share(&control, &registry, now);
        assert!((share - expected).abs() <= 3, "{share} at {now}");
    }
    assert_eq!(
        control.poll_timeout(),
        Some((at(30).mono, HealthWake::Warm))
    );
    control.handle_timeout(at(30));
    assert_eq!(control.poll_timeout(), None);
    assert_eq!(share(&control, &registry, 30), 50);
}

/// Catches: an endpoint that gets its whole share when its breaker closes.
#[test]
fn an_endpoint_that_recovered_begins_slowly_unless_it_is_ejected() {
    let registry = registry(1, 2, None);
    let settings = HealthSettings {
        slow_start: SECOND * 20,
        ..settings()
    };
    let mut control = control_with(&registry, settings);
    control.handle_outcome(at(1), EndpointId(0), Outcome::Success);
    assert_eq!(share(&control, &registry, 1), 50);
    control.handle_outcome(at(1), EndpointId(0), Outcome::Recovered);
    assert!(share(&control, &registry, 1) < 15);
    fail(&mut control, at(2), 1, 3);
    control.handle_outcome(at(3), EndpointId(1), Outcome::Recovered);
    assert_eq!(rests(&control), [1]);
    assert_eq!(control.view().warming.len(), 1);
}

#[test]
fn an_added_endpoint_begins_slowly_and_a_new_cell_does_not() {
    let first = registry(1, 2, None);
    let settings = HealthSettings {
        slow_start: SECOND * 20,
        ..settings()
    };
    let mut control = control_with(&first, settings.clone());
    let second = registry(2, 3, Some(&first));
    control.handle_registry(at(5), &second);
    let added = |spread| order(&control, &second, 5, spread)[0] == 2;
    let share = (0..1000).filter(|spread| added(*spread)).count();
    assert!((30..70).contains(&share), "{share} of 1000");
    assert_eq!(control.view().warming.len(), 1);

    let mut control = control_with(&second, settings);
    assert!(control.view().warming.is_empty());
    control.handle_timeout(at(1));
    assert_eq!(control.poll_timeout(), None);
}

#[test]
fn new_settings_apply_to_what_is_ejected() {
    let (mut control, registry) = ejected(4, WhenAllEjected::Fail);
    let mut settings = settings();
    settings.when_all_ejected = WhenAllEjected::Fail;
    control.handle_settings(at(1), settings);
    assert_eq!(rests(&control).len(), 2, "ejected_percent_max is 50");
    assert_eq!(order(&control, &registry, 1, 0).len(), 2);
}
