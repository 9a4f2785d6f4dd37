//! Under load, nothing is lost: no request fails and no connection is refused while a router reloads,
//! is upgraded, and drains.
//!
//! The clients speak HTTP/1.1 and HTTP/2, with and without TLS, on kept and on new connections, with streams
//! that last longer than the change, with gRPC's trailers in both directions and gRPC's streams, and over
//! WebSockets. They are as strict as RFC 9110 and RFC 9113 let them be: a request is sent again only if the
//! router said that it did not process it, or it was never sent. A WebSocket ends only with a Close frame of
//! code 1001, and every message that came to the cell is answered before. A load balancer asks `/readyz`
//! again and again, and sees the router fail only in the drain at the end.

mod tls;
mod websocket;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cellway_env::tokio::{TokioEnv, TokioListener};
use cellway_env::{Env, Listener};
use cellway_testbed::{Answer, Client, Connection, EchoCell, Protocol, Request, ServerTls, Target};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::json;

use self::tls::Authority;
use crate::serving::Serving;
use crate::upgrade::Next;
use crate::{CONFIG, Folder, token};

/// What happens to the router.
struct Plan {
    reloads: usize,
    upgrades: usize,
}

/// A short sample.
#[test]
fn nothing_is_lost_in_reloads_an_upgrade_and_a_drain() {
    carry_out(&Plan {
        reloads: 4,
        upgrades: 1,
    });
}

/// `cargo test -p cellway --test cli under_load -- --ignored`
#[test]
#[ignore = "takes half a minute; the other test is a sample of it"]
fn nothing_is_lost_in_20_reloads_5_upgrades_and_a_drain() {
    carry_out(&Plan {
        reloads: 20,
        upgrades: 5,
    });
}

fn carry_out(plan: &Plan) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (cell, at) = runtime.block_on(cell());
    let folder = Folder::new();
    folder.write("registry.json", registry(at));
    folder.write("cellway.toml", config(plan.reloads));
    let authority = Authority::new(&folder);
    let mut serving = Serving::with(&folder.config(), &[]);
    let admin = serving.address("admin");
    let [local, tls] = ["local", "tls"].map(|name| serving.address(name).parse().unwrap());
    serving.ready(&admin);

    // One client of each kind without TLS, the others with it.
    let target = |kind: Kind, number| match (kind, number) {
        (Kind::Ready, _) => tls::plain(admin.parse().unwrap(), kind.protocol()),
        (_, 0) => tls::plain(local, kind.protocol()),
        (_, _) => authority.target(tls, kind.protocol()),
    };
    let load = Load::start(&runtime, target);
    load.until_each_was_served(100);
    // Each process is killed when its guard is dropped, so all are kept.
    let mut processes: Vec<Next> = Vec::new();
    for round in 0..plan.reloads.max(plan.upgrades) {
        if round < plan.reloads {
            reload(&folder, &mut serving, processes.last(), round);
        }
        if round < plan.upgrades {
            signal(&serving, processes.last(), "-USR2");
            processes.push(Next::of(&serving.wait("upgrade_started")));
            let abandoned = serving.wait("drained")["abandoned"].clone();
            assert_eq!(abandoned, 0, "round {round}");
        }
        load.until_each_was_served(20);
    }
    // As a load balancer that sees `/readyz` fail.
    load.shared.draining.store(true, SeqCst);
    signal(&serving, processes.last(), "-TERM");
    serving.wait("draining");
    load.leave();
    assert_eq!(serving.wait("drained")["abandoned"], 0);
    let answered = load.end(&runtime);
    // The cell counts for itself.
    assert_eq!(cell.messages(), answered, "messages over WebSockets");
}

fn signal(serving: &Serving, next: Option<&Next>, name: &str) {
    match next {
        Some(next) => next.signal(name),
        None => serving.signal(name),
    }
}

/// Every second file is bad, and the old settings must stay. Each other one changes a setting.
fn reload(folder: &Folder, serving: &mut Serving, next: Option<&Next>, round: usize) {
    let bad = round % 2 == 1;
    let text = match bad {
        true => config(round).replace("any_of", "anyof"),
        false => config(round),
    };
    folder.write("cellway.toml", text);
    signal(serving, next, "-HUP");
    if bad {
        serving.wait("reload_refused");
    } else {
        let changed = &serving.wait("reloaded")["settings"];
        assert_eq!(*changed, json!([SETTING]), "round {round}");
    }
    folder.write("cellway.toml", config(round));
}

/// The setting that each reload changes.
const SETTING: &str = "issuer[0].leeway_nbf_secs";

/// The configuration of a round, which differs from that of every other round. The router starts with
/// that of a round after the last.
fn config(round: usize) -> String {
    let runtime = "[runtime]\ndrain_delay_secs = 1\ndrain_idle_secs = 2\n";
    let leeway = format!("leeway_nbf_secs = {round}\njwks_file");
    CONFIG.replace("jwks_file", &leeway) + tls::LISTENER + runtime
}

