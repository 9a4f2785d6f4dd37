use super::*;
use crate::testing::at;

const NONE: [u32; 0] = [];
const SECOND: Duration = Duration::from_secs(1);

/// One cell with this many endpoints.
fn registry(version: u64, endpoints: u16, previous: Option<&Registry>) -> Arc<Registry> {
    use crate::registry::{Parsed, RegistryFormat, RegistryLimits};
    let urls: Vec<_> = (0..endpoints)
        .map(|n| format!(r#"{{"url":"http://10.0.0.1:{}"}}"#, 8000 + n))
        .collect();
    let body = format!(
        r#"{{"version":{version},"cells":[{{"id":"c","tier":"t","region":"r","state":"active","endpoints":[{}]}}]}}"#,
        urls.join(",")
    );
    let limits = RegistryLimits::default();
    match Registry::parse(body.as_bytes(), RegistryFormat::Json, previous, &limits) {
        Ok(Parsed::Changed(candidate)) => Arc::new(candidate.into_registry()),
        other => panic!("{other:?}"),
    }
}

fn control(registry: &Arc<Registry>) -> HealthControl {
    let mut control = HealthControl::new(HealthTiming {
        consecutive_failures: 3,
        ejection_min: SECOND * 10,
        ejection_max: SECOND * 25,
        ejected_percent_max: 50,
    });
    control.handle_registry(registry);
    control
}

fn fail(control: &mut HealthControl, now: Now, endpoint: u32, times: u32) {
    for _ in 0..times {
        control.handle_outcome(now, EndpointId(endpoint), Outcome::Reset);
    }
}

fn rests(control: &HealthControl) -> Vec<u32> {
    control.view().ejected().iter().map(|id| id.0).collect()
}

#[test]
fn every_kind_of_failure_counts_and_a_success_between_clears() {
    for outcome in [
        Outcome::ConnectFailed,
        Outcome::TimedOut,
        Outcome::Reset,
        Outcome::ServerError,
    ] {
        let mut control = control(&registry(1, 2, None));
        fail(&mut control, at(0), 1, 2);
        control.handle_outcome(at(0), EndpointId(1), Outcome::Success);
        fail(&mut control, at(0), 1, 2);
        assert_eq!(rests(&control), NONE, "{outcome:?}");
        control.handle_outcome(at(0), EndpointId(1), outcome);
        assert_eq!(rests(&control), [1], "{outcome:?}");
        assert!(control.view().is_ejected(EndpointId(1)));
        let Some(HealthNotice::Ejected {
            duration: rest,
            last,
            ..
        }) = control.poll_output()
        else {
            panic!("no notice of {outcome:?}");
        };
        assert_eq!((rest, last), (SECOND * 10, outcome));
    }
}

#[test]
fn returns_by_timer_and_rests_longer_each_time() {
    let mut control = control(&registry(1, 2, None));
    fail(&mut control, at(0), 0, 3);
    assert_eq!(
        control.poll_timeout(),
        Some((at(10).mono, HealthWake::Return))
    );
    control.handle_timeout(at(9));
    assert_eq!(rests(&control), [0], "a spurious wake-up does nothing");
    control.handle_timeout(at(10));
    assert_eq!(rests(&control), NONE);
    assert_eq!(control.poll_timeout(), None);

    // On probation one failure is enough. The time doubles up to a limit.
    fail(&mut control, at(11), 0, 1);
    assert_eq!(control.poll_timeout().unwrap().0, at(31).mono);
    control.handle_timeout(at(31));
    fail(&mut control, at(31), 0, 1);
    assert_eq!(control.poll_timeout().unwrap().0, at(56).mono);
}

#[test]
fn as_many_successes_as_failures_clear_the_record() {
    let mut control = control(&registry(1, 2, None));
    fail(&mut control, at(0), 0, 3);
    control.handle_timeout(at(10));
    for _ in 0..3 {
        control.handle_outcome(at(10), EndpointId(0), Outcome::Success);
    }
    fail(&mut control, at(11), 0, 2);
    assert_eq!(rests(&control), NONE);
    fail(&mut control, at(11), 0, 1);
    assert_eq!(control.poll_timeout().unwrap().0, at(21).mono);
}

#[test]
fn outcomes_of_a_resting_endpoint_say_nothing() {
    let mut control = control(&registry(1, 2, None));
    fail(&mut control, at(0), 0, 3);
    let epoch = control.view().epoch();
    fail(&mut control, at(5), 0, 30);
    control.handle_outcome(at(5), EndpointId(0), Outcome::Success);
    assert_eq!(control.poll_timeout().unwrap().0, at(10).mono);
    assert_eq!(control.view().epoch(), epoch);
}

#[test]
fn half_of_a_cell_always_serves() {
    for (endpoints, ejected_max) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (64, 32)] {
        let mut control = control(&registry(1, endpoints, None));
        for endpoint in 0..u32::from(endpoints) {
            fail(&mut control, at(0), endpoint, 100);
        }
        assert_eq!(rests(&control).len(), ejected_max, "of {endpoints}");
    }
}

#[test]
fn takes_the_next_to_fail_once_there_is_room() {
    let mut control = control(&registry(1, 2, None));
    fail(&mut control, at(0), 0, 3);
    fail(&mut control, at(1), 1, 9);
    control.handle_timeout(at(10));
    fail(&mut control, at(10), 1, 1);
    assert_eq!(rests(&control), [1]);
}

#[test]
fn records_outlive_a_registry_and_end_with_their_endpoint() {
    let first = registry(1, 6, None);
    let mut control = control(&first);
    for endpoint in [1, 4, 5] {
        fail(&mut control, at(endpoint), endpoint as u32, 3);
    }
    let second = registry(2, 5, Some(&first));
    control.handle_registry(&second);
    assert_eq!(rests(&control), [1, 4], "5 is gone, the others rest on");
    let third = registry(3, 5, Some(&second));
    control.handle_registry(&third);
    assert_eq!(rests(&control), [1, 4]);
    fail(&mut control, at(9), 5, 99);
    assert_eq!(rests(&control), [1, 4], "an endpoint that is gone");
}

#[test]
fn a_cell_that_shrinks_gets_back_its_latest_ejections() {
    let first = registry(1, 6, None);
    let mut control = control(&first);
    for endpoint in [2, 0, 1] {
        fail(&mut control, at(10 - endpoint), endpoint as u32, 3);
    }
    control.handle_registry(&registry(2, 5, Some(&first)));
    assert_eq!(rests(&control), [0, 1]);
    let returned = std::iter::from_fn(|| control.poll_output()).filter(
        |notice| matches!(notice, HealthNotice::Returned { endpoint, .. } if endpoint.0 == 2),
    );
    assert_eq!(returned.count(), 1);
}

#[test]
fn knows_nothing_without_a_registry() {
    let mut control = HealthControl::new(HealthTiming::default());
    fail(&mut control, at(0), 0, 99);
    assert_eq!(rests(&control), NONE);
}
