//! Which endpoints are probed when, and what the results change.

use super::*;

const HTTP: CheckSettings = CheckSettings {
    cells: Vec::new(),
    kind: CheckKind::Tcp,
    interval: Duration::from_secs(10),
    timeout: SECOND,
    jitter_percent: 0,
    healthy_threshold: 2,
    unhealthy_threshold: 3,
};

fn checking(registry: &Arc<Registry>, check: CheckSettings) -> HealthControl {
    let settings = HealthSettings {
        checks: vec![Arc::new(check)],
        slow_start: SECOND * 20,
        ..settings()
    };
    control_with(registry, settings)
}

/// The probes that are asked for, and the notices.
fn drain(control: &mut HealthControl) -> (Vec<Probe>, Vec<HealthNotice>) {
    let (mut probes, mut notices) = (Vec::new(), Vec::new());
    while let Some(action) = control.poll_output() {
        match action {
            HealthAction::Probe(probe) => probes.push(probe),
            HealthAction::Notice(notice) => notices.push(notice),
        }
    }
    (probes, notices)
}

/// Gives each endpoint the result that `result` says, once.
fn round(
    control: &mut HealthControl,
    now: u64,
    result: impl Fn(u32) -> Result<(), ProbeFailure>,
) -> Vec<HealthNotice> {
    control.handle_timeout(at(now));
    let (probes, mut notices) = drain(control);
    for probe in probes {
        control.handle_probed(at(now), probe.id, result(probe.endpoint.id.0));
        notices.extend(drain(control).1);
    }
    notices
}

fn usable(control: &HealthControl, registry: &Registry) -> Vec<u32> {
    let ids = registry.cells()[0].endpoints.iter().map(|it| it.id);
    let usable = ids.filter(|id| control.view().is_usable(*id));
    usable.map(|id| id.0).collect()
}

const FAILED: Result<(), ProbeFailure> = Err(ProbeFailure::Timeout);

#[test]
fn thresholds_change_the_verdict() {
    let registry = registry(1, 2, None);
    let mut control = checking(&registry, HTTP);
    let only = |sick: u32| move |id| if id == sick { FAILED } else { Ok(()) };
    assert_eq!(usable(&control, &registry), [0, 1], "nothing is known");
    assert_eq!(round(&mut control, 0, only(1)), []);
    assert_eq!(round(&mut control, 10, only(1)), []);
    assert_eq!(usable(&control, &registry), [0, 1]);
    let notices = round(&mut control, 20, only(1));
    assert!(
        matches!(
            &notices[..],
            [HealthNotice::Unhealthy {
                why: ProbeFailure::Timeout,
                ..
            }]
        ),
        "{notices:?}"
    );
    assert_eq!(usable(&control, &registry), [0]);
    assert_eq!(round(&mut control, 30, |_| Ok(())), []);
    assert_eq!(usable(&control, &registry), [0], "one is not enough");
    // A failure between starts the row anew.
    assert_eq!(round(&mut control, 40, only(1)), []);
    assert_eq!(round(&mut control, 50, |_| Ok(())), []);
    let notices = round(&mut control, 60, |_| Ok(()));
    assert!(
        matches!(&notices[..], [HealthNotice::Healthy { .. }]),
        "{notices:?}"
    );
    assert_eq!(usable(&control, &registry), [0, 1]);
    assert_eq!(control.view().warming.len(), 1, "it begins slowly");
}

#[test]
fn a_probe_is_due_an_interval_after_the_last_one_ended() {
    let mut control = checking(&registry(1, 1, None), HTTP);
    let (probes, _) = drain(&mut control);
    assert_eq!(probes.len(), 1, "the first is due at once");
    assert_eq!(control.poll_timeout(), None, "one at a time");
    control.handle_timeout(at(100));
    assert_eq!(drain(&mut control).0, []);
    control.handle_probed(at(101), probes[0].id, Ok(()));
    assert_eq!(
        control.poll_timeout(),
        Some((at(111).mono, HealthWake::Probe))
    );
    control.handle_timeout(at(110));
    assert_eq!(drain(&mut control).0, [], "a spurious wake-up does nothing");
    control.handle_timeout(at(111));
    assert_eq!(drain(&mut control).0.len(), 1);
}

