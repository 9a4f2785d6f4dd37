//! Limits that no caller can use up alone.

use bytes::Bytes;
use cellway_env::tokio::TokioEnv;
use cellway_router::settings::{ListenerSettings, RouterSettings};
use cellway_testbed::{Ca, Client, Protocol, Request, ServerTls};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::cells::silent;
use crate::world::{
    PATIENCE, World, body, ca, cell, issue, permissive_policy, plain, plain_endpoint, reason,
    registry, secure, start, uri,
};

/// A registry with one cell, `a`, that has two tenants and serves anonymous callers.
pub(crate) fn two_tenants(endpoints: Value) -> Bytes {
    let document = json!({
        "version": 1,
        "cells": [{"id": "a", "tier": "t", "region": "r", "state": "active",
                   "endpoints": endpoints}],
        "tenants": [{"id": "acme", "cell": "a"}, {"id": "quiet", "cell": "a"}],
        "placements": [{"id": "public", "tier": "t", "cells": ["a"]}],
    });
    document.to_string().into()
}

/// A `POST` whose body never ends.
fn unfinished() -> Request {
    Request {
        method: Method::POST,
        body: Bytes::from_static(b"half of this"),
        unfinished: true,
        ..Request::get("/")
    }
}

/// How many requests or connections the cell may have at a time.
const PLACES: usize = 16;
/// How many requests a flood has.
const SENT: usize = 32;

/// Each version of HTTP that a cell speaks, and what its places are called.
fn versions() -> [(&'static str, ServerTls, &'static str); 2] {
    [
        ("h2c", ServerTls::plain_h2(), "the requests in flight"),
        ("http", ServerTls::plain(), "the connections"),
    ]
}

/// Settings of a router that asks for certificates of `clients`, in front of a cell with [`PLACES`]
/// places.
fn crowded(scheme: &str, port: u16, clients: &Ca) -> RouterSettings {
    let registry = two_tenants(plain_endpoint(scheme, port));
    let mut settings = secure(registry, clients, &ca(2));
    let limits = &mut settings.upstream.limits;
    match scheme {
        "http" => limits.connections_max = PLACES,
        _ => limits.requests_max = PLACES,
    }
    settings
}

/// A client with a certificate of this tenant.
pub(crate) fn tenant(world: &World, clients: &Ca, name: &str) -> Client<TokioEnv> {
    let san = uri(&format!("spiffe://corp.example/tenant/{name}"));
    let credential = issue(clients, san);
    world.secure_client(Protocol::Http2, clients, Some(&credential))
}

/// Checks that the tenant `quiet` is served, and that the rest of the flood still holds its places.
async fn quiet_is_served<T: 'static>(
    world: &World,
    clients: &Ca,
    flood: &mut JoinSet<T>,
    held: usize,
) {
    let quiet = tenant(world, clients, "quiet");
    for _ in 0..3 {
        let answer = quiet.send(Request::get("/")).await.unwrap();
        assert_eq!(body(&answer)["cell"], json!("a"));
    }
    assert_eq!(flood.len(), held, "what is held stays open");
    flood.abort_all();
}

#[tokio::test]
async fn a_quiet_tenant_is_served_during_a_flood() {
    // A caller may hold 10 of 16 places: up to then it has less than 1.5 for each free place.
    const HELD: usize = 10;
    let clients = ca(1);
    for (scheme, tls, places) in versions() {
        let (_cell, port) = cell("a", tls).await;
        let world = start(crowded(scheme, port, &clients)).await;
        let mut flood = JoinSet::new();
        let acme = tenant(&world, &clients, "acme");
        for _ in 0..SENT {
            let acme = acme.clone();
            flood.spawn(async move { acme.send(unfinished()).await });
        }
        for _ in HELD..SENT {
            let answer = flood.join_next().await.unwrap().unwrap().unwrap();
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(reason(&answer), "overloaded");
            let expected = format!("this caller has used up its share of {places} to the cell");
            assert_eq!(body(&answer)["error"]["detail"], json!(expected));
            assert_eq!(answer.headers["retry-after"], "5");
        }
        quiet_is_served(&world, &clients, &mut flood, HELD).await;
    }
}

/// Connects from this loopback address, and returns the connection if it was served.
async fn served_from(world: &World, address: &str) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(format!("{address}:0").parse().unwrap())
        .unwrap();
    let router = format!("127.0.0.1:{}", world.port).parse().unwrap();
    let stream = socket.connect(router).await.unwrap();
    served(stream, "").await
}

/// Sends a request after `header`. Returns the connection if it was served, and `None` if it was
/// closed.
async fn served(mut stream: TcpStream, header: &str) -> Option<TcpStream> {
    let bytes = format!("{header}GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let _ = stream.write_all(bytes.as_bytes()).await;
    let mut byte = [0];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut byte));
    match read.await.unwrap() {
        Ok(1) => Some(stream),
        _ => None,
    }
}

