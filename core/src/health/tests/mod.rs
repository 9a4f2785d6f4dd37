mod answers;
mod checks;
mod model;
mod view;

use super::*;
use crate::testing::at;

const NONE: [u32; 0] = [];
const SECOND: Duration = Duration::from_secs(1);

/// One cell with this many endpoints.
fn registry(version: u64, endpoints: u16, previous: Option<&Registry>) -> Arc<Registry> {
    registry_at(version, 8000, endpoints, previous)
}

/// The same, with ports from `port` on.
fn registry_at(
    version: u64,
    port: u16,
    endpoints: u16,
    previous: Option<&Registry>,
) -> Arc<Registry> {
    use crate::registry::{Parsed, RegistryFormat, RegistryLimits};
    let urls: Vec<_> = (0..endpoints)
        .map(|n| format!(r#"{{"url":"http://10.0.0.1:{}"}}"#, port + n))
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
    control_with(registry, settings())
}

fn control_with(registry: &Arc<Registry>, settings: HealthSettings) -> HealthControl {
    let mut control = HealthControl::new(settings, 0);
    control.handle_registry(at(0), registry);
    control
}

fn settings() -> HealthSettings {
    HealthSettings {
        outlier: OutlierSettings {
            connection_failures: 3,
            answer_failures: 3,
            ejection_min: SECOND * 10,
            ejection_factor: 2,
            ejection_max: SECOND * 25,
            ejected_percent_max: 50,
        },
        ..HealthSettings::default()
    }
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
fn every_failure_counts_and_a_success_between_clears() {
    for outcome in [
        Outcome::ConnectFailed,
        Outcome::TimedOut,
        Outcome::Reset,
        Outcome::AnswerFailed,
        Outcome::Refused,
        Outcome::StreamReset,
    ] {
        let mut control = control(&registry(1, 2, None));
        let mut tell = |outcomes: &[Outcome]| {
            for outcome in outcomes {
                control.handle_outcome(at(0), EndpointId(1), *outcome);
            }
        };
        tell(&[outcome, outcome, Outcome::Success, outcome, outcome]);
        assert_eq!(rests(&control), NONE, "{outcome:?}");
        control.handle_outcome(at(0), EndpointId(1), outcome);
        assert_eq!(rests(&control), [1], "{outcome:?}");
        assert!(control.view().is_ejected(EndpointId(1)));
        let Some(HealthAction::Notice(HealthNotice::Ejected {
            duration: rest,
            last,
            ..
        })) = control.poll_output()
        else {
            panic!("no notice of {outcome:?}");
        };
        assert_eq!((rest, last), (SECOND * 10, outcome));
    }
}

/// Catches: an endpoint that is ejected for one failure although it works: workers report a success only
/// after a failure, so the router may hear of the last one while it is ejected, and gets requests in
/// panic.
#[test]
fn a_success_during_an_ejection_ends_probation() {
    for (tried, ejects) in [
        (&[][..], true),
        (&[Outcome::Success], false),
        (&[Outcome::Success, Outcome::Reset], true),
        (&[Outcome::Reset, Outcome::Recovered], false),
    ] {
        let mut control = control(&registry(1, 2, None));
        fail(&mut control, at(0), 0, 3);
        for outcome in tried {
            control.handle_outcome(at(1), EndpointId(0), *outcome);
        }
        assert_eq!(rests(&control), [0], "it stays ejected");
        control.handle_timeout(at(10));
        assert_eq!(rests(&control), NONE);
        fail(&mut control, at(11), 0, 1);
        assert_eq!(rests(&control).contains(&0), ejects, "{tried:?}");
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

/// Catches: an ejection that is forgotten because of a success, a timer, or the time spent ejected.
#[test]
fn makes_up_for_an_ejection_by_time_in_traffic() {
    let mut control = control(&registry(1, 2, None));
    let eject = |control: &mut HealthControl, now: u64| {
        control.handle_outcome(at(now), EndpointId(0), Outcome::Success);
        fail(control, at(now), 0, 3);
        let (until, _) = control.poll_timeout().unwrap();
        control.handle_timeout(Now {
            mono: until,
            ..at(now)
        });
        until.since(at(now).mono).as_secs()
    };
    // It comes back after 10, at 10.
    assert_eq!(eject(&mut control, 0), 10);
    // 9 seconds in traffic are not enough. It comes back at 39.
    assert_eq!(eject(&mut control, 19), 20);
    // 20 make up for the last one only. It comes back at 79.
    assert_eq!(eject(&mut control, 59), 20);
    // And 30 for both.
    assert_eq!(eject(&mut control, 109), 10);
}

#[test]
fn one_success_or_enough_time_ends_probation() {
    let mut control = control(&registry(1, 2, None));
    fail(&mut control, at(0), 0, 3);
    control.handle_timeout(at(10));
    control.handle_outcome(at(10), EndpointId(0), Outcome::Success);
    fail(&mut control, at(11), 0, 2);
    assert_eq!(rests(&control), NONE);
    fail(&mut control, at(11), 0, 1);
    control.handle_timeout(at(31));
    fail(&mut control, at(41), 0, 2);
    assert_eq!(rests(&control), NONE);
}

/// Catches: an answer that counts as a failure to connect, or the other way round.
#[test]
fn connections_and_answers_are_counted_apart() {
    let mut one = control(&registry(1, 2, None));
    let tell = |control: &mut HealthControl, outcomes: &[Outcome]| {
        for outcome in outcomes {
            control.handle_outcome(at(0), EndpointId(0), *outcome);
        }
        rests(control)
    };
    let (reset, answer) = (Outcome::Reset, Outcome::AnswerFailed);
    assert_eq!(tell(&mut one, &[answer, answer, reset, reset]), NONE);
    // The answer ends the row of resets, and is the third of its own.
    assert_eq!(tell(&mut one, &[answer]), [0]);
    let mut other = control(&registry(1, 2, None));
    assert_eq!(
        tell(&mut other, &[reset, reset, answer, reset, reset]),
        NONE
    );
    assert_eq!(tell(&mut other, &[Outcome::TimedOut]), [0]);
}

#[test]
fn a_kind_of_failure_can_be_left_out() {
    let mut settings = settings();
    settings.outlier.answer_failures = 0;
    let mut control = control_with(&registry(1, 2, None), settings);
    for _ in 0..99 {
        control.handle_outcome(at(0), EndpointId(0), Outcome::AnswerFailed);
    }
    assert_eq!(rests(&control), NONE);
    fail(&mut control, at(0), 0, 3);
    control.handle_timeout(at(10));
    control.handle_outcome(at(10), EndpointId(0), Outcome::AnswerFailed);
    assert_eq!(rests(&control), NONE, "not on probation either");
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
    control.handle_registry(at(9), &second);
    assert_eq!(rests(&control), [1, 4], "5 is gone, the others rest on");
    let third = registry(3, 5, Some(&second));
    control.handle_registry(at(9), &third);
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
    control.handle_registry(at(11), &registry(2, 5, Some(&first)));
    assert_eq!(rests(&control), [0, 1]);
    let returned = std::iter::from_fn(|| control.poll_output()).filter(
        |it| matches!(it, HealthAction::Notice(HealthNotice::Returned { endpoint, .. }) if endpoint.0 == 2),
    );
    assert_eq!(returned.count(), 1);
}

#[test]
fn knows_nothing_without_a_registry() {
    let mut control = HealthControl::new(HealthSettings::default(), 0);
    fail(&mut control, at(0), 0, 99);
    assert_eq!(rests(&control), NONE);
}
