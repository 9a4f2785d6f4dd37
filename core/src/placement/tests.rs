use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::health::{HealthControl, HealthSettings, Outcome};
use crate::testing::{of_tenant, registry, text};
use crate::time::Mono;

fn cell(id: &str, tier: &str, state: &str, weight: u32) -> Value {
    let url = format!("https://{id}.internal:443");
    json!({"id": id, "tier": tier, "region": "eu", "state": state, "weight": weight,
           "endpoints": [{"url": url}]})
}

fn query<'a>(registry: &'a Registry, identity: &'a Identity, spread: u64) -> PlaceQuery<'a> {
    let tenant = identity.tenant.as_ref();
    PlaceQuery {
        identity,
        tenant: tenant.and_then(|id| registry.tenant(id.as_str())),
        anonymous_placement: Some("public"),
        cell_bound: false,
        spread,
        now: Now {
            unix: NOW,
            mono: Mono::default(),
        },
    }
}

fn ask(registry: &Registry, identity: &Identity) -> Result<Placed, Refused> {
    place(registry, &Health::default(), query(registry, identity, 0))
}

/// The cell's id and the rule, or the reason.
fn answer(registry: &Registry, identity: &Identity) -> Result<(String, PlaceRule), Reason> {
    match ask(registry, identity) {
        Ok(placed) => Ok((placed.cell.id.to_string(), placed.rule)),
        Err(refused) => Err(refused.reason),
    }
}

/// One cell in this state, for callers of every kind.
fn one_cell(state: &str) -> Registry {
    registry(&json!({
        "version": 1,
        "cells": [cell("c", "free", state, 1)],
        "placements": [{"id": "public", "tier": "free", "cells": ["c"]}],
        "tenants": [{"id": "own", "cell": "c"}, {"id": "placed", "placement": "public"}],
        "unknown_tenant": {"placement": "public"},
    }))
}

#[test]
fn a_cells_state_decides_which_callers_it_serves() {
    use Reason::{CellQuarantined, NoCellAvailable};
    for (state, listed, other) in [
        ("provisioning", Some(NoCellAvailable), Some(NoCellAvailable)),
        ("active", None, None),
        ("draining", None, Some(NoCellAvailable)),
        ("quarantined", Some(CellQuarantined), Some(CellQuarantined)),
    ] {
        let registry = one_cell(state);
        for (identity, rule, refused) in [
            (of_tenant("own"), PlaceRule::OwnCell, listed),
            (of_tenant("placed"), PlaceRule::TenantPlacement, listed),
            (of_tenant("unknown"), PlaceRule::UnknownPlacement, other),
            (Identity::default(), PlaceRule::AnonymousPlacement, other),
        ] {
            let want = refused.map_or(Ok(("c".to_owned(), rule)), Err);
            assert_eq!(answer(&registry, &identity), want, "{state}, {rule:?}");
        }
    }
}

#[test]
fn says_which_placement_chose() {
    let registry = one_cell("active");
    let placement = |identity| ask(&registry, &identity).unwrap().placement;
    assert_eq!(placement(of_tenant("own")), None);
    assert_eq!(placement(of_tenant("placed")), Some(text("public")));
    assert_eq!(placement(Identity::default()), Some(text("public")));
}

#[test]
fn a_tier_is_never_downgraded() {
    let with = |unknown: Value| {
        registry(&json!({
            "version": 1,
            "cells": [cell("f", "free", "active", 1), cell("g", "gold", "active", 1),
                      cell("h", "gold", "draining", 1), cell("s", "silver", "draining", 1)],
            "placements": [{"id": "shared", "tier": "free", "cells": ["f"]}],
            "tenants": [{"id": "own", "cell": "g"}, {"id": "placed", "placement": "shared"}],
            "unknown_tenant": unknown,
        }))
    };
    let deny = json!("deny");
    let by_tier = json!("by_tier");
    let shared = json!({"placement": "shared"});
    let at = |cell: &str, rule| Ok((cell.to_owned(), rule));
    for (unknown, tenant, tier, want) in [
        (&deny, "own", Some("gold"), at("g", PlaceRule::OwnCell)),
        (&deny, "placed", None, at("f", PlaceRule::TenantPlacement)),
        (&deny, "new", None, Err(Reason::TenantUnknown)),
        (&shared, "new", None, at("f", PlaceRule::UnknownPlacement)),
        (
            &shared,
            "new",
            Some("free"),
            at("f", PlaceRule::UnknownPlacement),
        ),
        (&shared, "new", Some("gold"), Err(Reason::NoCellAvailable)),
        (
            &by_tier,
            "new",
            Some("gold"),
            at("g", PlaceRule::UnknownByTier),
        ),
        (
            &by_tier,
            "new",
            Some("silver"),
            Err(Reason::NoCellAvailable),
        ),
        (
            &by_tier,
            "new",
            Some("bronze"),
            Err(Reason::NoCellAvailable),
        ),
        (&by_tier, "new", None, Err(Reason::TenantUnknown)),
        (&by_tier, "own", None, at("g", PlaceRule::OwnCell)),
    ] {
        let identity = Identity {
            tier: tier.map(text),
            ..of_tenant(tenant)
        };
        let got = answer(&with(unknown.clone()), &identity);
        assert_eq!(got, want, "{unknown} {tenant} {tier:?}");
    }
}

