//! A tunnel ends when a new registry or a reload takes its caller's right away.

use std::time::Duration;

use cellway_router::settings::{Pem, RegistryLocation, Sources};
use cellway_testbed::{Request, ServerTls, Validity};
use serde_json::{Value, json};

use super::ends::{PROTOCOLS, told};
use super::opened::echoes;
use crate::suspension::Published;
use crate::world::{
    DAY, ca, cell, issue_numbered, now, plain_endpoint, registry, secure, start, uri,
};

const ACME: &str = "spiffe://corp.example/tenant/acme";

/// Catches: a change of the registry that refuses new requests and leaves tunnels open.
#[tokio::test]
async fn a_registry_that_refuses_the_caller_closes_its_tunnels() {
    let rows: [(&str, Value); 4] = [
        ("revoked", json!({"revocations": [{"tenant": "acme"}]})),
        (
            "revoked",
            json!({"revocations": [{"sub": ACME, "issuer": "corp.example"}]}),
        ),
        (
            "tenant_unknown",
            json!({"tenants": [{"id": "globex", "cell": "a"}]}),
        ),
        (
            "issuer_not_allowed",
            json!({"tenants": [{"id": "acme", "cell": "a", "issuer": "other.example"},
                               {"id": "globex", "cell": "a"}]}),
        ),
    ];
    for (reason, change) in &rows {
        for protocol in PROTOCOLS {
            let (clients, cells) = (ca(1), ca(2));
            let (_cell, port) = cell("a", ServerTls::plain()).await;
            let published = Published::new(port);
            let mut settings = secure(registry(json!([])), &clients, &cells);
            settings.sources = Sources::new(RegistryLocation::File(published.path()));
            let world = start(settings).await;
            let open = async |tenant: &str, serial| {
                let name = uri(&format!("spiffe://corp.example/tenant/{tenant}"));
                let shown = issue_numbered(&clients, name, now().after(DAY), serial);
                let client = world.secure_client(protocol, &clients, Some(&shown));
                let mut connection = client.connect().await.unwrap();
                let (_, socket) = connection.websocket(Request::get("/")).await.unwrap();
                (connection, socket)
            };
            let (_connection, mut socket) = open("acme", 8).await;
            let (_other, mut stays) = open("globex", 9).await;
            published.change(&world, change).await;
            told(&mut socket, 1008).await;
            for line in [
                &format!("stream closed {reason}"),
                "tunnel websocket refused",
            ] {
                world.events.line(line).await;
            }
            echoes(&mut stays, b"another tenant's").await;
        }
    }
}

/// Catches: a revocation list that refuses new requests and leaves tunnels open.
#[tokio::test]
async fn a_revocation_list_closes_the_tunnels_of_the_certificate() {
    let (clients, cells) = (ca(1), ca(2));
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let list = |serials: &[u64]| -> Pem {
        let validity = Validity {
            from: cellway_core::Unix::from_epoch(now().since_epoch() - DAY),
            until: now().after(Duration::from_secs(1000)),
        };
        clients.revoke(serials, validity).unwrap().into()
    };
    for protocol in PROTOCOLS {
        let mut settings = secure(registry(plain_endpoint("http", port)), &clients, &cells);
        settings.revocation.lists = vec![list(&[7])];
        let world = start(settings.clone()).await;
        let open = async |serial| {
            let shown = issue_numbered(&clients, uri(ACME), now().after(DAY), serial);
            let client = world.secure_client(protocol, &clients, Some(&shown));
            let mut connection = client.connect().await.unwrap();
            let (_, socket) = connection.websocket(Request::get("/")).await.unwrap();
            (connection, socket)
        };
        let (_connection, mut socket) = open(8).await;
        let (_other, mut stays) = open(9).await;
        settings.revocation.lists = vec![list(&[7, 8])];
        world.handle.apply(settings).await.unwrap();
        told(&mut socket, 1008).await;
        for line in [
            "stream closed certificate_revoked",
            "tunnel websocket refused",
        ] {
            world.events.line(line).await;
        }
        echoes(&mut stays, b"another certificate's").await;
    }
}
