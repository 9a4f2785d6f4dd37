//! hyper (h1 and h2) over rustls with client certificates, between two hosts on the simulator's `Env`.
//! One seed must give one sequence of bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cellway_env::{Env, Listener};
use cellway_sim::engine::{Engine, Kind, RunError, Settings, SimEnv, Stream, isolated};
use cellway_sim::{Random, Trace, determinism, ed25519_pkcs8};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const PORT: u16 = 8443;

/// One certificate authority with a certificate for each of the two hosts.
struct Pki {
    roots: Arc<RootCertStore>,
    issuer: CertifiedIssuer<'static, KeyPair>,
    random: Random,
}

impl Pki {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, "pki", 0, "keys");
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, key(&mut random)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        Self {
            roots: Arc::new(roots),
            issuer,
            random,
        }
    }

    fn leaf(&mut self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = key(&mut self.random);
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (vec![certificate.der().clone()], key.into())
    }
}

fn key(random: &mut Random) -> KeyPair {
    let mut secret = [0; 32];
    random.fill(&mut secret);
    KeyPair::try_from(ed25519_pkcs8(secret)).unwrap()
}

fn server_config(env: &SimEnv, seed: u64) -> ServerConfig {
    let mut pki = Pki::new(seed);
    let (chain, key) = pki.leaf("server");
    let verifier = WebPkiClientVerifier::builder_with_provider(pki.roots, env.provider());
    let mut config = ServerConfig::builder_with_details(env.provider(), Arc::new(env.clock()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".into(), b"http/1.1".into()];
    config
}

fn client_config(env: &SimEnv, seed: u64, alpn: &[u8]) -> ClientConfig {
    let mut pki = Pki::new(seed);
    let _server = pki.leaf("server");
    let (chain, key) = pki.leaf("client");
    let mut config = ClientConfig::builder_with_details(env.provider(), Arc::new(env.clock()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(pki.roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![alpn.into()];
    config
}

/// hyper's executor on `Env`, so that a crash ends the tasks that hyper spawned.
#[derive(Clone)]
struct Spawn(SimEnv);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::new(body)))
}

async fn serve(env: SimEnv, seed: u64) {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(&env, seed)));
    let any: SocketAddr = ([0, 0, 0, 0], PORT).into();
    let mut listener = env.bind(any, false).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, executor) = (acceptor.clone(), Spawn(env.clone()));
        env.spawn(async move {
            let tls = acceptor.accept(stream).await.unwrap();
            let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            let (io, service) = (TokioIo::new(tls), hyper::service::service_fn(answer));
            // The client handles the end of the connection.
            let _ended = if h2 {
                let mut server = hyper::server::conn::http2::Builder::new(executor);
                server.auto_date_header(false);
                server.serve_connection(io, service).await
            } else {
                let mut server = hyper::server::conn::http1::Builder::new();
                server.auto_date_header(false);
                server.serve_connection(io, service).await
            };
        });
    }
}

type Sender<B> = tokio_rustls::client::TlsStream<B>;

async fn connect(env: &SimEnv, seed: u64, alpn: &[u8]) -> TokioIo<Sender<Stream>> {
    let connector = TlsConnector::from(Arc::new(client_config(env, seed, alpn)));
    let stream = env.connect("server", PORT).await.unwrap();
    let name = ServerName::try_from("server").unwrap();
    TokioIo::new(connector.connect(name, stream).await.unwrap())
}

fn request(text: String) -> Request<Full<Bytes>> {
    let request = Request::post("https://server/echo").header("host", "server");
    request.body(Full::new(text.into())).unwrap()
}

async fn ask(env: SimEnv, seed: u64) {
    let io = connect(&env, seed, b"http/1.1").await;
    let (mut h1, driver) = hyper::client::conn::http1::handshake(io).await.unwrap();
    env.spawn(async { driver.await.unwrap() });
    let io = connect(&env, seed, b"h2").await;
    let (mut h2, driver) = hyper::client::conn::http2::handshake(Spawn(env.clone()), io)
        .await
        .unwrap();
    env.spawn(async { driver.await.unwrap() });
    for n in 0..10 {
        let first = h1.send_request(request(format!("one {n}")));
        let second = h2.send_request(request(format!("two {n}")));
        let both = tokio::join!(first, second);
        for response in [both.0.unwrap(), both.1.unwrap()] {
            let body = response.into_body().collect().await.unwrap().to_bytes();
            env.record(format_args!("reads {body:?} at {:?}", env.unix_now()));
        }
    }
    std::future::pending().await
}

