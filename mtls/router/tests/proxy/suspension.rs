//! Suspends a tenant: all its open requests are closed, wherever they are, and no other tenant's.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cellway_env::tokio::TokioEnv;
use cellway_router::settings::{RegistryLocation, RouterSettings, Sources};
use cellway_testbed::{Folder, IdentityProvider};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

use crate::cells::played;
use crate::world::{
    PATIENCE, World, open_policy, plain, registry, set_policy, start, token_policy,
};

/// A body that is empty, or has some bytes and never ends.
struct Body(Option<Bytes>, bool);

impl Body {
    fn empty() -> Self {
        Self(None, true)
    }

    fn endless() -> Self {
        Self(Some(Bytes::from_static(b"and so on")), false)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match (self.0.take(), self.1) {
            (Some(data), _) => Poll::Ready(Some(Ok(Frame::data(data)))),
            (None, true) => Poll::Ready(None),
            (None, false) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none() && self.1
    }
}

/// Waits, but no longer than a test may take.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

/// A cell that starts each answer with one byte and, at each `more`, sends another byte on every
/// open answer. It reads a body that is posted to `/upload` forever. It counts the exchanges that
/// arrived and those that were cut.
#[derive(Clone)]
pub(crate) struct LongCell {
    pub more: Arc<Notify>,
    /// Makes it send as much as it can, and report when the router takes no more.
    flood: Arc<Notify>,
    blocked: Arc<Semaphore>,
    arrived: Arc<Semaphore>,
    gone: Arc<Semaphore>,
}

/// 4,096 bytes of a body as one chunk.
const CHUNK: [u8; 4104] = {
    let mut chunk = [b'x'; 4104];
    let (head, tail) = (*b"1000\r\n", *b"\r\n");
    let mut i = 0;
    while i < head.len() {
        chunk[i] = head[i];
        i += 1;
    }
    chunk[4102] = tail[0];
    chunk[4103] = tail[1];
    chunk
};

/// If a router has taken nothing for this long, it takes no more.
const FULL_AFTER: Duration = Duration::from_millis(300);

impl LongCell {
    pub(crate) fn new() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self {
            more: Arc::default(),
            flood: Arc::default(),
            blocked: none(),
            arrived: none(),
            gone: none(),
        }
    }

    pub(crate) async fn start(&self) -> u16 {
        let cell = self.clone();
        played(move |stream| cell.clone().exchange(stream)).await
    }

    async fn exchange(self, mut stream: TcpStream) {
        let mut buffer = vec![0; 1 << 16];
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        let answers = !buffer[..read].starts_with(b"POST /upload ");
        if answers {
            let endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n";
            let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
            let answer: &[u8] = match buffer.starts_with(b"POST /early ") {
                true => whole,
                false => endless,
            };
            let _ = stream.write_all(answer).await;
        }
        self.arrived.add_permits(1);
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(n) if n > 0 => {}
                    _ => break,
                },
                () = self.flood.notified(), if answers => {
                    let filling = async { while stream.write_all(&CHUNK).await.is_ok() {} };
                    let _ = tokio::time::timeout(FULL_AFTER, filling).await;
                    self.blocked.add_permits(1);
                }
                () = self.more.notified(), if answers => {
                    let _ = stream.write_all(b"1\r\nx\r\n").await;
                }
            }
        }
        self.gone.add_permits(1);
    }

    pub(crate) async fn arrivals(&self, count: u32) {
        soon(self.arrived.acquire_many(count))
            .await
            .unwrap()
            .forget();
    }

    pub(crate) async fn losses(&self, count: u32) {
        soon(self.gone.acquire_many(count)).await.unwrap().forget();
    }
}

/// A registry file that the test can replace.
pub(crate) struct Published {
    folder: Folder,
    port: u16,
}

impl Published {
    pub(crate) fn new(port: u16) -> Self {
        let folder = Folder::generate();
        let published = Self { folder, port };
        published.write(1, "eu", &both());
        published
    }

    pub(crate) fn path(&self) -> String {
        self.folder.path("registry.json")
    }

    fn document(&self, version: u64, region: &str, tenants: &Value) -> Value {
        json!({
            "version": version, "allow_shrink_from": version.saturating_sub(1),
            "cells": [{"id": "a", "tier": "t", "region": region, "state": "active",
                       "endpoints": [{"url": format!("http://127.0.0.1:{}", self.port)}]}],
            "tenants": tenants,
        })
    }

    fn write(&self, version: u64, region: &str, tenants: &Value) {
        let document = self.document(version, region, tenants);
        self.folder.write("registry.json", document.to_string());
    }

