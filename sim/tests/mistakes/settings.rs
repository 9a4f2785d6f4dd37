//! Mistakes in `[router]`, and registries that a router refuses.

use super::*;

#[test]
fn settings_are_checked_by_the_router() {
    reported_when_added(&[
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
            "[router.policy]\nany_of = [\"jwt\"]\n[[workload.client]]\nname = \"late\"\ntenant = \"acme\"\n\
             rate = \"1/s\"\ncredential = \"expired\"",
            "router.policy.any_of: can't be set: with it all clients",
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
    ]);
}

#[test]
fn the_registry_is_checked_by_the_router() {
    let placement = "[[world.placement]]\nid = \"spread\"\ntier = \"premium\"\ncells = [\"a\"]\n\n";
    let complaints = complaints("[[world.tenant]]", &format!("{placement}[[world.tenant]]"));
    assert!(
        complaints.contains("world: the world's registry: a router refuses it"),
        "{complaints}"
    );
}

/// Files that no simulated disk has, and settings that the simulator's own hosts rely on.
#[test]
fn settings_of_the_simulator_cannot_be_changed() {
    reported_when_added(&[
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
    ]);
}