#[test]
fn no_more_probes_run_than_allowed_and_each_endpoint_has_its_turn() {
    use crate::registry::{Parsed, RegistryFormat, RegistryLimits};
    let cells: Vec<_> = (0..3)
        .map(|c| {
            let urls = (0..50).map(|n| format!(r#"{{"url":"http://10.0.{c}.1:{}"}}"#, 8000 + n));
            let urls = urls.collect::<Vec<_>>().join(",");
            format!(
                r#"{{"id":"c{c}","tier":"t","region":"r","state":"active","endpoints":[{urls}]}}"#
            )
        })
        .collect();
    let body = format!(r#"{{"version":1,"cells":[{}]}}"#, cells.join(","));
    let limits = RegistryLimits::default();
    let parsed = Registry::parse(body.as_bytes(), RegistryFormat::Json, None, &limits);
    let Ok(Parsed::Changed(candidate)) = parsed else {
        panic!("{parsed:?}")
    };
    let mut control = checking(&Arc::new(candidate.into_registry()), HTTP);
    let (mut probes, _) = drain(&mut control);
    assert_eq!(probes.len(), PROBES_MAX);
    let mut probed = BTreeMap::<EndpointId, u32>::new();
    while let Some(probe) = probes.pop() {
        *probed.entry(probe.endpoint.id).or_default() += 1;
        control.handle_probed(at(0), probe.id, Ok(()));
        let more = drain(&mut control).0;
        assert!(more.len() <= 1);
        probes.extend(more);
    }
    assert_eq!(probed.len(), 150);
    assert!(probed.values().all(|count| *count == 1), "{probed:?}");
}

/// Catches: a probe whose endpoint was gone before the driver took it, which keeps its place and ends
/// the output early.
#[test]
fn a_probe_that_nobody_took_holds_no_place() {
    let first = registry(1, 64, None);
    let mut control = checking(&first, HTTP);
    let moved = registry_at(2, 9000, 64, Some(&first));
    control.handle_registry(at(0), &moved);
    let probes = drain(&mut control).0;
    assert_eq!(probes.len(), PROBES_MAX);
    let ports = probes.iter().map(|probe| probe.endpoint.url.port());
    assert!(ports.clone().all(|port| port >= 9000), "{probes:?}");
}

#[test]
fn an_added_endpoint_waits_for_its_first_check_if_there_are_others() {
    let first = registry(1, 1, None);
    let mut control = checking(&first, HTTP);
    round(&mut control, 0, |_| Ok(()));
    let second = registry(2, 2, Some(&first));
    control.handle_registry(at(1), &second);
    assert_eq!(usable(&control, &second), [0]);
    let (probes, _) = drain(&mut control);
    assert_eq!(
        probes[0].endpoint.id,
        EndpointId(1),
        "it is checked at once"
    );
    control.handle_probed(at(1), probes[0].id, Ok(()));
    assert_eq!(usable(&control, &second), [0, 1]);
    assert_eq!(control.view().warming.len(), 1);

    // If the others are down, it is used without a check.
    let third = registry(3, 3, Some(&second));
    control.handle_registry(at(2), &third);
    assert_eq!(usable(&control, &third), [0, 1]);
    for now in [11, 21, 31] {
        control.handle_timeout(at(now));
        let probes = drain(&mut control).0;
        for probe in probes.iter().filter(|probe| probe.endpoint.id.0 < 2) {
            control.handle_probed(at(now), probe.id, FAILED);
        }
    }
    assert_eq!(usable(&control, &third), [2]);
}

/// Catches: a cell whose endpoints were all replaced, and that gets no traffic until they are
/// checked.
#[test]
fn an_endpoint_that_moved_is_used_at_once() {
    let first = registry(1, 1, None);
    let mut control = checking(&first, HTTP);
    round(&mut control, 0, |_| Ok(()));
    let moved = registry_at(2, 9000, 1, Some(&first));
    control.handle_registry(at(1), &moved);
    assert_eq!(usable(&control, &moved), [1]);
    let probes = drain(&mut control).0;
    assert_eq!(probes.len(), 1, "{probes:?}");
    assert_eq!(probes[0].endpoint.id, EndpointId(1));
}

/// Catches: a result that counts for another check than its own, and a probe of an endpoint that is
/// gone.
#[test]
fn a_new_check_or_a_gone_endpoint_starts_afresh() {
    let first = registry(1, 2, None);
    let mut control = checking(&first, HTTP);
    for now in [0, 10, 20] {
        round(
            &mut control,
            now,
            |id| if id == 1 { FAILED } else { Ok(()) },
        );
    }
    assert_eq!(usable(&control, &first), [0]);
    control.handle_timeout(at(30));
    let old = drain(&mut control).0;
    let mut settings = control.settings.clone();
    settings.checks = vec![Arc::new(CheckSettings {
        unhealthy_threshold: 1,
        ..HTTP
    })];
    control.handle_settings(at(30), settings.clone());
    assert_eq!(
        usable(&control, &first),
        [0, 1],
        "nothing is known any more"
    );
    let new = drain(&mut control).0;
    for probe in &old {
        control.handle_probed(at(30), probe.id, FAILED);
    }
    assert_eq!(
        usable(&control, &first),
        [0, 1],
        "these asked something else"
    );
    control.handle_probed(at(30), new[1].id, FAILED);
    assert_eq!(usable(&control, &first), [0]);
    // The same settings again change nothing.
    control.handle_settings(at(31), settings.clone());
    assert_eq!(usable(&control, &first), [0]);

    let second = registry(2, 1, Some(&first));
    control.handle_registry(at(32), &second);
    control.handle_timeout(at(60));
    let probes = drain(&mut control).0;
    assert!(
        probes.iter().all(|probe| probe.endpoint.id.0 == 0),
        "{probes:?}"
    );
    settings.checks.clear();
    control.handle_settings(at(61), settings);
    control.handle_timeout(at(99));
    assert_eq!(drain(&mut control).0, []);
    assert_eq!(control.poll_timeout(), None);
}

#[test]
fn checks_apply_to_the_cells_that_they_name() {
    let registry = registry(1, 1, None);
    for (names, probed) in [(vec!["other"], 0), (vec!["c"], 1), (vec![], 1)] {
        let cells = names.into_iter().map(|name| Text::new(name).unwrap());
        let check = CheckSettings {
            cells: cells.collect(),
            ..HTTP
        };
        let mut control = checking(&registry, check);
        assert_eq!(drain(&mut control).0.len(), probed);
    }
}

#[test]
fn an_ejected_endpoint_stays_ejected_while_its_checks_succeed() {
    let registry = registry(1, 2, None);
    let mut control = checking(&registry, HTTP);
    round(&mut control, 0, |_| Ok(()));
    fail(&mut control, at(1), 0, 3);
    round(&mut control, 10, |_| Ok(()));
    assert_eq!(usable(&control, &registry), [1]);
    control.handle_timeout(at(11));
    assert_eq!(usable(&control, &registry), [0, 1]);
}

/// Catches: routers that probe at the same moment for ever.
#[test]
fn jitter_moves_probes_within_its_bound() {
    let registry = registry(1, 1, None);
    let settings = HealthSettings {
        checks: vec![Arc::new(CheckSettings {
            jitter_percent: 20,
            ..HTTP
        })],
        ..settings()
    };
    let mut seen = BTreeMap::new();
    for seed in 0..50 {
        let mut control = HealthControl::new(settings.clone(), seed);
        control.handle_registry(at(0), &registry);
        let probes = drain(&mut control).0;
        control.handle_probed(at(0), probes[0].id, Ok(()));
        let (due, _) = control.poll_timeout().unwrap();
        let due = due.since_origin().as_millis();
        assert!((8_000..=12_000).contains(&due), "{due}");
        *seen.entry(due / 1000).or_insert(0) += 1;
    }
    assert!(seen.len() >= 4, "{seen:?}");
}