pub(crate) async fn cell() -> (EchoCell, SocketAddr) {
    let any = "127.0.0.1:0".parse().unwrap();
    let listener: TokioListener = TokioEnv::new().bind(any, false).await.unwrap();
    let address = listener.local_addr().unwrap();
    let cell = EchoCell::new("a", |_| ());
    let status = HeaderName::from_static("grpc-status");
    cell.add_answer_trailer(status, HeaderValue::from_static("0"));
    let serving = cell.clone();
    tokio::spawn(async move {
        let served = serving.serve(TokioEnv::new(), listener, ServerTls::plain_h2());
        let _ = served.await;
    });
    (cell, address)
}

pub(crate) fn registry(cell: SocketAddr) -> String {
    json!({
        "version": 1,
        "cells": [{"id": "a", "tier": "std", "region": "eu", "state": "active",
                   "endpoints": [{"url": format!("h2c://{cell}")}]}],
        "tenants": [{"id": "acme", "cell": "a"}],
    })
    .to_string()
}

/// What a client does, again and again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    /// Requests on one connection.
    Kept(Version),
    /// Each request on a new connection.
    New(Version),
    /// An answer that lasts for a second.
    Stream(Version),
    /// A body and trailers, as gRPC sends them.
    Grpc,
    /// The same for an answer that lasts for a second.
    GrpcStream,
    /// Messages over a WebSocket, each of which is sent back.
    WebSocket(Version),
    /// The router's own `/readyz`.
    Ready,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Version {
    Http1,
    Http2,
}

const KINDS: [Kind; 11] = [
    Kind::Kept(Version::Http1),
    Kind::Kept(Version::Http2),
    Kind::New(Version::Http1),
    Kind::New(Version::Http2),
    Kind::Stream(Version::Http1),
    Kind::Stream(Version::Http2),
    Kind::Grpc,
    Kind::GrpcStream,
    Kind::Ready,
    Kind::WebSocket(Version::Http1),
    Kind::WebSocket(Version::Http2),
];

/// How many clients of each kind there are.
const CLIENTS: usize = 3;

impl Kind {
    fn protocol(self) -> Protocol {
        match self {
            Self::Kept(Version::Http1)
            | Self::New(Version::Http1)
            | Self::Stream(Version::Http1)
            | Self::WebSocket(Version::Http1)
            | Self::Ready => Protocol::Http1,
            Self::Kept(Version::Http2)
            | Self::New(Version::Http2)
            | Self::Stream(Version::Http2)
            | Self::WebSocket(Version::Http2)
            | Self::Grpc
            | Self::GrpcStream => Protocol::Http2,
        }
    }

    fn request(self) -> Request {
        let request = match self {
            Self::Kept(_) | Self::New(_) | Self::WebSocket(_) => Request::get("/"),
            Self::Stream(_) => Request::get("/stream/1"),
            Self::Ready => return Request::get("/readyz"),
            Self::GrpcStream => call("/stream/1"),
            Self::Grpc => {
                let mut call = call("/trailers");
                let sum = HeaderName::from_static("x-sum");
                call.trailers.insert(sum, HeaderValue::from_static("7"));
                call
            }
        };
        request.bearer(&token("acme", false))
    }

    /// What is wrong with an answer.
    fn wrong(self, answer: &Answer) -> Option<String> {
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status != StatusCode::OK {
            return Some(format!("status {}: {text}", answer.status));
        }
        let whole = match self {
            Self::Kept(_) | Self::New(_) | Self::WebSocket(_) => text.contains("\"cell\""),
            Self::Stream(_) => text.lines().count() >= 4,
            Self::GrpcStream => {
                let status = answer.trailers.get("grpc-status");
                text.lines().count() >= 4 && status.is_some_and(|it| it == "0")
            }
            Self::Ready => text.contains("\"status\":\"ready\""),
            Self::Grpc => text.contains("x-sum") && answer.trailers.contains_key("x-sum"),
        };
        (!whole).then(|| format!("not the whole answer: {text}"))
    }
}

/// A gRPC call with one message.
fn call(path: &str) -> Request {
    let grpc = HeaderValue::from_static("application/grpc");
    let mut call = Request::get(path).header(header::CONTENT_TYPE, grpc);
    call.method = Method::POST;
    call.body = Bytes::from_static(b"\0\0\0\0\x02hi");
    call
}

/// What all clients share.
#[derive(Default)]
struct Shared {
    /// The router may say that it isn't ready.
    draining: AtomicBool,
    /// The router drains: nobody connects any more. A client stops when its connection ends.
    leaving: AtomicBool,
    served: Mutex<BTreeMap<Kind, usize>>,
    /// Messages over WebSockets that were sent back.
    messages: AtomicU64,
    failed: Mutex<Vec<String>>,
}

