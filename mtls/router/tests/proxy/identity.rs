//! TLS on both sides.

use std::sync::Arc;
use std::time::Duration;

use cellway_testbed::{Ca, CellFault, ClientError, Protocol, Request, ServerTls, bundle_pem};
use http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, IsCa};
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::{NamedGroup, ServerConfig};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::world::{
    body, ca, cell, dns, issue, issue_until, now, pair, plain, plain_endpoint, provider, reason,
    registry, secure, start, uri,
};

const ACME: &str = "spiffe://corp.example/tenant/acme";
const CELL: &str = "spiffe://corp.example/cell/a";

fn endpoint(port: u16, san: Option<&str>) -> Value {
    match san {
        None => json!([{"url": format!("https://localhost:{port}")}]),
        Some(san) => json!([{"url": format!("https://127.0.0.1:{port}"), "san": san}]),
    }
}

/// A cell that presents a certificate with this name and requires one from the router.
async fn tls_cell(ca: &cellway_testbed::Ca, san: cellway_testbed::San) -> u16 {
    let roots = cellway_testbed::Ca::roots(&[ca]).unwrap();
    let tls = provider().server(&issue(ca, san), Some(roots)).unwrap();
    cell("a", ServerTls::new(tls)).await.1
}

#[tokio::test]
async fn the_tenant_comes_from_the_certificate_and_the_router_shows_its_own() {
    let (clients, cells) = (ca(1), ca(2));
    let port = tls_cell(&cells, uri(CELL)).await;
    let world = start(secure(
        registry(endpoint(port, Some(CELL))),
        &clients,
        &cells,
    ))
    .await;
    let credential = issue(&clients, uri(ACME));
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = world.secure_client(protocol, &clients, Some(&credential));
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        let echo = body(&answer);
        assert_eq!(echo["headers"]["x-cellway-tenant"], "acme");
        assert_eq!(echo["headers"]["x-cellway-auth"], "verified");
        assert_eq!(echo["peer"][0], "spiffe://corp.example/router");
        assert_eq!(echo["version"], "HTTP/2", "ALPN prefers it");
    }
}

#[tokio::test]
async fn a_cell_with_another_name_or_issuer_gets_nothing() {
    let (clients, cells) = (ca(1), ca(2));
    let credential = issue(&clients, uri(ACME));
    let other = "spiffe://corp.example/cell/b";
    for (shown, expected, trusted) in [
        (uri(other), Some(CELL), true),
        (dns("localhost"), Some(CELL), true),
        (uri(CELL), None, true),
        (dns("elsewhere"), None, true),
        (dns("elsewhere"), Some("cell-a.example"), true),
        (uri(CELL), Some(CELL), false),
        (dns("localhost"), None, false),
    ] {
        let issuer = if trusted { ca(2) } else { ca(3) };
        let tls = provider()
            .server(&issue(&issuer, shown.clone()), None)
            .unwrap();
        let (cell, port) = cell("a", ServerTls::new(tls)).await;
        let settings = secure(registry(endpoint(port, expected)), &clients, &cells);
        let world = start(settings).await;
        let client = world.secure_client(Protocol::Http2, &clients, Some(&credential));
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(
            reason(&answer),
            "cell_untrusted",
            "{shown:?} for {expected:?}"
        );
        assert_eq!(cell.arrivals(), 0);
    }
}

#[tokio::test]
async fn a_name_that_fits_passes() {
    let (clients, cells) = (ca(1), ca(2));
    let credential = issue(&clients, uri(ACME));
    for (shown, expected) in [
        (dns("localhost"), None),
        (dns("cell-a.example"), Some("cell-a.example")),
        (uri(CELL), Some(CELL)),
    ] {
        let port = tls_cell(&cells, shown).await;
        let settings = secure(registry(endpoint(port, expected)), &clients, &cells);
        let world = start(settings).await;
        let client = world.secure_client(Protocol::Http1, &clients, Some(&credential));
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{expected:?}: {:?}",
            answer.body
        );
    }
}

#[tokio::test]
async fn clients_without_a_good_certificate_are_refused() {
    let (clients, cells) = (ca(1), ca(2));
    let port = tls_cell(&cells, uri(CELL)).await;
    let settings = secure(registry(endpoint(port, Some(CELL))), &clients, &cells);
    let world = start(settings).await;
    let missing = world.secure_client(Protocol::Http2, &clients, None);
    let answer = missing.send(Request::get("/")).await.unwrap();
    assert_eq!(reason(&answer), "missing_certificate");
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.headers.contains_key("www-authenticate"));

    let past = cellway_core::Unix::from_secs(now().as_secs() - 60);
    for (credential, line) in [
        (issue(&cells, uri(ACME)), "tls refused unknown_issuer"),
        (
            issue_until(&clients, uri(ACME), past),
            "tls refused certificate_expired",
        ),
    ] {
        let client = world.secure_client(Protocol::Http2, &clients, Some(&credential));
        client.send(Request::get("/")).await.unwrap_err();
        world.events.line(line).await;
    }
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    let (clients, cells) = (ca(1), ca(2));
    let port = tls_cell(&cells, uri(CELL)).await;
    let settings = secure(registry(endpoint(port, Some(CELL))), &clients, &cells);
    let world = start(settings).await;
    // This is shorter than the grace period before a connection's end, so the router announces the
    // end at once.
    let soon = now().after(Duration::from_secs(3));
    let credential = issue_until(&clients, uri(ACME), soon);
    let client = world.secure_client(Protocol::Http2, &clients, Some(&credential));
    let connection = client.connect().await.unwrap();
    world.events.line("closed certificate_expired").await;
    drop(connection);
}

