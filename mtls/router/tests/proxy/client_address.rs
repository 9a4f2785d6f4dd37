//! The client's address, and the forwarding fields that cells get.

use cellway_core::headers::{Forwarded, HeaderSpec};
use cellway_testbed::{Protocol, Request, ServerTls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{
    World, ca, cell, mtls_policy, open_policy_with, plain, plain_endpoint, registry, secure,
    set_policy, start,
};

const REQUEST: &str = "GET /way HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n";

/// A router that reads PROXY headers from these ranges, with this `forwarded` setting.
async fn router(from: &[&str], forwarded: Forwarded) -> World {
    let (_, port) = cell("a", ServerTls::plain()).await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    let listener = &mut settings.listeners[0];
    listener.proxy_protocol = from.iter().map(|range| range.parse().unwrap()).collect();
    listener.forwarded = forwarded;
    start(settings).await
}

/// Sends these bytes and returns what comes back. The echo cell returns the headers that it got.
async fn sent(world: &World, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    // The router may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn has(answer: &str, name: &str, value: &str) -> bool {
    let pair = format!("\"{name}\": \"{value}\"");
    answer.contains(&pair)
}

#[tokio::test]
async fn cells_hear_the_clients_address_and_nothing_that_it_says_itself() {
    let world = router(&[], Forwarded::default()).await;
    let spoofed = format!(
        "{REQUEST}x-forwarded-for: 10.6.6.6\r\nX_Forwarded_For: 10.6.6.6\r\nx-real-ip: 10.6.6.6\r\n\
         forwarded: for=10.6.6.6\r\nx-forwarded-proto: https\r\nx-forwarded-host: evil\r\n\r\n"
    );
    let answer = sent(&world, spoofed.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        !answer.contains("10.6.6.6") && !answer.contains("evil"),
        "{answer}"
    );
    assert!(has(&answer, "x-forwarded-for", "127.0.0.1"), "{answer}");
    assert!(has(&answer, "x-forwarded-proto", "http"), "{answer}");
    assert!(has(&answer, "x-forwarded-host", "shop.example"), "{answer}");
    let element = "for=127.0.0.1;proto=http;host=\\\"shop.example\\\"";
    assert!(has(&answer, "forwarded", element), "{answer}");
}

#[tokio::test]
async fn a_listed_proxy_names_the_client() {
    let world = router(&["127.0.0.0/8"], Forwarded::default()).await;
    let line = "PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n";
    let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x7f\0\0\x01\x12\x67\0\x50";
    for header in [line.as_bytes(), binary] {
        let bytes = [header, REQUEST.as_bytes(), b"\r\n"].concat();
        let answer = sent(&world, &bytes).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(has(&answer, "x-forwarded-for", "203.0.113.9"), "{answer}");
    }
    // A health check by the proxy itself.
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let bytes = [&local[..], REQUEST.as_bytes(), b"\r\n"].concat();
    let answer = sent(&world, &bytes).await;
    assert!(has(&answer, "x-forwarded-for", "127.0.0.1"), "{answer}");
}

/// Catches: a log that has the load balancer's address for all clients.
#[tokio::test]
async fn what_is_refused_is_told_with_the_clients_address() {
    let mut settings = plain(registry(plain_endpoint("http", 1)));
    set_policy(&mut settings, mtls_policy());
    settings.listeners[0].proxy_protocol = vec!["127.0.0.0/8".parse().unwrap()];
    let world = start(settings).await;
    let line = "PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n";
    let answer = sent(&world, format!("{line}{REQUEST}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let denied = "denied missing_certificate to 203.0.113.9:4711";
    world.events.line(denied).await;

    let clients = ca(1);
    let mut settings = secure(registry(plain_endpoint("http", 1)), &clients, &ca(2));
    settings.listeners[0].proxy_protocol = vec!["127.0.0.0/8".parse().unwrap()];
    let world = start(settings).await;
    sent(&world, format!("{line}{REQUEST}\r\n").as_bytes()).await;
    world.events.line("tls refused to 203.0.113.9").await;
}

#[tokio::test]
async fn a_listed_proxy_must_send_a_header_and_a_good_one() {
    let world = router(&["127.0.0.1"], Forwarded::default()).await;
    let without = format!("{REQUEST}\r\n");
    let bad = format!("PROXY TCP4 203.0.113.999 127.0.0.1 1 80\r\n{without}");
    for bytes in [without, bad] {
        assert_eq!(sent(&world, bytes.as_bytes()).await, "", "{bytes}");
    }
    world.events.line("closed proxy_header").await;
}

#[tokio::test]
async fn only_a_trusted_proxy_can_name_a_client() {
    let world = router(&["192.0.2.0/24"], Forwarded::default()).await;
    let line = "PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n";
    let answer = sent(&world, format!("{line}{REQUEST}\r\n").as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 "),
        "it is no request: {answer}"
    );
    let answer = sent(&world, format!("{REQUEST}\r\n").as_bytes()).await;
    assert!(has(&answer, "x-forwarded-for", "127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn behind_a_proxy_the_routers_word_is_put_after_the_proxys() {
    let world = router(&[], Forwarded::Append).await;
    let proxied =
        format!("{REQUEST}x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\n\r\n");
    let answer = sent(&world, proxied.as_bytes()).await;
    assert!(
        has(&answer, "x-forwarded-for", "203.0.113.9, 127.0.0.1"),
        "{answer}"
    );
    assert!(has(&answer, "x-forwarded-proto", "https"), "{answer}");
    let world = router(&[], Forwarded::Keep).await;
    let answer = sent(&world, proxied.as_bytes()).await;
    assert!(has(&answer, "x-forwarded-for", "203.0.113.9"), "{answer}");
    assert!(!answer.contains("x-forwarded-host"), "{answer}");
}

/// In HTTP/2, the authority is what `Host` is in HTTP/1.1.
#[tokio::test]
async fn http2_is_told_alike() {
    let world = router(&[], Forwarded::default()).await;
    let answer = world
        .client(Protocol::Http2)
        .send(Request::get("/way"))
        .await
        .unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(has(&text, "x-forwarded-for", "127.0.0.1"), "{text}");
    assert!(text.contains("\"x-forwarded-host\": \"localhost"), "{text}");
}

/// Catches: the router removes its own fields together with the client's.
#[tokio::test]
async fn a_header_of_the_routers_may_have_a_name_that_only_proxies_use() {
    let rename = [("cell", "X-Forwarded-Cell"), ("auth", "x-real-ip")];
    let spec = HeaderSpec {
        rename: rename.map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
        ..HeaderSpec::default()
    };
    for forwarded in [Forwarded::Replace, Forwarded::Append, Forwarded::Keep] {
        let (_, port) = cell("a", ServerTls::plain()).await;
        let mut settings = plain(registry(plain_endpoint("http", port)));
        settings.policy = open_policy_with(spec.clone());
        settings.listeners[0].forwarded = forwarded;
        let world = start(settings).await;
        let spoofed = format!("{REQUEST}x-forwarded-cell: evil\r\nx_real_ip: evil\r\n\r\n");
        let answer = sent(&world, spoofed.as_bytes()).await;
        assert!(has(&answer, "x-forwarded-cell", "a"), "{answer}");
        assert!(
            has(&answer, "x-real-ip", "anonymous") || has(&answer, "x-real-ip", "insecure"),
            "{answer}"
        );
        assert!(!answer.contains("evil"), "{answer}");
    }
}
