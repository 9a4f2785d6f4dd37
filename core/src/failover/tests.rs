//! Which cell serves if the assigned one can't be reached.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::explain::Steps;
use crate::health::{HealthControl, HealthSettings, Outcome, OutlierSettings, WhenAllEjected};
use crate::identity::Identity;
use crate::placement::{PlaceQuery, Placed, place};
use crate::registry::Registry;
use crate::testing::{at, of_tenant, registry};

fn cell(id: &str, state: &str) -> Value {
    json!({"id": id, "tier": "free", "region": "eu", "state": state,
           "endpoints": [{"url": format!("https://{id}-1.internal:443")},
                         {"url": format!("https://{id}-2.internal:443")}]})
}

/// Tenant `t` in placement `p` of cell `a`, with the fallback `q` of the cells `b` and `c`, `d`
/// draining; `own` has cell `a`, `spread` is in the stateless `s` of `a` and `b`, and `alone` is in `n`,
/// which has a fallback and no failover. States by cell, if not active.
fn world(states: &[(&str, &str)]) -> Arc<Registry> {
    let states: BTreeMap<_, _> = states.iter().copied().collect();
    let cells = ["a", "b", "c", "d"].map(|id| {
        let usual = if id == "d" { "draining" } else { "active" };
        cell(id, states.get(id).copied().unwrap_or(usual))
    });
    let fallback = json!({"id": "q", "tier": "free", "cells": ["b", "c", "d"], "stateless": true});
    Arc::new(registry(&json!({
        "version": 1,
        "cells": cells,
        "placements": [
            {"id": "p", "tier": "free", "cells": ["a"], "fallback": "q", "failover": true},
            fallback,
            {"id": "s", "tier": "free", "cells": ["a", "b"], "stateless": true, "failover": true},
            {"id": "n", "tier": "free", "cells": ["a"], "fallback": "q"},
        ],
        "tenants": [{"id": "t", "placement": "p"}, {"id": "own", "cell": "a"},
                    {"id": "spread", "placement": "s"}, {"id": "alone", "placement": "n"}],
        "unknown_tenant": {"placement": "p"},
    })))
}

/// The health if all endpoints of these cells are ejected.
fn without(registry: &Arc<Registry>, cells: &[&str], when: WhenAllEjected) -> Arc<Health> {
    let settings = HealthSettings {
        outlier: OutlierSettings {
            connection_failures: 1,
            ejected_percent_max: 100,
            ..OutlierSettings::default()
        },
        when_all_ejected: when,
        ..HealthSettings::default()
    };
    let mut control = HealthControl::new(settings, 0);
    control.handle_registry(at(0), registry);
    for id in cells {
        for endpoint in &registry.cell(id).unwrap().endpoints {
            control.handle_outcome(at(0), endpoint.id, Outcome::ConnectFailed);
        }
    }
    control.view().clone()
}

fn placed(
    registry: &Registry,
    health: &Health,
    identity: &Identity,
    cell_bound: bool,
) -> Result<Placed, Refused> {
    let tenant = identity.tenant.as_ref();
    let query = PlaceQuery {
        identity,
        tenant: tenant.and_then(|id| registry.tenant(id.as_str())),
        anonymous_placement: Some("p"),
        cell_bound,
        spread: 7,
        now: at(0),
    };
    place(registry, health, query)
}

/// Where the registry and health send a tenant.
fn goes(registry: &Registry, health: &Health, tenant: &str) -> String {
    let identity = match tenant {
        "" => Identity::default(),
        tenant => of_tenant(tenant),
    };
    match placed(registry, health, &identity, false) {
        Err(refused) => refused.reason.to_string(),
        Ok(placed) => match placed.failed_over {
            Some(it) => describe(&placed.cell, &it, placed.rule.as_str()),
            None => format!("cell {}", placed.cell.id),
        },
    }
}

const PANIC: WhenAllEjected = WhenAllEjected::Panic {
    threshold_percent: 0,
};

/// Catches: another cell for a placement that doesn't allow it or for a tenant with its own cell, a
/// quarantined cell that is replaced, a draining or quarantined cell that stands in, and a failover
/// to a cell that is down too.
#[test]
fn the_registry_and_health_decide_within_what_the_placement_allows() {
    let mut lines = Vec::new();
    let worlds: [(&str, &[(&str, &str)]); 4] = [
        ("all active", &[]),
        ("a provisioning", &[("a", "provisioning")]),
        ("a quarantined", &[("a", "quarantined")]),
        ("b quarantined", &[("b", "quarantined")]),
    ];
    let down: [&[&str]; 5] = [&[], &["a"], &["b"], &["a", "c"], &["a", "b", "c"]];
    for (name, states) in worlds {
        let registry = world(states);
        for cells in down {
            let health = without(&registry, cells, PANIC);
            for tenant in ["t", "own", "spread", "alone", "nobody", ""] {
                let goes = goes(&registry, &health, tenant);
                let tenant = if tenant.is_empty() {
                    "anonymous"
                } else {
                    tenant
                };
                lines.push(format!(
                    "{name}, down {:9} {tenant:9} {goes}",
                    cells.join("+")
                ));
            }
        }
    }
    assert_eq!(lines.join("\n"), include_str!("where.txt").trim_end());
}