#[tokio::test]
async fn a_reload_changes_which_clients_open_connections_accept() {
    let (old, new, cells) = (ca(1), ca(4), ca(2));
    let port = tls_cell(&cells, uri(CELL)).await;
    let settings = secure(registry(endpoint(port, Some(CELL))), &old, &cells);
    let world = start(settings.clone()).await;
    let credential = issue(&old, uri(ACME));
    let client = world.secure_client(Protocol::Http1, &old, Some(&credential));
    let mut connection = client.connect().await.unwrap();
    let mut send = async || connection.send(Request::get("/")).await.unwrap();
    assert_eq!(send().await.status, StatusCode::OK);

    // During the overlap both are trusted, and nothing breaks.
    let mut both = settings.clone();
    both.trust_bundle = Some(bundle_pem(&[&old, &new]).into());
    world.handle.apply(both).await.unwrap();
    assert_eq!(send().await.status, StatusCode::OK);

    // A bad bundle changes nothing.
    let mut bad = settings.clone();
    bad.trust_bundle = Some("no PEM".to_owned().into());
    let error = world.handle.apply(bad).await.unwrap_err();
    assert_eq!(error.findings[0].setting, "trust.bundle");
    assert_eq!(send().await.status, StatusCode::OK);

    let mut only_new = settings;
    only_new.trust_bundle = Some(bundle_pem(&[&new]).into());
    only_new.listeners[0].tls.as_mut().unwrap().identity = pair(&issue(&new, dns("localhost")));
    world.handle.apply(only_new).await.unwrap();
    assert_eq!(reason(&send().await), "certificate_untrusted");
    let renewed = issue(&new, uri(ACME));
    let client = world.secure_client(Protocol::Http1, &new, Some(&renewed));
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let client = world.secure_client(Protocol::Http1, &old, Some(&renewed));
    assert!(matches!(client.connect().await, Err(ClientError::Tls(_))));
}

#[tokio::test]
async fn a_request_in_flight_outlives_a_reload() {
    let (clients, cells) = (ca(1), ca(2));
    let roots = cellway_testbed::Ca::roots(&[&cells]).unwrap();
    let tls = provider()
        .server(&issue(&cells, uri(CELL)), Some(roots))
        .unwrap();
    let (cell, port) = cell("a", ServerTls::new(tls)).await;
    cell.set_fault(CellFault::Slow(Duration::from_millis(300)));
    let settings = secure(registry(endpoint(port, Some(CELL))), &clients, &cells);
    let world = start(settings).await;
    let credential = issue(&clients, uri(ACME));
    let client = world.secure_client(Protocol::Http2, &clients, Some(&credential));
    let asking = tokio::spawn(async move { client.send(Request::get("/")).await });
    while cell.arrivals() == 0 {
        tokio::task::yield_now().await;
    }
    world.handle.reload().await.unwrap();
    world.events.line("reloaded").await;
    assert_eq!(asking.await.unwrap().unwrap().status, StatusCode::OK);
}

/// Catches: a router that exchanges keys without a protection against quantum computers although the client
/// offers it, or that refuses clients that offer none.
#[tokio::test]
async fn the_hybrid_key_exchange_comes_first() {
    let authority = ca(1);
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let url = plain_endpoint("http", port);
    let world = start(secure(registry(url), &authority, &authority)).await;
    let caller = issue(&authority, uri(ACME));
    let all = provider().crypto.kx_groups.clone();
    for (offered, agreed) in [
        (all, NamedGroup::X25519MLKEM768),
        (vec![kx_group::X25519], NamedGroup::X25519),
    ] {
        let mut tls = provider();
        Arc::make_mut(&mut tls.crypto).kx_groups = offered;
        let roots = Ca::roots(&[&authority]).unwrap();
        let config = tls.client(roots, Some(&caller), Protocol::Http1).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .unwrap();
        let group = stream.get_ref().1.negotiated_key_exchange_group();
        assert_eq!(group.map(|group| group.name()), Some(agreed));
    }
}

/// A self-signed certificate that is its own bundle: once as `openssl req -x509` makes it, and once
/// as it should be.
#[tokio::test]
async fn a_cells_own_authority_must_not_be_a_ca() {
    for (is_ca, status) in [
        (
            IsCa::Ca(BasicConstraints::Unconstrained),
            StatusCode::BAD_GATEWAY,
        ),
        (IsCa::ExplicitNoCa, StatusCode::OK),
    ] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let certificate = params.self_signed(&key).unwrap();
        let provider = provider();
        let tls = ServerConfig::builder_with_details(provider.crypto, provider.time)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        let (_cell, port) = cell("a", ServerTls::new(Arc::new(tls))).await;
        let mut settings = plain(registry(endpoint(port, None)));
        settings.upstream.bundle = Some(certificate.pem().into());
        let world = start(settings).await;
        let client = world.client(Protocol::Http1);
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, status, "{is_ca:?}");
        if status != StatusCode::OK {
            let lines = world.events.lines();
            let told = |line: &String| line.contains("basicConstraints=critical,CA:FALSE");
            assert!(lines.iter().any(told), "{lines:?}");
        }
    }
}
