//! Certificates that must not count.

use cellway_core::Unix;
use cellway_testbed::{CertificateSpec, Credential, Key, Request, San, Usage, Validity};
use cellway_tests::world::{Authorities, HOUR, TENANT_SAN, certificate, now};

use crate::table::Table;

pub(crate) async fn rows(table: &mut Table<'_>) {
    let authorities = &table.world.authorities;
    table
        .both("a good one", Some(&authorities.acme()), get())
        .await;
    names(table).await;
    chains(table).await;
    together(table).await;
}

fn get() -> Request {
    Request::get("/orders")
}

fn uri(text: &str) -> San {
    San::Uri(text.to_owned())
}

/// Good chains whose names say nothing, too much, or something else.
async fn names(table: &mut Table<'_>) {
    let clients = &table.world.authorities.clients;
    let dns = San::Dns("acme.clients.test".to_owned());
    for (what, names) in [
        ("no SAN", vec![]),
        ("a DNS SAN only", vec![dns]),
        (
            "two URI SANs",
            vec![uri(TENANT_SAN), uri("spiffe://clients.test/tenant/globex")],
        ),
        (
            "the same URI SAN twice",
            vec![uri(TENANT_SAN), uri(TENANT_SAN)],
        ),
        (
            "another trust domain",
            vec![uri("spiffe://evil.test/tenant/acme")],
        ),
        (
            "a trust domain that ends alike",
            vec![uri("spiffe://evil.clients.test/tenant/acme")],
        ),
        ("no tenant", vec![uri("spiffe://clients.test/tenant/")]),
        (
            "a path that climbs",
            vec![uri("spiffe://clients.test/tenant/../acme")],
        ),
        (
            "an escaped tenant",
            vec![uri("spiffe://clients.test/tenant/%61cme")],
        ),
        (
            "a path that goes on",
            vec![uri("spiffe://clients.test/tenant/acme/admin")],
        ),
        (
            "a tenant that nobody knows",
            vec![uri("spiffe://clients.test/tenant/nobody")],
        ),
    ] {
        let shown = certificate(clients, names);
        table.both(what, Some(&shown), get()).await;
    }
}

/// Chains that fail in the handshake.
async fn chains(table: &mut Table<'_>) {
    let authorities = &table.world.authorities;
    let past = Unix::from_secs(now().as_secs() - 60);
    let from = Unix::from_secs(now().as_secs() - HOUR.as_secs());
    let future = Validity {
        from: now().after(HOUR),
        until: now().after(2 * HOUR),
    };
    let present = Validity::around(now(), HOUR);
    let issue = |usage, validity| {
        let spec = CertificateSpec {
            common_name: "leaf".to_owned(),
            sans: vec![uri(TENANT_SAN)],
            usage,
            validity,
            serial: 3,
        };
        let key = Key::from_seed([98; 32]);
        authorities.clients.issue(&spec, &key).unwrap()
    };
    // Same name as the real one, another key.
    let forged = Authorities::other("clients", 66);
    for (what, shown) in [
        (
            "expired",
            issue(Usage::Client, Validity { from, until: past }),
        ),
        ("not yet valid", issue(Usage::Client, future)),
        (
            "from the cells' CA",
            certificate(&authorities.cells, vec![uri(TENANT_SAN)]),
        ),
        (
            "from a CA of the same name",
            certificate(&forged, vec![uri(TENANT_SAN)]),
        ),
        ("for servers only", issue(Usage::Server, present)),
        ("the CA itself as leaf", itself(authorities)),
    ] {
        table.both(what, Some(&shown), get()).await;
    }
}

/// The clients' authority with its own key, as if it were a client.
fn itself(authorities: &Authorities) -> Credential {
    let mut credential = authorities.acme();
    credential.chain = vec![authorities.clients.der().clone()];
    credential.key = Authorities::key(Authorities::CLIENTS_SEED);
    credential
}

/// With a token beside it.
async fn together(table: &mut Table<'_>) {
    let world = table.world;
    let acme = world.authorities.acme();
    let globex = world.token_of("globex");
    let (good, bad) = (world.token(), "open-sesame");
    let none = certificate(&world.authorities.clients, vec![]);
    for (what, shown, token) in [
        ("a good one and a good token", &acme, good.as_str()),
        ("a good one and another tenant's token", &acme, &globex),
        ("a good one and a bad token", &acme, bad),
        ("no SAN and a good token", &none, &good),
    ] {
        table.both(what, Some(shown), get().bearer(token)).await;
    }
}
