use cellway_core::health::CheckKind;

use super::super::testing::*;
use super::super::{EndpointTrouble, Harm, Period};
use super::*;

/// Two checks of this kind, which fail or succeed, take four seconds at most.
fn check(kind: CheckKind) -> Arc<CheckSettings> {
    Arc::new(CheckSettings {
        kind,
        interval: SECOND,
        timeout: SECOND,
        jitter_percent: 0,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        ..CheckSettings::default()
    })
}

fn grpc() -> Arc<CheckSettings> {
    check(CheckKind::Grpc {
        service: "".into(),
        host: None,
    })
}

/// `a-1` has a fault from 20 to 40 s for which gRPC checks must fail.
fn bounds(check: Arc<CheckSettings>) -> Bounds {
    let (host, from, until) = ("a-1".to_owned(), SECOND * 20, SECOND * 40);
    let mut endpoints = one_each();
    endpoints.troubles = vec![EndpointTrouble {
        host: host.clone(),
        from,
        until,
        harm: Harm::Excused,
    }];
    Bounds {
        endpoints,
        check_troubles: vec![CheckTrouble {
            host,
            from,
            until,
            kinds: &["grpc"],
        }],
        ..with_settings(|it| it.health.checks = vec![check])
    }
}

fn found(healthy: bool) -> Fact {
    Fact::Probed {
        life: life(0),
        host: "a-1".to_owned(),
        healthy,
    }
}

/// Any fact.
fn nothing() -> Fact {
    Fact::CellTrustChanged
}

/// A router starts with a registry that lists `a-1`, and then this comes at these seconds.
fn fed_with(bounds: &Bounds, facts: &[(u32, Fact)]) -> Result<(), String> {
    let said = Published {
        cells: [("a".to_owned(), gold(CellState::Active))].into(),
        ..document(1, &[])
    };
    let mut invariant = ChecksTrue::new(bounds);
    let start = [
        Fact::Published(Arc::new(said)),
        Fact::Started(life(0)),
        applied(0, 1),
    ];
    for fact in &start {
        invariant.observe(Duration::ZERO, fact)?;
    }
    for (at, fact) in facts {
        invariant.observe(SECOND * *at, fact)?;
    }
    Ok(())
}

fn fed(facts: &[(u32, Fact)]) -> Result<(), String> {
    fed_with(&bounds(grpc()), facts)
}

/// Catches: a router that takes an answer such as `NOT_SERVING` for a good one, or doesn't check at all.
#[test]
fn notices_a_router_that_overlooks_failing_checks() {
    let error = fed(&[(27, nothing())]).unwrap_err();
    assert!(error.contains("hasn't found"), "{error}");
    assert_eq!(fed(&[(25, nothing()), (26, found(false))]), Ok(()));
    assert_eq!(fed(&[(25, found(false)), (39, nothing())]), Ok(()));
    // No other check has to find out.
    let tcp = bounds(check(CheckKind::Tcp));
    assert_eq!(fed_with(&tcp, &[(39, nothing())]), Ok(()));
    // It may have stopped.
    let crashed = [(22, Fact::Crashed(life(0))), (39, nothing())];
    assert_eq!(fed(&crashed), Ok(()));
}

/// Catches: a router that checks in a way that no endpoint understands.
#[test]
fn notices_checks_that_fail_without_a_fault() {
    let error = fed(&[(10, found(false))]).unwrap_err();
    assert!(error.contains("has had no fault"), "{error}");
    // The first of two checks failed a second before.
    assert!(fed(&[(20, found(false))]).is_err());
    assert_eq!(fed(&[(21, found(false))]), Ok(()));
}

#[test]
fn notices_checks_that_succeed_although_they_must_fail() {
    let succeed = |at| fed(&[(25, found(false)), (at, found(true))]);
    let error = succeed(30).unwrap_err();
    assert!(error.contains("had to fail"), "{error}");
    // The first of two checks succeeded a second before.
    assert!(succeed(40).is_err());
    assert_eq!(succeed(42), Ok(()));
    // Some may have begun before the fault.
    assert_eq!(fed(&[(21, found(false)), (22, found(true))]), Ok(()));
}

/// Catches: a router that never returns an endpoint whose checks have failed.
#[test]
fn notices_a_router_that_overlooks_good_checks() {
    let fails = (25, found(false));
    let error = fed(&[fails.clone(), (47, nothing())]).unwrap_err();
    assert!(error.contains("still finds"), "{error}");
    let back = [fails, (45, nothing()), (46, found(true)), (60, nothing())];
    assert_eq!(fed(&back), Ok(()));
}

/// Catches: a false alarm about a router that begins anew because its check has changed.
#[test]
fn after_another_check_nothing_is_known() {
    let period = |[from, until]: [u32; 2], check| Period {
        router: Some("router-1".to_owned()),
        from: SECOND * from,
        until: SECOND * until,
        settings: bounds(check).settings.all().next().unwrap().clone(),
    };
    let with = |then| Bounds {
        settings: SettingsInForce::new(vec![period([0, 32], grpc()), period([30, 999], then)]),
        ..bounds(grpc())
    };
    let facts = [(25, found(false)), (31, noted("reloaded")), (60, nothing())];
    assert_eq!(fed_with(&with(check(CheckKind::Tcp)), &facts), Ok(()));
    assert!(fed_with(&with(grpc()), &facts).is_err());
}

#[test]
fn only_endpoints_that_the_registry_lists_are_checked() {
    let without = Fact::Published(Arc::new(document(2, &[])));
    let gone = [(22, without), (22, applied(0, 2)), (39, nothing())];
    assert_eq!(fed(&gone), Ok(()));
    let found = [&gone[..], &[(39, found(false))]].concat();
    assert!(fed(&found).is_err());
}
