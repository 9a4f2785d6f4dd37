//! Cells' keys from the registry's annotations.

use super::*;

#[test]
fn a_new_registry_replaces_only_the_changed_cell_keys() {
    let mut world = World::new(json!({}));
    let next = Signer::ed25519(2);
    let by_next = next.token(&changed(header(), json!({"kid": "k2"})), &claims());
    let both = annotation(&[("k1", &key()), ("k2", &next)]);
    let only = annotation(&[("k2", &next)]);
    for (keys, old, new) in [
        (&both, None, None),
        (&only, Some(Reason::CbaNoMatchingKey), None),
    ] {
        world.registry = registry_with(keys, "active");
        world.keys = world.keys.follow(&world.policy.cba, Some(&world.registry));
        assert_eq!(world.refuses(&good()), old);
        assert_eq!(world.refuses(&by_next), new);
    }
    let again = world.keys.follow(&world.policy.cba, Some(&world.registry));
    let same = |id: &str| std::ptr::eq(again.cell(id).unwrap(), world.keys.cell(id).unwrap());
    assert!(same("a") && same("broken"));
    assert_eq!(again.newly_refused(&world.keys), []);
}

#[test]
fn a_broken_annotation_costs_its_own_cell_alone() {
    let huge = format!(
        r#"{{"keys": [], "pad": "{}"}}"#,
        "x".repeat(CellKeys::BYTES_MAX)
    );
    let world = World::with(json!({}), &huge, "active");
    let told = world.keys.newly_refused(&CellKeys::default());
    let told: Vec<_> = told
        .iter()
        .map(|(cell, why)| (cell.as_str(), why.reason.as_str()))
        .collect();
    assert_eq!(told, [("a", "oversized"), ("broken", "malformed")]);
    assert_eq!(world.refuses(&good()), Some(Reason::CbaNoKeys));
}

#[test]
fn other_rules_read_the_annotations_anew() {
    let world = World::new(json!({}));
    assert_eq!(world.keys.usable(), 1);
    let other_algorithms = rules(json!({"algorithms": ["ES256"]}));
    let other_name = rules(json!({"annotation": "keys"}));
    for (rules, usable) in [(&other_algorithms, 0), (&other_name, 0), (&world.policy, 1)] {
        let keys = world.keys.follow(&rules.cba, Some(&world.registry));
        assert_eq!(keys.usable(), usable);
    }
}
