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
            "s.toml:16: world.tenant.cell: no cell is called `b`; known: a",
        ),
        (
            "cell = \"a\"\n",
            "",
            "s.toml:15: world.tenant: needs either a `cell` or a `placement`",
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
            "s.toml:26: fault.kind: no kind of fault is called `burn`; known: crash",
        ),
        (
            "target = \"a\"\n",
            "",
            "s.toml:26: fault.target: a fault of the kind `crash` needs `target`",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\nthrough = \"lb\"",
            "s.toml:22: workload.client.through: no balancer is called `lb`: there is none",
        ),
        (
            "[[world.tenant]]",
            "[[world.balancer]]\nname = \"lb\"\nrouter = \"router-1\"\nversion = 3\n[[world.tenant]]",
            "s.toml:17: world.balancer.version: must be 1 or 2",
        ),
        (
            "kind = \"crash\"\ntarget = \"a\"\n",
            "kind = \"refuse_streams\"\ntarget = \"h\"\n[[world.cell]]\nid = \"h\"\ntier = \"t\"\nprotocol = \"http\"\n",
            "fault.target: `h` speaks HTTP/1.1, which has no streams",
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
            "s.toml:24: fault.at: must end before the scenario",
        ),
        (
            "recovery = \"5s\"",
            "recovery = \"50s\"",
            "s.toml:2: duration: must be longer than 60s: the end of the last fault",
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
            "router.envelope: must be set from the start",
        ),
        (
            "[[fault]]\nat = \"6s\"\nkind = \"remove_envelope_key\"\nkey = \"env-1\"",
            "s.toml:32: fault.key: needs routers that seal envelopes",
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

/// Faults that are impossible at their time, or that nothing would notice.
#[test]
fn faults_rely_on_what_is_there() {
    let fault = |at: u32, kind: &str, fields: &str| {
        format!("[[fault]]\nat = \"{at}s\"\nkind = \"{kind}\"\n{fields}\n\n")
    };
    let key = |kind, key: &str| {
        let fields = format!("target = \"idp-main\"\nkey = \"{key}\"");
        fault(12, kind, &fields)
    };
    let authority = |kind| fault(12, kind, "authority = \"cells\"");
    for (faults, expected) in [
        (
            key("sign_with", "key-2"),
            "s.toml:30: fault.key: idp-main doesn't publish `key-2` then: add a `publish_key`",
        ),
        (
            // The order of time counts, not that of the file.
            key("sign_with", "key-2")
                + &fault(13, "publish_key", "target = \"idp-main\"\nkey = \"key-2\""),
            "s.toml:30: fault.key: idp-main doesn't publish `key-2` then",
        ),
        (
            key("replace_keys", "key-2") + &key("sign_with", "key-1"),
            "s.toml:36: fault.key: idp-main doesn't publish `key-1` then",
        ),
        (
            key("withdraw_key", "key-2"),
            "s.toml:30: fault.key: idp-main doesn't publish `key-2` then",
        ),
        (
            key("publish_key", "key-1"),
            "s.toml:30: fault.key: idp-main already publishes `key-1`",
        ),
        (
            key("publish_key", "a b"),
            "s.toml:33: fault.key: must be 1 to 64 letters",
        ),
        (
            authority("issue_from_next"),
            "s.toml:30: fault.authority: cells has no new successor then",
        ),
        (
            authority("drop_old"),
            "s.toml:30: fault.authority: cells has no new successor then",
        ),
        (
            fault(9, "crash", "target = \"a-1\"\nfor = \"5s\""),
            "s.toml:30: fault.at: `crash a` of line 24 lasts until 10s",
        ),
        (
            fault(12, "crash", "target = \"a\"\nfor = \"0s\""),
            "s.toml:33: fault.for: must be longer than 0",
        ),
        (
            fault(12, "partition", "between = [\"a\", \"a\"]\nfor = \"2s\""),
            "s.toml:32: fault.between: must be two different hosts",
        ),
        (
            // A host whose name begins like a cell's but that isn't one of its hosts.
            fault(12, "slow", "target = \"web\"\nfor = \"2s\"\ndelay = \"1s\""),
            "s.toml:32: fault.target: no cell, identity provider or control plane of this world is called `web`",
        ),
        (
            fault(
                12,
                "publish",
                "document = \"revoke\"\ntenant = \"acme\"\nsubject = \"wbe\"",
            ),
            "s.toml:34: fault.subject: no client of this world is called `wbe`",
        ),
        (
            fault(
                12,
                "publish",
                "document = \"move\"\ntenant = \"acme\"\ncell = \"a-1\"",
            ),
            "s.toml:34: fault.cell: no cell of this world is called `a-1`",
        ),
    ] {
        let complaints = complaints("[expect]", &format!("{faults}[expect]"));
        assert!(complaints.contains(expected), "{faults}{complaints}");
    }
}

/// An expectation that every run meets, or none, shows nothing.
#[test]
fn expectations_can_fail() {
    for (expect, expected) in [
        (
            "clients = []\nonly = [\"ok\"]",
            "s.toml:32: expect.answers.clients: must name a client",
        ),
        (
            "clients = [\"web\"]",
            "s.toml:32: expect.answers: needs `only`, `some` or `cells`",
        ),
        (
            "clients = [\"web\"]\nonly = [\"ok\"]\nfrom = \"30s\"",
            "s.toml:34: expect.answers.from: must leave time to send requests; the window is from 30s to 30s",
        ),
        (
            "clients = [\"web\"]\nonly = [\"ok\"]\nfrom = \"9s\"\nuntil = \"8s\"",
            "s.toml:35: expect.answers.until: must leave time to send requests; the window is from 9s to 8s",
        ),
        (
            "clients = [\"web\"]\nonly = [\"ok\"]\nuntil = \"31s\"",
            "s.toml:34: expect.answers.until: must be at most the scenario's duration, 30s",
        ),
        (
            "clients = [\"web\"]\nonly = [\"ok\"]\nsome = [\"no_answer\"]",
            "s.toml:34: expect.answers.some: `no_answer` must be in `only` too",
        ),
        (
            "clients = [\"web\"]\ncells = [\"b\"]",
            "s.toml:33: expect.answers.cells: no cell is called `b`; known: a",
        ),
        (
            "clients = [\"web\"]\nonly = [\"refused\"]\ncells = [\"a\"]",
            "s.toml:34: expect.answers.cells: needs an answer from a cell in `only`",
        ),
    ] {
        let recovery = "recovery = \"5s\"\n";
        let with = format!("{recovery}[[expect.answers]]\n{expect}\n");
        let complaints = complaints(recovery, &with);
        assert!(complaints.contains(expected), "{expect}\n{complaints}");
    }
    let recovery = "recovery = \"5s\"\n";
    let complaints = complaints(recovery, &format!("{recovery}[expect.events]\nfault = 0\n"));
    let expected = "s.toml:32: expect.events.fault: must be at least 1";
    assert!(complaints.contains(expected), "{complaints}");
}

/// Names and numbers that the simulator can't use.
#[test]
fn a_world_can_be_built() {
    for (old, new, expected) in [
        (
            "tenant = \"acme\"",
            "tenant = \"Ac me\"",
            "s.toml:20: workload.client.tenant: must be 1 to 40",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\nsigner = \"a b\"",
            "s.toml:22: workload.client.signer: ",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\ncertificate_lifetime = \"0s\"",
            "s.toml:22: workload.client.certificate_lifetime: must be 1s to ",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\ntoken_lifetime = \"99999999999h\"",
            "s.toml:22: workload.client.token_lifetime: invalid value",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\nstream = \"2500ms\"",
            "s.toml:22: workload.client.stream: must be whole seconds",
        ),
        (
            "id = \"a\"",
            "id = \"router\"",
            "s.toml:11: world.cell.id: another host has the name `router-1`",
        ),
        (
            "name = \"web\"",
            "name = \"a\"",
            "s.toml:11: world.cell.id: must differ from every host's name",
        ),
    ] {
        let complaints = complaints(old, new);
        assert!(complaints.contains(expected), "{new:?}: {complaints}");
    }
    let clients = (1..=64).map(|n| {
        format!("[[workload.client]]\nname = \"more-{n}\"\ntenant = \"acme\"\nrate = \"1/s\"\n")
    });
    let clients: String = clients.collect();
    let complaints = complaints("[[fault]]", &format!("{clients}[[fault]]"));
    assert!(
        complaints.contains("there may be at most 64"),
        "{complaints}"
    );
}

/// Files that no simulated disk has, and settings that the simulator's own hosts rely on.
#[test]
fn settings_of_the_simulator_stay_its_own() {
    for (settings, expected) in [
        (
            "[router.trust]\ncrl = [\"no.crl\"]",
            "router.trust.crl: can't be set: a simulated disk",
        ),
        (
            "[router.issuer]\njwks_file = \"no.json\"",
            "router.issuer.jwks_file: can't be set",
        ),
        (
            "[router.runtime]\nworkers = 2",
            "router.runtime.workers: can't be set",
        ),
        (
            "[router.listener]\nbind = \"0.0.0.0:1\"",
            "router.listener.bind: can't be set",
        ),
        (
            "[router.registry]\nurl = \"https://else/\"",
            "router.registry.url: can't be set",
        ),
    ] {
        let complaints = complaints("[expect]", &format!("{settings}\n\n[expect]"));
        assert!(complaints.contains(expected), "{complaints}");
    }
}
