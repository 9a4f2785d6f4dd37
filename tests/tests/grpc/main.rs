//! Real gRPC clients and a real gRPC server (grpcio, the C core), with the router between them.
//!
//! Ignored unless asked for (`-- --ignored`), as CI does: it installs grpcio under `target/`.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use cellway_router::admin::{Admin, Audience};
use cellway_router::metrics::Metrics;
use cellway_testbed::Signer;
use cellway_tests::pki::Pki;
use cellway_tests::python;
use cellway_tests::world::{AUTHORIZER, World};
use serde_json::json;

const PACKAGES: &[&str] = &[
    "grpcio==1.85.1",
    "grpcio-health-checking==1.85.1",
    "protobuf==7.36.2",
    "typing_extensions==4.15.0",
];

const PLAIN: &str = r#"
[[listener]]
name = "plain"
bind = "127.0.0.1:0"
"#;

/// A Python with grpcio. The first test installs it, and the others wait.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| python::with(env!("CARGO_TARGET_TMPDIR"), "grpc", PACKAGES))
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/grpc")
        .join(name)
}

/// The server. It ends with this value.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(python: &Path) -> Self {
        let mut child = Command::new(python)
            .arg(script("server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.as_mut().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let port = line.trim().parse();
        let port = port.unwrap_or_else(|_| panic!("it does not start: {line}"));
        Self { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How each call ended, by the call's name.
async fn outcomes(python: &Path, arguments: &[&str]) -> BTreeMap<String, String> {
    let mut command = Command::new(python);
    command.arg(script("client.py")).args(arguments);
    let output = TokioEnv::new().heavy(move || command.output()).await;
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let lines = text.lines().map(|line| line.split_once(": ").unwrap());
    lines
        .map(|(name, outcome)| (name.to_owned(), outcome.to_owned()))
        .collect()
}

/// Catches: whatever the router changes for a gRPC client: a status, metadata, a message, a
/// deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "installs grpcio"]
async fn every_call_ends_as_without_the_router() {
    let python = python();
    let server = Server::start(python);
    let world = World::up(Signer::from_seed("one", [7; 32]).unwrap()).await;
    let mut registry = world.registry.clone();
    registry["version"] = json!(6);
    registry["cells"][0]["endpoints"] =
        json!([{"url": format!("h2c://127.0.0.1:{}", server.port)}]);
    world.plane.set_document(registry.to_string());
    let pki = Pki::new();
    pki.write(&world.folder, "server", "127.0.0.1");
    world.folder.write("pki.pem", pki.pem());
    let router = world.with(PLAIN).await;
    let token = world.token_of("acme");

    let direct = format!("127.0.0.1:{}", server.port);
    let direct = outcomes(python, &[&direct, "-"]).await;
    assert_eq!(direct["status 8"], "RESOURCE_EXHAUSTED: as asked: 8 é");
    assert_eq!(direct["deadline arrives"], "True");

    let plain = router.listener("plain").to_string();
    assert_eq!(outcomes(python, &[&plain, &token]).await, direct);
    let secure = router.listener("public").to_string();
    let bundle = world.folder.path("pki.pem");
    assert_eq!(outcomes(python, &[&secure, &token, &bundle]).await, direct);

    // Refused by the router, in gRPC's own terms.
    let refused = outcomes(python, &[&plain, "-"]).await;
    for (name, outcome) in refused {
        assert!(outcome.contains("UNAUTHENTICATED"), "{name}: {outcome}");
    }
    drop(server);
    let gone = outcomes(python, &[&plain, &token]).await;
    for (name, outcome) in gone {
        assert!(outcome.contains("UNAVAILABLE"), "{name}: {outcome}");
    }
}

/// Catches: a health service that real clients don't understand, and a watch that isn't told of a drain
/// or holds it up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "installs grpcio"]
async fn the_router_tells_its_own_health() {
    let python = python();
    let world = World::up(Signer::from_seed("one", [7; 32]).unwrap()).await;
    let router = world.with(AUTHORIZER).await;
    router.handle.ready().await;
    let health = Admin::bind(
        TokioEnv::new(),
        "127.0.0.1:0".parse().unwrap(),
        Audience::Everybody,
    );
    let health = health.await.unwrap();
    let at = [router.listener("envoy"), health.address()];
    let subject = router.handle.clone();
    TokioEnv::new().spawn(async move { match health.serve(subject, Metrics::new()).await {} });

    let asking = at.map(|at| {
        let mut command = Command::new(python);
        command.arg(script("health.py")).arg(at.to_string());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        (BufReader::new(child.stdout.take().unwrap()).lines(), child)
    });
    let env = TokioEnv::new();
    let before = env.heavy(move || {
        asking.map(|(mut lines, child)| {
            let said: Vec<String> = lines.by_ref().take(6).map(Result::unwrap).collect();
            (said, lines, child)
        })
    });
    let asking = before.await;
    let drained = router.handle.drain(Duration::from_secs(60)).await;
    assert_eq!(drained.abandoned, 0);
    for (mut said, lines, mut child) in asking {
        said.extend(lines.map(Result::unwrap));
        assert!(child.wait().unwrap().success(), "{said:#?}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(said.join("\n"), @r"
            check of '': SERVING
            check of 'envoy.service.auth.v3.Authorization': SERVING
            check of 'nothing': NOT_FOUND
            watch of 'nothing': SERVICE_UNKNOWN
            list: UNIMPLEMENTED
            watch: SERVING
            watch: NOT_SERVING
            watch ended: UNAVAILABLE
            ");
        }
    }
}
