//! Revocation lists are read at a reload and checked in every handshake and before every request.

use std::time::Duration;

use cellway_core::Unix;
use cellway_router::settings::{Pem, RevocationSettings, RouterSettings};
use cellway_testbed::{Ca, Credential, Key, Protocol, Request, ServerTls, Validity};
use http::StatusCode;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;

use crate::world::{
    World, ca, cell, issue_numbered, now, plain_endpoint, reason, registry, secure, start, uri,
};

const ACME: &str = "spiffe://corp.example/tenant/acme";
const HOUR: Duration = Duration::from_secs(3600);

fn client(ca: &Ca, serial: u64) -> Credential {
    issue_numbered(ca, uri(ACME), now().after(HOUR), serial)
}

fn fresh(ca: &Ca, serials: &[u64]) -> Pem {
    ca.revoke(serials, Validity::around(now(), HOUR))
        .unwrap()
        .into()
}

/// A list whose next update was due a minute ago.
fn stale(ca: &Ca, serials: &[u64]) -> Pem {
    let validity = Validity {
        from: Unix::from_epoch(now().since_epoch() - HOUR),
        until: Unix::from_secs(now().as_secs() - 60),
    };
    ca.revoke(serials, validity).unwrap().into()
}

fn with(settings: &RouterSettings, lists: Vec<Pem>) -> RouterSettings {
    let revocation = RevocationSettings {
        lists,
        ..RevocationSettings::default()
    };
    RouterSettings {
        revocation,
        ..settings.clone()
    }
}

async fn world(clients: &Ca) -> (World, RouterSettings) {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let endpoints = plain_endpoint("http", port);
    let settings = secure(registry(endpoints), clients, &ca(2));
    (start(settings.clone()).await, settings)
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_on_open_connections_too() {
    let clients = ca(1);
    let (world, settings) = world(&clients).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (stolen, kept) = (client(&clients, 7), client(&clients, 8));
        world.handle.apply(settings.clone()).await.unwrap();
        let revoked = world.secure_client(protocol, &clients, Some(&stolen));
        let other = world.secure_client(protocol, &clients, Some(&kept));
        let mut one = revoked.connect().await.unwrap();
        let mut two = other.connect().await.unwrap();
        assert_eq!(
            one.send(Request::get("/")).await.unwrap().status,
            StatusCode::OK
        );

        let lists = vec![fresh(&clients, &[6, 7])];
        world.handle.apply(with(&settings, lists)).await.unwrap();
        let answer = one.send(Request::get("/")).await.unwrap();
        assert_eq!(reason(&answer), "certificate_revoked");
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(
            two.send(Request::get("/")).await.unwrap().status,
            StatusCode::OK
        );
        revoked.send(Request::get("/")).await.unwrap_err();
        world.events.line("tls refused certificate_revoked").await;
        let answer = other.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_no_fresh_list_covers_is_refused_unless_allowed() {
    let (clients, elsewhere) = (ca(1), ca(3));
    let namesake = Ca::new(
        "root 1",
        &Key::from_seed([9; 32]),
        Validity::around(now(), HOUR),
        1,
    );
    let namesake = namesake.unwrap();
    let (world, settings) = world(&clients).await;
    let credential = client(&clients, 8);
    let client = world.secure_client(Protocol::Http1, &clients, Some(&credential));
    for (list, allow_stale, allow_missing, good) in [
        (stale(&clients, &[]), false, false, false),
        (stale(&clients, &[]), true, false, true),
        (stale(&clients, &[]), false, true, false),
        (fresh(&elsewhere, &[8]), false, false, false),
        (fresh(&elsewhere, &[8]), true, false, false),
        (fresh(&elsewhere, &[8]), false, true, true),
        (fresh(&namesake, &[]), true, true, false),
        (fresh(&clients, &[]), false, false, true),
    ] {
        world.handle.apply(settings.clone()).await.unwrap();
        let mut standing = client.connect().await.unwrap();
        let case = format!("stale {allow_stale}, missing {allow_missing}");
        let mut changed = with(&settings, vec![list]);
        changed.revocation.stale_allowed = allow_stale;
        changed.revocation.missing_allowed = allow_missing;
        world.handle.apply(changed).await.unwrap();
        let answer = standing.send(Request::get("/")).await.unwrap();
        if good {
            assert_eq!(answer.status, StatusCode::OK, "{case}");
            client.send(Request::get("/")).await.unwrap();
        } else {
            assert_eq!(reason(&answer), "revocation_unknown", "{case}");
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{case}");
            client.send(Request::get("/")).await.unwrap_err();
            world.events.line("tls refused revocation_unknown").await;
        }
    }
}

#[tokio::test]
async fn a_list_that_is_none_changes_nothing() {
    let clients = ca(1);
    let (world, settings) = world(&clients).await;
    let credential = client(&clients, 8);
    let client = world.secure_client(Protocol::Http1, &clients, Some(&credential));
    let good = clients.revoke(&[8], Validity::around(now(), HOUR)).unwrap();
    let mut longer = CertificateRevocationListDer::from_pem_slice(good.as_bytes())
        .unwrap()
        .to_vec();
    longer.push(0);
    for bad in [&b"no PEM"[..], b"0 and so no DER either", b"", &longer] {
        let lists = vec![fresh(&clients, &[8]), Pem::Text(bad.to_vec().into())];
        let error = world
            .handle
            .apply(with(&settings, lists))
            .await
            .unwrap_err();
        assert_eq!(error.findings[0].setting, "trust.crl[1]", "{bad:?}");
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
}