#[test]
fn an_anonymous_placement_must_be_there() {
    let registry = registry(&json!({"version": 1, "cells": [cell("c", "free", "active", 1)]}));
    let got = answer(&registry, &Identity::default());
    assert_eq!(got, Err(Reason::NoCellAvailable));
}

#[test]
fn health_ranks_endpoints_and_never_moves_a_request() {
    let endpoints: Vec<_> = (1..=3)
        .map(|n| json!({"url": format!("http://10.0.0.{n}:80")}))
        .collect();
    let registry = Arc::new(registry(&json!({
        "version": 1,
        "cells": [{"id": "c", "tier": "t", "region": "r", "state": "active", "endpoints": endpoints},
                  cell("d", "t", "active", 1)],
        "placements": [{"id": "p", "tier": "t", "cells": ["c", "d"], "stateless": true}],
        "tenants": [{"id": "t", "cell": "c"}],
    })));
    let mut control = HealthControl::new(HealthSettings::default(), 0);
    control.handle_registry(Now::default(), &registry);
    let sick = registry.cell("c").unwrap().endpoints[1].id;
    for _ in 0..5 {
        control.handle_outcome(Now::default(), sick, Outcome::Reset);
    }
    let identity = of_tenant("t");
    for spread in 0..9 {
        let query = query(&registry, &identity, spread);
        let placed = place(&registry, control.view(), query).unwrap();
        assert_eq!(placed.cell.id, text("c"));
        let ranked: Vec<_> = placed.endpoints.positions().collect();
        assert!(ranked == [0, 2, 1] || ranked == [2, 0, 1], "{ranked:?}");
    }
}

/// A stateless placement `p` for all tenants, over cells with these states and weights.
fn spreading(cells: &[(String, &str, u32)]) -> Registry {
    let ids: Vec<_> = cells.iter().map(|(id, ..)| id).collect();
    let cells: Vec<_> = (cells.iter())
        .map(|(id, state, weight)| cell(id, "free", state, *weight))
        .collect();
    let other = cell("elsewhere", "free", "active", 1000);
    registry(&json!({
        "version": 1,
        "cells": cells.into_iter().chain([other]).collect::<Vec<_>>(),
        "placements": [{"id": "p", "tier": "free", "cells": ids, "stateless": true}],
        "tenants": (0..KEYS).map(|n| json!({"id": format!("tenant-{n}"), "placement": "p"}))
            .collect::<Vec<_>>(),
    }))
}

const KEYS: usize = 600;

/// The cell of each tenant, or the reason of its refusal.
fn places(registry: &Registry) -> Vec<String> {
    let one = |n| {
        let identity = of_tenant(&format!("tenant-{n}"));
        let query = query(registry, &identity, n as u64);
        match place(registry, &Health::default(), query) {
            Ok(placed) => placed.cell.id.to_string(),
            Err(refused) => refused.reason.to_string(),
        }
    };
    (0..KEYS).map(one).collect()
}

fn counts(places: &[String]) -> BTreeMap<&str, usize> {
    places.iter().fold(BTreeMap::new(), |mut counts, place| {
        *counts.entry(place.as_str()).or_default() += 1;
        counts
    })
}