    async fn publish(&self, world: &World, version: u64, region: &str, tenants: &Value) {
        self.write(version, region, tenants);
        world.handle.reload().await.unwrap();
        world.events.line(&format!("registry {version}")).await;
    }

    pub(crate) async fn suspend_acme(&self, world: &World) {
        self.publish(world, 2, "eu", &suspended()).await;
    }

    /// Publishes version 2 with these fields instead of those of version 1.
    pub(crate) async fn change(&self, world: &World, fields: &Value) {
        let mut document = self.document(2, "eu", &both());
        for (name, value) in fields.as_object().unwrap() {
            document[name] = value.clone();
        }
        self.folder.write("registry.json", document.to_string());
        world.handle.reload().await.unwrap();
        world.events.line("registry 2").await;
    }
}

fn both() -> Value {
    json!([{"id": "acme", "cell": "a"}, {"id": "globex", "cell": "a"}])
}

/// The tenants, with acme suspended.
fn suspended() -> Value {
    json!([{"id": "acme", "cell": "a", "status": "suspended"}, {"id": "globex", "cell": "a"}])
}

struct Scene {
    cell: LongCell,
    published: Published,
    world: World,
}

async fn scene(change: impl FnOnce(&mut RouterSettings)) -> Scene {
    let cell = LongCell::new();
    let published = Published::new(cell.start().await);
    let mut settings = plain(registry(json!([])));
    settings.policy = open_policy();
    settings.sources = Sources::new(RegistryLocation::File(published.path()));
    change(&mut settings);
    let world = start(settings).await;
    Scene {
        cell,
        published,
        world,
    }
}

/// A scene in which tokens identify the callers.
async fn scene_of(provider: &IdentityProvider) -> Scene {
    scene(|settings| set_policy(settings, token_policy(provider))).await
}

async fn http2(world: &World) -> hyper::client::conn::http2::SendRequest<Body> {
    let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let opened =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = opened.unwrap();
    tokio::spawn(connection);
    sender
}

async fn http1(world: &World) -> hyper::client::conn::http1::SendRequest<Body> {
    let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = opened.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(method: &str, path: &str, body: Body) -> Request<Body> {
    let uri = format!("http://localhost{path}");
    let request = Request::builder().method(method).uri(uri);
    request.header("host", "localhost").body(body).unwrap()
}

fn get(provider: &IdentityProvider, tenant: &str) -> Request<Body> {
    let token = provider.token(&TokioEnv::new(), tenant).unwrap();
    let mut request = request("GET", "/", Body::empty());
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    request
}

async fn first_byte(answer: &mut Response<Incoming>) {
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(next(answer).await.unwrap(), "x");
}

/// The next bytes of an answer.
async fn next(answer: &mut Response<Incoming>) -> Result<Bytes, hyper::Error> {
    let frame = soon(answer.body_mut().frame()).await.expect("no end");
    frame.map(|frame| frame.into_data().unwrap())
}

const CUT: &str = "responded 200 cell tenant_suspended cut";
const CLOSED: &str = "stream closed tenant_suspended";

#[tokio::test]
async fn http2_loses_the_tenants_streams_and_keeps_the_others_of_the_connection() {
    let provider = IdentityProvider::start(&TokioEnv::new()).await.unwrap();
    let scene = scene_of(&provider).await;
    let mut client = http2(&scene.world).await;
    let mut acme = soon(client.send_request(get(&provider, "acme")))
        .await
        .unwrap();
    let mut globex = soon(client.send_request(get(&provider, "globex")))
        .await
        .unwrap();
    first_byte(&mut acme).await;
    first_byte(&mut globex).await;
    scene.cell.arrivals(2).await;

    scene.published.suspend_acme(&scene.world).await;
    let error = next(&mut acme).await.unwrap_err();
    assert!(format!("{error:?}").contains("Reset"), "{error:?}");
    scene.cell.losses(1).await;
    scene.world.events.line(CUT).await;

    scene.cell.more.notify_waiters();
    assert_eq!(next(&mut globex).await.unwrap(), "x");
    let refused = soon(client.send_request(get(&provider, "acme")))
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let closed = |line: &String| line.starts_with("stream closed");
    assert_eq!(
        scene
            .world
            .events
            .lines()
            .into_iter()
            .filter(closed)
            .count(),
        1
    );
}

#[tokio::test]
async fn http1_ends_the_connection() {
    let scene = scene(|_| ()).await;
    let mut client = http1(&scene.world).await;
    let get = request("GET", "/", Body::empty());
    let mut answer = soon(client.send_request(get)).await.unwrap();
    first_byte(&mut answer).await;
    scene.published.suspend_acme(&scene.world).await;
    assert!(
        next(&mut answer).await.is_err(),
        "a cut body isn't a whole one"
    );
    scene.cell.losses(1).await;
    for line in [CLOSED, CUT, "closed stream_closed"] {
        scene.world.events.line(line).await;
    }
}

#[tokio::test]
async fn what_has_no_answer_yet_is_answered_and_its_body_goes_no_further() {
    let scene = scene(|_| ()).await;
    for version in [1, 2] {
        let world = &scene.world;
        let upload = request("POST", "/upload", Body::endless());
        let waiting = match version {
            1 => tokio::spawn(http1(world).await.send_request(upload)),
            _ => tokio::spawn(http2(world).await.send_request(upload)),
        };
        scene.cell.arrivals(1).await;
        scene
            .published
            .publish(world, 2 * version, "eu", &suspended())
            .await;
        let answer = soon(waiting).await.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "HTTP/{version}");
        assert_eq!(answer.headers()["x-cellway-reason"], "tenant_suspended");
        scene.cell.losses(1).await;
        world.events.line(CLOSED).await;
        scene
            .published
            .publish(world, 2 * version + 1, "eu", &both())
            .await;
    }
}

