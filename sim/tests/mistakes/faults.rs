//! Mistakes in faults.

use super::*;

fn fault(at: u32, kind: &str, fields: &str) -> String {
    format!("[[fault]]\nat = \"{at}s\"\nkind = \"{kind}\"\n{fields}\n\n")
}

#[test]
fn fields() {
    reported(&[
        (
            "\"crash\"",
            "\"burn\"",
            "s.toml:26: fault.kind: no kind of fault is called `burn`; known: crash",
        ),
        (
            "kind = \"crash\"\ntarget = \"a\"\n",
            "kind = \"publish\"\ndocument = \"registry\"\nregistry = { cell = [{ id = \"b\", tier = \"t\", endpoints = [] }] }\n",
            "fault.registry: no cell of this world is called `b`",
        ),
        (
            "kind = \"crash\"\ntarget = \"a\"\n",
            "kind = \"publish\"\ndocument = \"registry\"\nregistry = { cell = [{ id = \"a\", tier = \"t\", endpoints = [\"a-2\"] }] }\n",
            "fault.registry: `a-2` is no endpoint of a",
        ),
        (
            "target = \"a\"\n",
            "",
            "s.toml:26: fault.target: a fault of the kind `crash` needs `target`",
        ),
        (
            "kind = \"crash\"\ntarget = \"a\"\n",
            "kind = \"refuse_streams\"\ntarget = \"h\"\n[[world.cell]]\nid = \"h\"\ntier = \"t\"\nprotocol = \"http\"\n",
            "fault.target: `h` speaks HTTP/1.1, which has no streams",
        ),
        (
            "kind = \"crash\"",
            "kind = \"grpc_status\"\nstatus = 17",
            "s.toml:27: fault.status: must be the gRPC status of an error, 1 to 16",
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
    ]);
}

/// A key must be published before it signs, and a successor trusted before it issues.
#[test]
fn faults_that_need_an_earlier_one() {
    let key = |kind, key: &str| {
        let fields = format!("target = \"idp-main\"\nkey = \"{key}\"");
        fault(12, kind, &fields)
    };
    let authority = |kind| fault(12, kind, "authority = \"cells\"");
    reported_when_added(&[
        (
            key("sign_with", "key-2"),
            "s.toml:30: fault.key: idp-main doesn't publish `key-2` then: add a `publish_key`",
        ),
        (
            // Faults happen in the order of their time, not of the file.
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
    ]);
}

/// Faults that overlap, last no time, or name something that isn't there.
#[test]
fn faults_that_are_impossible() {
    reported_when_added(&[
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
            // A client's host is no service.
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
    ]);
}
