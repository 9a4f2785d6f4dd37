//! A mistake in a scenario is reported with its line, its field and what would be right.

use cellway_sim::Scenario;

const GOOD: &str = r#"about = "small"
duration = "30s"

[world]
routers = 1

[[world.issuer]]
name = "main"

[[world.cell]]
id = "a"
tier = "standard"

[[world.tenant]]
id = "acme"
cell = "a"

[[workload.client]]
name = "web"
tenant = "acme"
rate = "1/s"

[[fault]]
at = "5s"
for = "5s"
kind = "crash"
target = "a"

[expect]
recovery = "5s"
"#;

/// Puts `new` in the place of `old`, and returns the complaints.
fn complaints(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    let text = GOOD.replacen(old, new, 1);
    Scenario::parse("s.toml", &text).unwrap_err().to_string()
}

#[test]
fn the_good_one_is_good() {
    let scenario = Scenario::parse("s.toml", GOOD).unwrap();
    assert_eq!(scenario.hosts_of("a"), ["a-1"]);
    assert_eq!(scenario.calm_from().as_secs(), 10);
}

#[test]
fn every_mistake_has_line_and_field() {
    for (old, new, expected) in [
        (
            "tier = ",
            "teir = ",
            "s.toml:12: world.cell.teir: unknown field `teir`",
        ),
        (
            "duration = \"30s\"",
            "duration = 30",
            "s.toml:2: duration: invalid type: integer `30`",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"often\"",
            "s.toml:21: workload.client.rate: invalid value",
        ),
        (
            "cell = \"a\"",
            "cell = \"b\"",
            "s.toml:16: world.tenant.cell: `b` is no cell; known: a",
        ),
        (
            "cell = \"a\"\n",
            "",
            "s.toml:15: world.tenant: needs a `cell` or a `placement`",
        ),
        (
            "routers = 1",
            "routers = 0",
            "s.toml:5: world.routers: must be 1 to 64",
        ),
        (
            "name = \"web\"",
            "name = \"a-1\"",
            "s.toml:19: workload.client.name: another host",
        ),
        (
            "\"crash\"",
            "\"burn\"",
            "s.toml:26: fault.kind: `burn` is no kind of fault; known: crash",
        ),
        (
            "target = \"a\"\n",
            "",
            "s.toml:26: fault.target: a fault of the kind `crash` needs `target`",
        ),
        (
            "for = \"5s\"\n",
            "",
            "s.toml:25: fault.for: a fault of the kind `crash` needs `for`",
        ),
        (
            "target = \"a\"",
            "target = \"a\"\nkey = \"k\"",
            "fault.key: a fault of the kind `crash` has no `key`",
        ),
        (
            "at = \"5s\"",
            "at = \"28s\"",
            "s.toml:24: fault.at: it must end before the scenario",
        ),
        (
            "recovery = \"5s\"",
            "recovery = \"50s\"",
            "s.toml:2: duration: the last fault's end",
        ),
        ("[expect]", "[expect", "s.toml:29:"),
    ] {
        let complaints = complaints(old, new);
        assert!(complaints.contains(expected), "{new:?}: {complaints}");
    }
}

#[test]
fn all_mistakes_of_meaning_come_at_once() {
    let text = GOOD
        .replace("cell = \"a\"", "cell = \"b\"")
        .replace("\"crash\"", "\"burn\"");
    let errors = Scenario::parse("s.toml", &text).unwrap_err();
    assert_eq!(errors.errors.len(), 2, "{errors}");
}

#[test]
fn router_settings_are_checked_by_the_router() {
    for (settings, expected) in [
        (
            "[router.upstream]\nconect_timeout_ms = 1",
            "s.toml:30: router.upstream.conect_timeout_ms: ",
        ),
        (
            "[router.issuer]\nalgorithms = [\"none\"]",
            "s.toml:30: router.issuer[0].algorithms",
        ),
        (
            "[router.headers]\nprefix = \"x-other-\"",
            "s.toml:29: router.headers: can't be set",
        ),
        (
            "[router.policy]\nmode = \"disabled\"",
            "router.policy.mode: can't be `disabled`",
        ),
        (
            "[router.policy]\nany_of = [\"jwt\"]",
            "router.policy.any_of: can't be set",
        ),
        (
            "[[fault]]\nat = \"6s\"\nkind = \"configure\"\ntarget = \"router-1\"\n\
             settings = { policy = { mode = \"permissive\" } }",
            "anonymous_placement",
        ),
        (
            "[router.envelope]\nform = \"hmac\"",
            "s.toml:30: router.envelope.form: can't be set",
        ),
        (
            "[router.envelope]\nlifetime_secs = 61",
            "s.toml:30: router.envelope.lifetime_secs: ",
        ),
        (
            "[[fault]]\nat = \"6s\"\nkind = \"configure\"\ntarget = \"router-1\"\n\
             settings = { envelope = { lifetime_secs = 9 } }",
            "router.envelope: must be there from the start",
        ),
        (
            "[[fault]]\nat = \"6s\"\nkind = \"remove_envelope_key\"\nkey = \"env-1\"",
            "s.toml:32: fault.key: nobody seals envelopes",
        ),
        (
            "[[fault]]\nat = \"6s\"\nkind = \"add_envelope_key\"\nkey = \"a/b\"\n\n\
             [router.envelope]",
            "fault.signs_after: a fault of the kind `add_envelope_key` needs",
        ),
        (
            "[[fault]]\nat = \"6s\"\nkind = \"add_envelope_key\"\nkey = \"a/b\"\n\
             signs_after = \"9s\"\n\n[router.envelope]",
            "s.toml:32: fault.key: must be 1 to 64 letters",
        ),
        (
            "[[router.issuer]]\nname = \"mine\"",
            "s.toml:29: router.issuer: would replace",
        ),
    ] {
        let complaints = complaints("[expect]", &format!("{settings}\n\n[expect]"));
        assert!(complaints.contains(expected), "{complaints}");
    }
}

/// A world that no router would serve isn't one to run.
#[test]
fn the_registry_is_checked_by_the_router() {
    let placement = "[[world.placement]]\nid = \"spread\"\ntier = \"premium\"\ncells = [\"a\"]\n\n";
    let complaints = complaints("[[world.tenant]]", &format!("{placement}[[world.tenant]]"));
    assert!(
        complaints.contains("world: the world's registry: a router refuses it"),
        "{complaints}"
    );
}
