//! Fallback placements and failover, as documents write them.

use serde_json::{Value, json};

use super::*;

/// A document with cells `a` and `b` (free, eu), `us` (free, us) and `gold` (gold, eu), and these
/// placements.
fn document(placements: Value) -> String {
    let cell = |id: &str, tier: &str, region: &str| {
        json!({"id": id, "tier": tier, "region": region, "state": "active",
               "endpoints": [{"url": format!("https://{id}.internal:443")}]})
    };
    json!({
        "version": 1,
        "cells": [cell("a", "free", "eu"), cell("b", "free", "eu"), cell("us", "free", "us"),
                  cell("gold", "gold", "eu")],
        "placements": placements,
    })
    .to_string()
}

/// A placement of these cells with these further fields.
fn placement(id: &str, cells: &[&str], fields: Value) -> Value {
    let mut placement = json!({"id": id, "tier": "free", "cells": cells});
    let Value::Object(fields) = fields else {
        panic!("fields are an object");
    };
    for (name, value) in fields {
        placement[name] = value;
    }
    placement
}

/// Catches: a fallback that would take tenants to another tier or region, or nowhere, and a failover
/// that could never happen.
#[test]
fn a_fallback_must_be_able_to_stand_in() {
    let refused = |placements: Value| {
        let refused = Registry::from_json(&document(placements)).unwrap_err();
        refused.to_string()
    };
    let mut gold = placement("gold", &["gold"], json!({}));
    gold["tier"] = json!("gold");
    let both = json!({"stateless": true, "fallback": "us"});
    let messages: [String; 9] = [
        refused(json!([placement("p", &["a"], json!({"fallback": "x"}))])),
        refused(json!([placement("p", &["a"], json!({"fallback": "p"}))])),
        refused(json!([
            placement("p", &["a"], json!({"fallback": "gold"})),
            gold
        ])),
        refused(json!([
            placement("p", &["a"], json!({"fallback": "us"})),
            placement("us", &["us"], json!({})),
        ])),
        refused(json!([
            placement("p", &["a", "us"], both),
            placement("us", &["us"], json!({})),
        ])),
        refused(json!([
            placement("p", &["a"], json!({"fallback": "q"})),
            placement("q", &["a"], json!({})),
        ])),
        refused(json!([placement("p", &["a"], json!({"failover": true}))])),
        refused(json!([placement(
            "p",
            &["a"],
            json!({"failover": true, "stateless": true})
        )])),
        refused(json!([placement("p", &["a"], json!({"failover": "yes"}))])),
    ];
    let expected = [
        "placements[0] \"p\".fallback: unknown placement \"x\"; known placements: p",
        "placements[0] \"p\".fallback is the placement itself; name another one",
        "placements[0] \"p\".fallback: placement \"gold\" has tier \"gold\", not \"free\"",
        "placements[0] \"p\".fallback: placement \"us\" has cells in \"us\", not in \"eu\"; a fallback has \
         the same regions",
        "placements[0] \"p\".fallback: placement \"us\" has cells in \"us\", not in \"eu\", \"us\"; a \
         fallback has the same regions",
        "placements[0] \"p\".fallback: placement \"q\" has no other cells than this one",
        "placements[0] \"p\".failover needs another cell to go to: name a fallback placement, or add cells \
         to a stateless placement",
        "placements[0] \"p\".failover needs another cell to go to: name a fallback placement, or add cells \
         to a stateless placement",
        "placements[0].failover must be true or false",
    ];
    for (message, expected) in messages.iter().zip(expected) {
        assert!(message.contains(expected), "{message}");
    }
}

/// Catches: two placements that can't cover for each other, and a mistake that is reported twice.
#[test]
fn placements_may_cover_for_each_other() {
    let registry = Registry::from_json(&document(json!([
        placement("p", &["a"], json!({"fallback": "q", "failover": true})),
        placement("q", &["b"], json!({"fallback": "p"})),
        placement(
            "r",
            &["a", "b"],
            json!({"stateless": true, "failover": true})
        ),
        placement("s", &["a"], json!({})),
    ])))
    .unwrap();
    let standby = |id| registry.placement(id).unwrap().standby.clone();
    let fallback = |id| {
        standby(id)
            .unwrap()
            .fallback
            .clone()
            .map(|it| it.to_string())
    };
    assert_eq!(fallback("p").as_deref(), Some("q"));
    assert_eq!(fallback("q").as_deref(), Some("p"));
    assert_eq!(fallback("r"), None);
    assert!(standby("s").is_none());
    let failover = |id| standby(id).unwrap().failover;
    assert!(failover("p") && !failover("q") && failover("r"));

    let broken = document(json!([
        placement("p", &["a"], json!({"fallback": "q"})),
        placement("q", &["x"], json!({})),
    ]));
    let refused = Registry::from_json(&broken).unwrap_err().to_string();
    assert!(refused.contains("unknown cell \"x\""), "{refused}");
    assert!(!refused.contains("fallback"), "{refused}");
}

/// Catches: a fallback that is given to another placement of the document than to the one that names
/// it.
#[test]
fn each_of_many_placements_has_its_own_fallback() {
    let count = 500;
    let id = |n: usize| format!("p{:03}", n * 7 % count);
    let placements = (0..count).map(|n| {
        let cell = ["a", "b"][n * 7 % count % 2];
        let fields = match n % 3 {
            0 => json!({}),
            _ => json!({"fallback": id(n + 1)}),
        };
        placement(&id(n), &[cell], fields)
    });
    let registry = Registry::from_json(&document(placements.collect())).unwrap();
    for n in 0..count {
        let standby = registry.placement(&id(n)).unwrap().standby.as_ref();
        let fallback = standby.and_then(|it| it.fallback.as_ref());
        let expected = (n % 3 > 0).then(|| id(n + 1));
        assert_eq!(fallback.map(|it| it.as_str()), expected.as_deref(), "{n}");
    }
}

/// Catches: a change of `failover` that is taken for no change.
#[test]
fn failover_is_part_of_the_content() {
    let with = |failover: bool| {
        let standby = json!({"fallback": "q", "failover": failover});
        document(json!([
            placement("p", &["a"], standby),
            placement("q", &["b"], json!({})),
        ]))
    };
    let before = Registry::from_json(&with(false)).unwrap();
    let limits = RegistryLimits::default();
    let format = RegistryFormat::Json;
    let refused = Registry::parse(with(true).as_bytes(), format, Some(&before), &limits);
    let reason = refused.map(|_| ()).unwrap_err().reason;
    assert_eq!(reason, RegistryErrorReason::SameVersionOtherContent);
}