fn named(states: &[(&'static str, u32)]) -> Vec<(String, &'static str, u32)> {
    let name =
        |(n, (state, weight)): (usize, &(&'static str, u32))| (format!("c{n}"), *state, *weight);
    states.iter().enumerate().map(name).collect()
}

#[test]
fn quarantined_cells_keep_their_share_and_draining_cells_lose_it() {
    let all = places(&spreading(&named(&[
        ("active", 1),
        ("active", 1),
        ("active", 1),
    ])));
    let check = |state, want: fn(&str) -> Option<&'static str>| {
        let now = places(&spreading(&named(&[
            ("active", 1),
            (state, 1),
            ("active", 1),
        ])));
        for (before, after) in std::iter::zip(&all, &now) {
            match before.as_str() {
                "c1" => assert!(want(after).is_some(), "{state}: {after}"),
                other => assert_eq!(after, other, "{state} moves others"),
            }
        }
    };
    check("quarantined", |after| {
        (after == "cell_quarantined").then_some("503")
    });
    for state in ["draining", "provisioning"] {
        check(state, |after| {
            matches!(after, "c0" | "c2").then_some("another")
        });
    }
    let drained = places(&spreading(&named(&[
        ("draining", 1),
        ("draining", 1),
        ("provisioning", 1),
    ])));
    assert!(
        drained.iter().all(|cell| cell == "c0" || cell == "c1"),
        "the last to serve"
    );
    let none = places(&spreading(&named(&[
        ("provisioning", 1),
        ("provisioning", 1),
    ])));
    assert!(none.iter().all(|cell| cell == "no_cell_available"));
}

/// Pins the method (the same comes out of a few lines of Python with floats): if this fails, an upgrade
/// of the router would move tenants.
#[test]
fn tenants_stay_where_earlier_versions_put_them() {
    let places = places(&spreading(&named(&[
        ("active", 1),
        ("active", 2),
        ("active", 3),
    ])));
    assert_eq!(
        places[..12].join(" "),
        "c2 c2 c2 c0 c1 c0 c1 c2 c0 c1 c2 c2"
    );
}

#[test]
fn shares_follow_weights() {
    let states = [
        ("active", 1),
        ("active", 10),
        ("active", 100),
        ("active", 39),
    ];
    let cells: Vec<_> = registry_cells(&states);
    let spread = rendezvous::Spread::new(cells.clone());
    let draws = 60_000;
    let mut won = BTreeMap::new();
    for n in 0..draws {
        let key = rendezvous::hash(&format!("tenant-{n}"));
        let cell = spread.choose(key, |_| true).unwrap();
        *won.entry(cell.id.clone()).or_insert(0u32) += 1;
    }
    for cell in cells {
        let want = f64::from(draws * cell.weight) / 150.0;
        let got = f64::from(won.get(&cell.id).copied().unwrap_or_default());
        // Five standard deviations: a share that is wrong by a twentieth fails for the big ones.
        let tolerance = 5.0 * want.sqrt();
        assert!(
            (got - want).abs() < tolerance,
            "{}: {got} for {want}",
            cell.id
        );
    }
}

fn registry_cells(states: &[(&'static str, u32)]) -> Vec<Arc<Cell>> {
    let registry = spreading(&named(states));
    let placement = registry.placement("p").unwrap();
    placement.cells().cloned().collect()
}

fn states() -> impl Strategy<Value = Vec<(&'static str, u32)>> {
    let state = prop::sample::select(vec!["active", "draining", "quarantined", "provisioning"]);
    prop::collection::vec((state, 1..=1000u32), 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A new cell takes over keys or leaves them where they were.
    #[test]
    fn adding_a_cell_moves_only_its_share(
        weights in prop::collection::vec(1..=50u32, 1..6),
        weight in 1..=50u32,
        position in any::<prop::sample::Index>(),
    ) {
        let old = named(&weights.iter().map(|weight| ("active", *weight)).collect::<Vec<_>>());
        let mut new = old.clone();
        new.insert(position.index(old.len() + 1), ("new".to_owned(), "active", weight));
        let (before, after) = (places(&spreading(&old)), places(&spreading(&new)));
        let mut moved = 0.0;
        for (before, after) in std::iter::zip(&before, &after) {
            if before != after {
                prop_assert_eq!(after, "new");
                moved += 1.0;
            }
        }
        let total: u32 = weights.iter().sum::<u32>() + weight;
        let share = KEYS as f64 * f64::from(weight) / f64::from(total);
        prop_assert!((moved - share).abs() < 6.0 * share.sqrt() + 6.0, "{} for {}", moved, share);
    }

    /// Whatever the states and weights: a cell of the placement that takes traffic, or a refusal.
    #[test]
    fn every_tenant_stays_within_its_placement(states in states()) {
        let cells = named(&states);
        for (place, count) in counts(&places(&spreading(&cells))) {
            let cell = cells.iter().find(|(id, ..)| id == place);
            match cell {
                Some((_, state, _)) => prop_assert!(matches!(*state, "active" | "draining")),
                None => prop_assert!(
                    matches!(place, "cell_quarantined" | "no_cell_available"),
                    "{} keys went to {}", count, place
                ),
            }
        }
    }
}

/// A stateless placement of three cells, of which `b` drains like this.
fn draining(drain: &Value) -> Registry {
    let mut b = cell("b", "free", "draining", 1);
    b["drain"] = drain.clone();
    registry(&json!({
        "version": 1,
        "cells": [cell("a", "free", "active", 1), b, cell("c", "free", "active", 2)],
        "placements": [{"id": "public", "tier": "free", "cells": ["a", "b", "c"],
                        "stateless": true}],
        "tenants": [{"id": "own", "cell": "b"}],
        "unknown_tenant": {"placement": "public"},
    }))
}

const MANY: usize = 4000;
const NOW: Unix = Unix::from_secs(1_800_000_000);

/// The cell of each of many tenants that the registry doesn't list.
fn cells_at(registry: &Registry, now: Unix) -> Vec<String> {
    let cell = |key: usize| {
        let identity = of_tenant(&format!("t{key}"));
        let query = PlaceQuery {
            now: Now {
                unix: now,
                mono: Mono::default(),
            },
            ..query(registry, &identity, 0)
        };
        let placed = place(registry, &Health::default(), query).unwrap();
        placed.cell.id.to_string()
    };
    (0..MANY).map(cell).collect()
}

fn count(cells: &[String], id: &str) -> usize {
    cells.iter().filter(|cell| *cell == id).count()
}

/// Catches: a key that moves twice or comes back, a key of another cell that moves, and a share that
/// isn't what the registry says.
#[test]
fn a_cell_drains_key_by_key() {
    let [from, until] = [1000, 2000].map(|secs| NOW.as_secs() + secs);
    let registry = draining(&json!({"from": from, "until": until}));
    let at = |secs| cells_at(&registry, NOW.after(Duration::from_secs(secs)));
    let before = at(0);
    let active = cells_at(&draining(&json!({"percent": 0})), NOW);
    assert_eq!(before, active, "nothing has moved yet");
    // A quarter, as for an active cell of weight 1 of 4.
    assert!(
        (900..1100).contains(&count(&before, "b")),
        "{}",
        count(&before, "b")
    );

    let mut last = before.clone();
    for secs in (1000..=2000).step_by(50) {
        let now = at(secs);
        for (key, (was, is)) in last.iter().zip(&now).enumerate() {
            assert!(was == is || was == "b", "t{key} moved from {was} to {is}");
        }
        let left = count(&before, "b") * (2000 - secs as usize) / 1000;
        assert!(
            count(&now, "b").abs_diff(left) < 60,
            "{secs}: {}",
            count(&now, "b")
        );
        last = now;
    }
    assert_eq!(count(&last, "b"), 0);
    assert_eq!(last, at(1_000_000), "the drain is over");
    // Those that left went where they would be without the cell: a third to `a`.
    let gained = count(&last, "a") - count(&before, "a");
    assert!(gained.abs_diff(count(&before, "b") / 3) < 80, "{gained}");
}

#[test]
fn a_share_can_be_set_by_percent() {
    let of = |percent: u8| count(&cells_at(&draining(&json!({"percent": percent})), NOW), "b");
    let all = of(0);
    for percent in [1, 25, 50, 99] {
        let left = all * usize::from(100 - percent) / 100;
        assert!(
            of(percent).abs_diff(left) < 60,
            "{percent}: {}",
            of(percent)
        );
    }
    assert_eq!(of(100), 0);
}

/// Catches: a tenant whose data is at its cell and that a drain sends elsewhere.
#[test]
fn a_tenant_with_its_own_cell_stays() {
    for percent in [0, 50, 100] {
        let registry = draining(&json!({"percent": percent}));
        let placed = answer(&registry, &of_tenant("own"));
        assert_eq!(placed, Ok(("b".to_owned(), PlaceRule::OwnCell)));
    }
}

#[test]
fn a_tier_drains_in_the_same_way() {
    let document = |unknown: Value| {
        let mut b = cell("b", "free", "draining", 1);
        b["drain"] = json!({"percent": 50});
        registry(&json!({
            "version": 1,
            "cells": [cell("a", "free", "active", 1), b],
            "placements": [{"id": "public", "tier": "free", "cells": ["a", "b"],
                            "stateless": true}],
            "tenants": [{"id": "own", "cell": "a"}],
            "unknown_tenant": unknown,
        }))
    };
    let by_tier = document(json!("by_tier"));
    let placement = document(json!({"placement": "public"}));
    for key in 0..200 {
        let identity = Identity {
            tier: Some(text("free")),
            ..of_tenant(&format!("t{key}"))
        };
        let cell = |registry| answer(registry, &identity).map(|(cell, _)| cell);
        assert_eq!(cell(&by_tier), cell(&placement), "t{key}");
    }
}
