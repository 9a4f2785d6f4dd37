//! Expectations that every run meets, or that none can meet.

use super::*;

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