/// Catches: a request that is bound to one cell by its authorization and goes to another.
#[test]
fn a_cell_bound_request_stays() {
    let registry = world(&[]);
    let health = without(&registry, &["a"], WhenAllEjected::Fail);
    for (bound, cell) in [(false, "b"), (true, "a")] {
        let placed = placed(&registry, &health, &of_tenant("t"), bound).unwrap();
        let is_other = placed.cell.id.as_str() != "a";
        assert_eq!(is_other, cell != "a");
        assert_eq!(placed.standby.is_some(), !bound);
    }
}

/// The decision for tenant `t` if all cells are well.
fn allowed(registry: &Registry, tenant: &str) -> Allow {
    let identity = Arc::new(of_tenant(tenant));
    let placed = placed(registry, &Health::default(), &identity, false).unwrap();
    Allow {
        reason: Reason::Verified,
        identity,
        placement: placed.placement,
        cell: placed.cell,
        endpoints: placed.endpoints,
        rule: None,
        placement_epoch: 1,
        rates: crate::decision::Rates::default(),
        requests_max: crate::decision::RequestsMax::default(),
        cell_bound: None,
        standby: placed.standby,
        failed_over: placed.failed_over,
    }
}

const UNREACHABLE: CellFailure = CellFailure {
    reason: Reason::CellUnreachable,
    untouched: true,
};

fn ask(allow: &Allow, failure: CellFailure, down: &[&str]) -> Result<Allow, Refused> {
    let query = FailoverQuery {
        health: &Health::default(),
        now: at(0).mono,
        spread: 7,
    };
    let usable = |cell: &Cell| !down.contains(&cell.id.as_str());
    fail_over(allow, failure, query, usable, &mut ())
}

/// Catches: a request that a cell may have processed and that goes to another, a busy cell whose load
/// moves on, and any reason that was added without a thought.
#[test]
fn only_an_unreachable_cell_is_replaced() {
    let registry = world(&[]);
    let allow = allowed(&registry, "t");
    let mut reasons = Vec::new();
    for &reason in Reason::ALL {
        let failure = |untouched| CellFailure { reason, untouched };
        if ask(&allow, failure(true), &[]).is_ok() {
            reasons.push(reason.as_str());
        }
        assert!(ask(&allow, failure(false), &[]).is_err(), "{reason}");
    }
    let mut expected: Vec<_> = FAILOVER_REASONS[1..].iter().map(|it| it.as_str()).collect();
    expected.sort_unstable();
    reasons.sort_unstable();
    assert_eq!(reasons, expected);
    for tenant in ["own", "alone"] {
        let stays = ask(&allowed(&registry, tenant), UNREACHABLE, &[]).unwrap_err();
        assert_eq!(stays.reason, Reason::CellUnreachable);
        assert!(stays.detail.contains("doesn't allow"), "{}", stays.detail);
    }
}

/// Catches: a failover without an end, one that comes back to a cell that has failed, and a decision
/// that changes in anything but its cell.
#[test]
fn each_cell_is_tried_once_and_only_some() {
    let registry = world(&[("d", "active")]);
    let first = allowed(&registry, "t");
    let mut allow = first.clone();
    let mut steps = Steps::default();
    for _ in 0..10 {
        let query = FailoverQuery {
            health: &Health::default(),
            now: at(0).mono,
            spread: 7,
        };
        match fail_over(&allow, UNREACHABLE, query, |_| true, &mut steps) {
            Ok(next) => allow = next,
            Err(_) => break,
        }
        assert_eq!(allow.placement, first.placement);
        assert_eq!(allow.placement_epoch, first.placement_epoch);
        assert_eq!(allow.identity, first.identity);
    }
    let cell = |id: &str, instead: &str| {
        format!(
            "pass  placement.failover  cell {id} of the fallback placement q (failover): instead of \
             {instead}, cell_unreachable\n"
        )
    };
    let bound = "FAIL  placement.failover  cell_unreachable: the request has been tried at as many cells \
                 as it may be\n";
    let expected = [cell("c", "a"), cell("d", "a, c"), cell("b", "a, c, d")].concat() + bound;
    assert_eq!(steps.to_string(), expected);
    let json = serde_json::to_value(crate::Decision::Allow(allow)).unwrap();
    let failed_over = json!({"reason": "cell_unreachable", "cells": ["a", "c", "d"],
                             "fallback": "q"});
    assert_eq!(json["failed_over"], failed_over);
}

/// Catches: a failover to a cell whose endpoints are known to be down.
#[test]
fn a_cell_that_is_down_too_is_passed_over() {
    let registry = world(&[]);
    let allow = allowed(&registry, "t");
    for (down, other) in [(["b"], "c"), (["c"], "b")] {
        let next = ask(&allow, UNREACHABLE, &down).unwrap();
        assert_eq!(next.cell.id.as_str(), other);
        let urls: Vec<_> = next.endpoints().map(|it| it.url.as_str()).collect();
        assert!(urls.iter().all(|url| url.contains(&format!("//{other}-"))));
    }
    let none = ask(&allow, UNREACHABLE, &["b", "c"]).unwrap_err();
    assert!(none.detail.contains("no other cell"), "{}", none.detail);
}