impl Shared {
    fn leaves(&self) -> bool {
        self.leaving.load(SeqCst)
    }

    fn serves(&self, kind: Kind) {
        *self.served.lock().unwrap().entry(kind).or_default() += 1;
    }

    fn fail(&self, kind: Kind, why: impl std::fmt::Display) {
        self.failed.lock().unwrap().push(format!("{kind:?}: {why}"));
    }
}

struct Load {
    shared: Arc<Shared>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// `target` says where the clients of a kind connect to, which are numbered.
    fn start(runtime: &tokio::runtime::Runtime, target: impl Fn(Kind, usize) -> Target) -> Self {
        let shared = Arc::<Shared>::default();
        let numbered = |kind: &Kind| std::array::from_fn::<_, CLIENTS, _>(|n| (*kind, n));
        let all = KINDS.iter().flat_map(numbered);
        let clients = all.map(|(kind, number)| {
            let shared = Arc::clone(&shared);
            let target = target(kind, number);
            let client = Client::new(TokioEnv::new(), target, Duration::from_secs(20));
            runtime.spawn(async move {
                match kind {
                    Kind::WebSocket(_) => websocket::run(kind, &client, &shared).await,
                    Kind::Kept(_)
                    | Kind::New(_)
                    | Kind::Stream(_)
                    | Kind::Grpc
                    | Kind::GrpcStream
                    | Kind::Ready => run(kind, &client, &shared).await,
                }
            })
        });
        let clients = clients.collect();
        Self { shared, clients }
    }

    /// Waits until each kind of client has got this many more answers, or one for streams.
    fn until_each_was_served(&self, more: usize) {
        let count = |kind: &Kind| self.shared.served.lock().unwrap().get(kind).copied();
        let before = KINDS.map(|kind| count(&kind).unwrap_or_default());
        crate::serving::until("every client goes on", || {
            let failed = self.shared.failed.lock().unwrap().clone();
            assert!(failed.is_empty(), "{failed:#?}");
            KINDS.iter().zip(before).all(|(kind, before)| {
                let more = match kind {
                    Kind::Stream(_) | Kind::GrpcStream => 1,
                    Kind::Kept(_)
                    | Kind::New(_)
                    | Kind::Grpc
                    | Kind::WebSocket(_)
                    | Kind::Ready => more,
                };
                count(kind).unwrap_or_default() >= before + more
            })
        });
    }

    fn leave(&self) {
        self.shared.leaving.store(true, SeqCst);
    }

    /// Returns how many messages over WebSockets were sent back.
    fn end(self, runtime: &tokio::runtime::Runtime) -> u64 {
        for client in self.clients {
            runtime.block_on(client).unwrap();
        }
        let failed = self.shared.failed.lock().unwrap();
        assert!(failed.is_empty(), "{failed:#?}");
        self.shared.messages.load(SeqCst)
    }
}

/// One client, until its router leaves.
async fn run(kind: Kind, client: &Client<TokioEnv>, shared: &Shared) {
    let mut connection = None;
    loop {
        let mut open = match connection.take() {
            Some(open) => open,
            None if shared.leaves() => return,
            None => match client.connect().await {
                Ok(open) => open,
                // The listeners may close between the look and the attempt.
                Err(_) if shared.leaves() => return,
                Err(error) => return shared.fail(kind, format_args!("connecting: {error}")),
            },
        };
        match exchange(kind, &mut open).await {
            Exchanged::Served => {
                shared.serves(kind);
                connection = Some(open).filter(|_| !matches!(kind, Kind::New(_)));
            }
            Exchanged::Last => shared.serves(kind),
            Exchanged::Unprocessed => {}
            Exchanged::Failed(_) if kind == Kind::Ready && shared.draining.load(SeqCst) => return,
            Exchanged::Failed(why) => return shared.fail(kind, why),
        }
    }
}

enum Exchanged {
    Served,
    /// Served, and the connection closes, as the answer says.
    Last,
    /// To be sent again on another connection.
    Unprocessed,
    Failed(String),
}

async fn exchange(kind: Kind, open: &mut Connection) -> Exchanged {
    match open.send(kind.request()).await {
        Ok(answer) => match kind.wrong(&answer) {
            Some(wrong) => Exchanged::Failed(wrong),
            None => {
                let close = answer.headers.get(header::CONNECTION);
                match close.is_some_and(|it| it == "close") {
                    true => Exchanged::Last,
                    false => Exchanged::Served,
                }
            }
        },
        // Only HTTP/2 can say so.
        Err(error) if kind.protocol() == Protocol::Http2 && error.is_unprocessed() => {
            Exchanged::Unprocessed
        }
        Err(error) => Exchanged::Failed(error.to_string()),
    }
}
