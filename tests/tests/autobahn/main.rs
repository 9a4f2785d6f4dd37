//! The Autobahn test suite talks WebSocket through the router, in both roles: no case that passes
//! without a router fails through one.
//!
//! Ignored unless asked for (`-- --ignored`), as CI does: it installs the suite under `target/`.
//!
//! Each case runs without a router, through one router (HTTP/1.1 on both sides), and through two of
//! them that speak HTTP/2 with each other: the first asks with an extended CONNECT, and the second
//! answers one.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

mod install;
mod results;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_router::{Handle, Router};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::install::Suite;
use crate::results::compare;

/// All cases about the protocol, and some with large or compressed messages. The others of groups 9,
/// 12 and 13 are the same with other sizes, and take many minutes. `AUTOBAHN_CASES` names others, such as
/// `*` for all.
const CASES: &str = "1.* 2.* 3.* 4.* 5.* 6.* 7.* 9.1.* 9.2.1 9.3.9 9.7.1 10.* 12.1.3 13.1.1";

/// How long one run of the suite may take.
fn patience() -> Duration {
    match std::env::var("AUTOBAHN_CASES") {
        Ok(_) => Duration::from_secs(3600),
        Err(_) => Duration::from_secs(600),
    }
}

fn cases() -> Vec<String> {
    let asked = std::env::var("AUTOBAHN_CASES");
    let cases = asked.unwrap_or_else(|_| CASES.to_owned());
    cases.split_whitespace().map(str::to_owned).collect()
}

/// A process of the suite, which ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts the process. What it says goes into a file.
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::create(log).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }

    /// Waits for its end.
    async fn ended(mut self) -> ExitStatus {
        let waiting = async {
            loop {
                if let Some(status) = self.0.try_wait().unwrap() {
                    return status;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(patience(), waiting).await.expect("the suite ends")
    }
}

/// The ways to one endpoint.
struct Ways {
    direct: u16,
    /// One router, and two in a row. The first of those speaks HTTP/2 with the second.
    routers: [Handle<TokioEnv, ()>; 3],
}

impl Ways {
    async fn to(port: u16) -> Self {
        let one = router("http", port).await;
        let second = router("http", port).await;
        let first = router("h2c", second.addresses()[0].1.port()).await;
        Self {
            direct: port,
            routers: [one, first, second],
        }
    }

    /// The name of each way, and its port.
    fn each(&self) -> [(&'static str, u16); 3] {
        let port = |router: &Handle<TokioEnv, ()>| router.addresses()[0].1.port();
        let [one, first, _] = &self.routers;
        [
            ("direct", self.direct),
            ("router", port(one)),
            ("two-routers", port(first)),
        ]
    }
}

async fn router(scheme: &str, port: u16) -> Handle<TokioEnv, ()> {
    let config = r#"
        [[listener]]
        name = "test"
        bind = "127.0.0.1:0"
        [[policy]]
        name = "default"
        mode = "disabled"
        allow_insecure = true
        insecure_identity = { tenant = "acme" }
    "#;
    let endpoint = format!("{scheme}://127.0.0.1:{port}");
    let registry = json!({
        "version": 1,
        "cells": [{"id": "a", "tier": "t", "region": "r", "state": "active",
                   "endpoints": [{"url": endpoint}]}],
        "tenants": [{"id": "acme", "cell": "a"}],
    });
    let router = Router::from_text(config, registry.to_string()).unwrap();
    let router = router.start().await.unwrap();
    router.ready().await;
    router
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until something listens there.
async fn listens(port: u16) {
    let until = Instant::now() + patience();
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < until, "nothing listens on {port}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A new folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("autobahn-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a specification for the suite.
fn spec(folder: &Path, more: Value) -> PathBuf {
    let mut spec = json!({
        "outdir": folder.join("reports"),
        "cases": cases(),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    let fields = spec.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    let path = folder.join("spec.json");
    fs::write(&path, spec.to_string()).unwrap();
    path
}

/// The router between the suite's fuzzing client and an echo server.
#[tokio::test]
#[ignore = "installs the suite"]
async fn the_router_in_front_of_a_server() {
    let (suite, folder) = (Suite::install(), folder("server"));
    let port = free_port();
    let mut server = suite.command("testeeserver");
    server.arg("--wsuri").arg(format!("ws://127.0.0.1:{port}"));
    let _server = Running::start(&mut server, &folder.join("server.log"));
    listens(port).await;
    let ways = Ways::to(port).await;
    let servers = ways
        .each()
        .map(|(agent, port)| json!({"agent": agent, "url": format!("ws://127.0.0.1:{port}")}));
    let mut client = suite.command("fuzzingclient");
    client
        .arg("--spec")
        .arg(spec(&folder, json!({"servers": servers})));
    let client = Running::start(&mut client, &folder.join("client.log"));
    assert!(client.ended().await.success(), "see {}", folder.display());
    compare(&folder);
}

/// The router between an echo client and the suite's fuzzing server.
#[tokio::test]
#[ignore = "installs the suite"]
async fn the_router_behind_a_client() {
    let (suite, folder) = (Suite::install(), folder("client"));
    let port = free_port();
    let url = format!("ws://127.0.0.1:{port}");
    let mut server = suite.command("fuzzingserver");
    server.arg("--spec").arg(spec(&folder, json!({"url": url})));
    let _server = Running::start(&mut server, &folder.join("server.log"));
    listens(port).await;
    let ways = Ways::to(port).await;
    for (agent, port) in ways.each() {
        let mut client = suite.command("testeeclient");
        client.arg("--wsuri").arg(format!("ws://127.0.0.1:{port}"));
        client.args(["--ident", agent]);
        let client = Running::start(&mut client, &folder.join(format!("{agent}.log")));
        assert!(client.ended().await.success(), "see {}", folder.display());
    }
    compare(&folder);
}
