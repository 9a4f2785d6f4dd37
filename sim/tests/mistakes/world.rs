//! Mistakes in the world and the workload.

use super::*;

#[test]
fn fields_and_names() {
    reported(&[
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
            "[[world.tenant]]",
            "[[world.balancer]]\nname = \"lb\"\nrouter = \"router-1\"\nversion = 3\n[[world.tenant]]",
            "s.toml:17: world.balancer.version: must be 1 or 2",
        ),
        (
            "recovery = \"5s\"",
            "recovery = \"50s\"",
            "s.toml:2: duration: must be longer than 60s: the end of the last fault",
        ),
        ("[expect]", "[expect", "s.toml:29:"),
    ]);
}

#[test]
fn what_a_client_cannot_do() {
    reported(&[
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\nthrough = \"lb\"",
            "s.toml:22: workload.client.through: no balancer is called `lb`: there is none",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\nbreaks_off = true\nstream = \"2s\"",
            "s.toml:19: workload.client.breaks_off: can't be combined with `stream`",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\ngrpc = true\nprotocol = \"http1\"",
            "s.toml:19: workload.client.grpc: needs `protocol = \"http2\"`",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\ngrpc = true\nstream = \"2s\"",
            "s.toml:19: workload.client.stream: can't be combined with `grpc`",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\ndeadline = \"1s\"",
            "s.toml:19: workload.client.deadline: needs `grpc`",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\ngrpc = true\ndeadline = \"11s\"",
            "s.toml:23: workload.client.deadline: must be 1ms to 10s",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\nupload = 9\nstops_reading = true",
            "s.toml:19: workload.client.upload: can't be combined with `stops_reading`",
        ),
        (
            "rate = \"1/s\"",
            "rate = \"1/s\"\nupload = 0",
            "s.toml:22: workload.client.upload: must be a number of bytes from 1 to 4194304",
        ),
    ]);
}

#[test]
fn names_and_times_that_the_simulator_cannot_use() {
    reported(&[
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
    ]);
}

#[test]
fn too_many_clients() {
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