const KINDS: [Kind; 2] = [Kind::Turmoil, Kind::Events];

fn settings(kind: Kind, seed: u64) -> Settings {
    Settings {
        kind,
        cuts_segments: kind == Kind::Events,
        seed,
        tick: Duration::from_millis(1),
        latency_min: Duration::from_millis(1),
        latency_max: Duration::from_millis(20),
    }
}

/// The trace of a simulated second, in which the server's host is down for a while.
fn trace(kind: Kind, seed: u64) -> Vec<String> {
    isolated(seed, move || {
        let trace = Trace::default();
        let mut engine = Engine::new(&settings(kind, seed), trace.clone());
        engine.host("server", move |env| serve(env, seed));
        engine.host("client", move |env| ask(env, seed));
        for step in 0..1000 {
            match step {
                60 => engine.hold("client", "server"),
                400 => engine.release("client", "server"),
                _ => {}
            }
            engine.step().unwrap();
        }
        trace.lines()
    })
}

#[test]
fn one_seed_is_one_run() {
    let trace = |seed| trace(Kind::Turmoil, seed);
    determinism::check("seam::one_seed_is_one_run", 7, trace).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn one_seed_is_one_run_of_events() {
    let (test, trace) = ("seam::one_seed_is_one_run_of_events", |seed| {
        trace(Kind::Events, seed)
    });
    determinism::check(test, 7, trace).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn requests_survive_a_held_link() {
    KINDS.into_iter().for_each(survive_a_held_link);
}

fn survive_a_held_link(kind: Kind) {
    let lines = trace(kind, 7);
    let answers = lines
        .iter()
        .filter(|line| line.contains("reads b\""))
        .count();
    assert_eq!(answers, 20, "{}", lines.join("\n"));
    let silent = |line: &&String| (0.080..0.400).contains(&line[..13].trim().parse().unwrap());
    let during: Vec<_> = lines.iter().filter(silent).collect();
    assert!(
        during.iter().all(|line| !line.contains("reads")),
        "{during:?}"
    );
}

#[test]
fn a_panic_in_a_spawned_task_fails_the_run() {
    KINDS.into_iter().for_each(a_panic_fails_the_run);
}

fn a_panic_fails_the_run(kind: Kind) {
    let broken = isolated(1, move || {
        let mut engine = Engine::new(&settings(kind, 1), Trace::default());
        engine.host("host", |env| async move {
            env.spawn(async { panic!("lost in a task") });
            std::future::pending().await
        });
        (0..10).find_map(|_| engine.step().err())
    });
    let Some(RunError::Panic(message)) = broken else {
        panic!("not noticed: {broken:?}");
    };
    assert!(message.contains("lost in a task"), "{message}");
}

#[test]
fn a_restarted_host_keeps_its_disk_and_draws_other_randomness() {
    KINDS.into_iter().for_each(a_restart_keeps_the_disk);
}

fn a_restart_keeps_the_disk(kind: Kind) {
    let (draws, kept) = isolated(1, move || {
        let mut engine = Engine::new(&settings(kind, 1), Trace::default());
        let (draws, seen) = std::sync::mpsc::channel();
        let disk = engine.host("host", move |env| {
            let mut bytes = [0; 8];
            env.fill(&mut bytes);
            draws.send((env.incarnation(), bytes)).unwrap();
            std::future::pending()
        });
        disk.put("state", "kept");
        engine.step().unwrap();
        engine.crash("host");
        engine.step().unwrap();
        engine.restart("host");
        engine.step().unwrap();
        (seen.try_iter().collect::<Vec<_>>(), disk.get("state"))
    });
    assert_eq!((draws[0].0, draws[1].0), (0, 1));
    assert_ne!(draws[0].1, draws[1].1);
    assert_eq!(kept.as_deref(), Some(b"kept".as_slice()));
}
