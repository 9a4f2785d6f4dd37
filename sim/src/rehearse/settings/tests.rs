use std::collections::BTreeSet;

use cellway_router::config::File;

use super::*;

/// A name that no field has.
const UNKNOWN: &str = "no-such-setting";

/// The names of all settings. serde reports an unknown field with a list of the known ones.
fn every_setting(path: &mut Vec<(String, bool)>, known: &mut BTreeSet<String>) {
    for field in fields(path) {
        let names = path.iter().map(|(name, _)| name.as_str());
        let names: Vec<_> = names.chain([field.as_str()]).collect();
        known.insert(names.join("."));
        for is_list in [false, true] {
            path.push((field.clone(), is_list));
            every_setting(path, known);
            path.pop();
        }
    }
}

fn fields(path: &[(String, bool)]) -> Vec<String> {
    let unknown = Table::from_iter([(UNKNOWN.to_owned(), Value::from(1))]);
    let value = path
        .iter()
        .rev()
        .fold(Value::from(unknown), |inner, (name, is_list)| {
            let inner = match is_list {
                true => Value::from(vec![inner]),
                false => inner,
            };
            Value::from(Table::from_iter([(name.clone(), inner)]))
        });
    let message = value.try_into::<File>().unwrap_err().to_string();
    let expected = message.strip_prefix(&format!("unknown field `{UNKNOWN}`, expected "));
    let expected = expected.and_then(|rest| rest.lines().next());
    let words = expected.unwrap_or_default().split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// Catches: a new setting whose place in a rehearsal nobody has thought of.
#[test]
fn every_setting_has_a_fate() {
    let mut known = BTreeSet::new();
    every_setting(&mut Vec::new(), &mut known);
    for some in ["log.level", "issuer.keys.fresh_secs", "policy.rule.grpc"] {
        assert!(known.contains(some), "{some} is missing in {known:?}");
    }
    let without: Vec<_> = known.iter().filter(|it| fate_of(it).is_none()).collect();
    assert!(
        without.is_empty(),
        "add to sim/src/rehearse/settings/table.rs: {without:#?}"
    );
    assert_eq!(fate_of("no_such_table.setting"), None);
}

/// Catches: a table in which a new setting would be carried over although it names something that the
/// simulator doesn't have. Whoever adds a setting decides.
#[test]
fn carried_settings() {
    let mut known = BTreeSet::new();
    every_setting(&mut Vec::new(), &mut known);
    let is_leaf = |it: &&String| {
        !known
            .iter()
            .any(|other| other.starts_with(&format!("{it}.")))
    };
    let carried = known.iter().filter(|it| fate_of(it) == Some(Fate::Carried));
    let carried: Vec<_> = carried.filter(is_leaf).cloned().collect();
    insta::assert_snapshot!(carried.join("\n"));
}

#[test]
fn only_carried_settings_are_kept() {
    let file: Table = toml::from_str(
        r#"
        [[listener]]
        name = "public"
        bind = "0.0.0.0:8443"
        streams_max = 10
        route = [{ path = "/a", policy = "b", traffic = "c" }]
        [routing_key]
        gateways = [{ san = "spiffe://example/gateway", tenants = ["acme"] }]
        [upstream]
        bundle = "cells.pem"
        retry_percent = 5
        "#,
    )
    .unwrap();
    let right: Table = toml::from_str(
        r#"
        upstream = { retry_percent = 5 }
        [[listener]]
        streams_max = 10
        route = [{ path = "/a", traffic = "c" }]
        "#,
    )
    .unwrap();
    assert_eq!(carried(&file), right);
}