#[tokio::test]
async fn a_body_that_goes_on_while_the_answer_does_ends_for_the_cell_too() {
    let scene = scene(|_| ()).await;
    let mut client = http2(&scene.world).await;
    let call = request("POST", "/call", Body::endless());
    let mut answer = soon(client.send_request(call)).await.unwrap();
    first_byte(&mut answer).await;
    scene.published.suspend_acme(&scene.world).await;
    assert!(next(&mut answer).await.is_err());
    scene.cell.losses(1).await;
    scene.world.events.line(CUT).await;
}

#[tokio::test]
async fn a_body_that_goes_on_after_the_answer_is_given_up() {
    let scene = scene(|_| ()).await;
    let mut client = http2(&scene.world).await;
    let call = request("POST", "/early", Body::endless());
    let mut answer = soon(client.send_request(call)).await.unwrap();
    first_byte(&mut answer).await;
    scene.world.events.line("responded 200 cell - whole").await;
    scene.cell.losses(1).await;
}

/// A preface that gives streams no flow-control window, and `GET http://localhost/` on stream 1.
const NO_ROOM: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0\
    \0\0\x0e\x01\x05\0\0\0\x01\x82\x86\x84\x41\x09localhost";

#[tokio::test]
async fn a_client_that_takes_nothing_holds_nothing_open() {
    let http1: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    for asks in [NO_ROOM, http1] {
        let scene = scene(|_| ()).await;
        let mut client = TcpStream::connect(("127.0.0.1", scene.world.port))
            .await
            .unwrap();
        client.write_all(asks).await.unwrap();
        scene.cell.arrivals(1).await;
        scene.cell.flood.notify_waiters();
        // Wait until the router takes no more of it.
        soon(scene.cell.blocked.acquire()).await.unwrap().forget();
        scene.published.suspend_acme(&scene.world).await;
        scene.world.events.line(CUT).await;
        scene.cell.losses(1).await;
        drop(client);
    }
}

#[tokio::test]
async fn a_tenant_that_is_removed_loses_its_streams() {
    let scene = scene(|_| ()).await;
    let mut client = http2(&scene.world).await;
    let get = request("GET", "/", Body::empty());
    let mut answer = soon(client.send_request(get)).await.unwrap();
    first_byte(&mut answer).await;
    let left = json!([{"id": "globex", "cell": "a"}]);
    scene.published.publish(&scene.world, 2, "eu", &left).await;
    assert!(next(&mut answer).await.is_err());
    scene
        .world
        .events
        .line("stream closed tenant_unknown")
        .await;
    scene
        .world
        .events
        .line("responded 200 cell tenant_unknown cut")
        .await;
}

#[tokio::test]
async fn a_version_that_says_nothing_new_of_the_tenant_closes_nothing() {
    let scene = scene(|_| ()).await;
    let mut client = http2(&scene.world).await;
    let get = request("GET", "/", Body::empty());
    let mut answer = soon(client.send_request(get)).await.unwrap();
    first_byte(&mut answer).await;
    scene.cell.arrivals(1).await;
    let world = &scene.world;
    scene.published.publish(world, 2, "us", &both()).await;
    let others = json!([{"id": "acme", "cell": "a"},
                        {"id": "globex", "cell": "a", "status": "suspended"}]);
    scene.published.publish(world, 3, "us", &others).await;
    scene.cell.more.notify_waiters();
    assert_eq!(next(&mut answer).await.unwrap(), "x");
    let closed = |line: &String| line.starts_with("stream closed");
    assert!(!world.events.lines().iter().any(closed));
}