#[tokio::test]
async fn one_address_cannot_take_all_connections_of_a_listener() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    settings.listeners[0].connections_max = 4;
    settings.listeners[0].address_share = 50;
    let world = start(settings).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(served_from(&world, "127.0.0.1").await.unwrap());
    }
    assert!(served_from(&world, "127.0.0.1").await.is_none());
    let line = "share refused listener_connections address";
    world.events.line(line).await;
    held.push(served_from(&world, "127.0.0.2").await.unwrap());
}

/// Connects as a load balancer with this PROXY header, and returns the connection if it was served.
async fn served_for(world: &World, header: &str) -> Option<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    served(stream, header).await
}

/// Catches: a load balancer's address that gets the share of one client, so half of the listener's
/// places are never used; and a client behind it that can take all places.
#[tokio::test]
async fn behind_a_load_balancer_each_client_has_a_share_of_its_own() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    settings.listeners[0].connections_max = 8;
    settings.listeners[0].address_share = 25;
    settings.listeners[0].proxy_protocol = vec!["127.0.0.1".parse().unwrap()];
    let world = start(settings).await;
    let client = |last: u8| format!("PROXY TCP4 203.0.113.{last} 127.0.0.1 4711 80\r\n");
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(served_for(&world, &client(1)).await.unwrap());
    }
    assert!(served_for(&world, &client(1)).await.is_none());
    world.events.line("connection refused to 203.0.113.1").await;
    // It was accepted, so it also counts as closed.
    world.events.line("closed refused").await;
    world
        .events
        .line("share refused to Some(203.0.113.1)")
        .await;
    // Other clients with one connection each, and some without a name. None has more than its
    // share.
    for last in 2..5 {
        held.push(served_for(&world, &client(last)).await.unwrap());
    }
    held.push(served_for(&world, "PROXY UNKNOWN\r\n").await.unwrap());
    held.push(served_for(&world, "PROXY UNKNOWN\r\n").await.unwrap());
    held.push(served_for(&world, "PROXY UNKNOWN\r\n").await.unwrap());
    assert!(served_for(&world, &client(9)).await.is_none(), "it is full");
    held.clear();
}

/// Catches: the load balancer's address that counts as the caller of requests without a verified
/// caller.
#[tokio::test]
async fn behind_a_load_balancer_each_client_is_a_caller() {
    let (port, asked) = silent().await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    settings.upstream.limits.connections_max = 4;
    settings.upstream.limits.shares.caller = 50;
    settings.upstream.limits.shares.connection = 100;
    settings.listeners[0].proxy_protocol = vec!["127.0.0.1".parse().unwrap()];
    let world = start(settings).await;
    let send = async |last: u8| {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let header = format!("PROXY TCP4 203.0.113.{last} 127.0.0.1 4711 80\r\n");
        let bytes = format!("{header}GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    };
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(send(1).await);
        asked.notified().await;
    }
    let mut refused = send(1).await;
    let mut answer = [0; 12];
    refused.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    world
        .events
        .line("share refused cell_connections caller")
        .await;
    held.push(send(2).await);
    asked.notified().await;
}

/// Sends an anonymous request from its own address, with a body that never ends. Returns the
/// router's answer.
async fn anonymous(port: u16, last: usize) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!(
        "PROXY TCP4 203.0.113.{last} 127.0.0.1 4711 80\r\n\
         POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\nhalf of this"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut bytes) = (String::new(), [0; 4096]);
    while !answer.trim_end().ends_with('}') {
        let n = stream.read(&mut bytes).await.unwrap();
        assert_ne!(n, 0, "{answer}");
        answer += std::str::from_utf8(&bytes[..n]).unwrap();
    }
    answer
}

/// Catches: anonymous callers that are limited only one by one, so that many addresses take all
/// places of a cell; and a text that blames a tenant for that.
#[tokio::test]
async fn a_tenant_is_served_during_anonymous_requests_from_many_addresses() {
    // All anonymous callers together may hold 13 of 16 places: up to then they have less than 1.25
    // times the square of the free places.
    const HELD: usize = 13;
    let clients = ca(1);
    for (scheme, tls, places) in versions() {
        let (_cell, port) = cell("a", tls).await;
        let mut settings = crowded(scheme, port, &clients);
        settings.policy = permissive_policy();
        let policy = settings.policy.policy_id("default").unwrap();
        settings.listeners[0].policy = policy;
        let bind = "127.0.0.1:0".parse().unwrap();
        let mut public = ListenerSettings::new("anonymous", bind, policy);
        public.proxy_protocol = vec!["127.0.0.1".parse().unwrap()];
        settings.listeners.push(public);
        let world = start(settings).await;
        let port = world.handle.addresses()[1].1.port();
        let mut flood = JoinSet::new();
        for last in 0..SENT {
            flood.spawn(anonymous(port, last));
        }
        let expected = format!(
            "requests without a verified tenant have used up their share of {places} to the cell"
        );
        for _ in HELD..SENT {
            let answer = tokio::time::timeout(PATIENCE, flood.join_next()).await;
            let answer = answer.expect("more are held than one tenant may").unwrap();
            let answer = answer.unwrap();
            assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
            assert!(answer.contains(&expected), "{answer}");
        }
        quiet_is_served(&world, &clients, &mut flood, HELD).await;
    }
}
