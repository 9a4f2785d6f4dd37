//! Tests of the hosts against each other, over real sockets and real TLS.

mod faults;
mod own;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cellway_core::Unix;
use cellway_env::tokio::{TokioEnv, TokioListener};
use cellway_env::{Env, Listener};
use cellway_envoy::grpc;
use cellway_envoy::health::{CHECK_PATH, HealthCheckRequest, HealthCheckResponse, ServingStatus};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use rustls::RootCertStore;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use serde_json::Value;

use super::*;

const NOW: Unix = Unix::from_secs(1_800_000_000);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
const TIMEOUT: Duration = Duration::from_secs(10);
const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

#[derive(Debug)]
struct Stopped;

impl TimeProvider for Stopped {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(NOW.since_epoch()))
    }
}

fn provider() -> TlsProvider {
    TlsProvider {
        crypto: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        time: Arc::new(Stopped),
    }
}

fn ca(seed: u8) -> Ca {
    let validity = Validity::around(NOW, YEAR);
    Ca::new("test root", &Key::from_seed([seed; 32]), validity, 1).unwrap()
}

fn issue(ca: &Ca, sans: &[San], validity: Validity) -> Credential {
    let spec = CertificateSpec {
        common_name: "leaf".to_owned(),
        sans: sans.to_vec(),
        usage: Usage::Both,
        validity,
        serial: 2,
    };
    ca.issue(&spec, &Key::from_seed([99; 32])).unwrap()
}

fn server_credential(ca: &Ca) -> Credential {
    let sans = [San::Dns("localhost".to_owned())];
    issue(ca, &sans, Validity::around(NOW, YEAR))
}

fn router_credential(ca: &Ca) -> Credential {
    let sans = [San::Uri("spiffe://corp.example/router".to_owned())];
    issue(ca, &sans, Validity::around(NOW, YEAR))
}

fn roots(authorities: &[&Ca]) -> RootCertStore {
    Ca::roots(authorities).unwrap()
}

async fn listen(env: &TokioEnv) -> (TokioListener, SocketAddr) {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listener = env.bind(any, false).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub(super) async fn run_cell(cell: &EchoCell, tls: ServerTls) -> u16 {
    let env = TokioEnv::new();
    let (listener, address) = listen(&env).await;
    let cell = cell.clone();
    env.clone().spawn(async move {
        let _ = cell.serve(env, listener, tls).await;
    });
    address.port()
}

async fn run_idp(signer: Signer) -> (IdentityProvider, Client<TokioEnv>) {
    let env = TokioEnv::new();
    let (listener, address) = listen(&env).await;
    let idp = IdentityProvider::new(&format!("http://{address}"), signer);
    let (served, served_env) = (idp.clone(), env.clone());
    env.spawn(async move {
        let _ = served.serve(served_env, listener, ServerTls::plain()).await;
    });
    (idp, client(address.port(), None, Protocol::Http1))
}

async fn run_control_plane(plane: &ControlPlane) -> Client<TokioEnv> {
    let env = TokioEnv::new();
    let (listener, address) = listen(&env).await;
    let (plane, served_env) = (plane.clone(), env.clone());
    env.spawn(async move {
        let _ = plane.serve(served_env, listener, ServerTls::plain()).await;
    });
    client(address.port(), None, Protocol::Http1)
}

fn client(
    port: u16,
    tls: Option<Arc<rustls::ClientConfig>>,
    protocol: Protocol,
) -> Client<TokioEnv> {
    let target = Target {
        host: "localhost".to_owned(),
        port,
        tls,
        protocol,
    };
    Client::new(TokioEnv::new(), target, TIMEOUT)
}

fn secure(
    port: u16,
    trusted: &[&Ca],
    credential: Option<&Credential>,
    protocol: Protocol,
) -> Client<TokioEnv> {
    let config = provider().client(roots(trusted), credential, protocol);
    client(port, Some(config.unwrap()), protocol)
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn a_cell_echoes_and_reports_what_came() {
    let ca = ca(1);
    for protocol in BOTH {
        let reports: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = reports.clone();
        let cell = EchoCell::new("eu-1", move |report| {
            sink.lock().unwrap().push(format!("{report:?}"));
        });
        let tls = provider().server(&server_credential(&ca), Some(roots(&[&ca])));
        let port = run_cell(&cell, ServerTls::new(tls.unwrap())).await;

        let mut request = Request::get("/a/b?c=d")
            .header(
                HeaderName::from_static("x-twice"),
                HeaderValue::from_static("1"),
            )
            .header(
                HeaderName::from_static("x-twice"),
                HeaderValue::from_static("2"),
            );
        request.method = Method::POST;
        request.body = Bytes::from_static(b"hello");
        request.trailers.insert(
            HeaderName::from_static("x-sum"),
            HeaderValue::from_static("5"),
        );
        let client = secure(port, &[&ca], Some(&router_credential(&ca)), protocol);
        let answer = client.send(request).await.unwrap();

        assert_eq!(answer.status, StatusCode::OK);
        let echo = json(&answer);
        assert_eq!(echo["cell"], "eu-1");
        assert_eq!(echo["peer"][0], "spiffe://corp.example/router");
        assert_eq!(echo["method"], "POST");
        assert_eq!(echo["authority"], format!("localhost:{port}"));
        assert_eq!(echo["path"], "/a/b?c=d");
        assert_eq!(echo["headers"]["x-twice"], serde_json::json!(["1", "2"]));
        assert_eq!(echo["body_bytes"], 5);
        assert_eq!(echo["trailers"]["x-sum"], "5");
        let version = match protocol {
            Protocol::Http1 => ("HTTP/1.1", Version::HTTP_11),
            Protocol::Http2 => ("HTTP/2", Version::HTTP_2),
        };
        assert_eq!((echo["version"].as_str().unwrap(), answer.version), version);
        assert!(!answer.headers.contains_key(header::DATE));
        let reports = reports.lock().unwrap();
        assert_eq!(reports.len(), 3, "{reports:?}");
        assert!(reports[0].starts_with("Arrived"), "{reports:?}");
        assert!(reports[1].contains("complete: true"), "{reports:?}");
        assert!(reports[2].starts_with("Left"), "{reports:?}");
        assert_eq!(cell.arrivals(), 1);
    }
}

#[tokio::test]
async fn a_cell_turns_away_callers_it_cannot_verify() {
    let (ca, other) = (ca(1), ca(2));
    let cell = EchoCell::new("eu-1", |_| ());
    let tls = provider().server(&server_credential(&ca), Some(roots(&[&ca])));
    let port = run_cell(&cell, ServerTls::new(tls.unwrap())).await;
    let past = Validity {
        from: Unix::from_secs(NOW.as_secs() - 7200),
        until: Unix::from_secs(NOW.as_secs() - 3600),
    };
    let expired = issue(
        &ca,
        &[San::Uri("spiffe://corp.example/router".to_owned())],
        past,
    );
    let foreign = router_credential(&other);
    for protocol in BOTH {
        for credential in [None, Some(&expired), Some(&foreign)] {
            let client = secure(port, &[&ca], credential, protocol);
            // TLS 1.3 clients learn of it with the first read.
            client.send(Request::get("/")).await.unwrap_err();
        }
    }
    assert_eq!(cell.arrivals(), 0);
}

#[tokio::test]
async fn certificates_and_authorities_rotate_while_a_cell_serves() {
    let (old, new) = (ca(1), ca(2));
    let cell = EchoCell::new("eu-1", |_| ());
    let config = |ca: &Ca| provider().server(&server_credential(ca), None).unwrap();
    let tls = ServerTls::new(config(&old));
    let port = run_cell(&cell, tls.clone()).await;
    let get = async |trusted: &[&Ca]| {
        let client = secure(port, trusted, None, Protocol::Http2);
        client.send(Request::get("/")).await.map(|a| a.status)
    };

    assert_eq!(get(&[&old]).await.unwrap(), StatusCode::OK);
    tls.set(config(&new));
    assert!(matches!(get(&[&old]).await, Err(ClientError::Tls(_))));
    assert_eq!(get(&[&old, &new]).await.unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn a_connection_carries_many_requests() {
    let cell = EchoCell::new("eu-1", |_| ());
    for (tls, protocol) in [
        (ServerTls::plain(), Protocol::Http1),
        (ServerTls::plain_h2(), Protocol::Http2),
    ] {
        let port = run_cell(&cell, tls).await;
        let client = client(port, None, protocol);
        let mut connection = client.connect().await.unwrap();
        for _ in 0..3 {
            let answer = connection.send(Request::get("/")).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK);
        }
    }
    assert_eq!(cell.arrivals(), 6);
}

#[tokio::test]
async fn a_cell_shows_its_faults() {
    let cell = EchoCell::new("eu-1", |_| ());
    for (tls, protocol) in [
        (ServerTls::plain(), Protocol::Http1),
        (ServerTls::plain_h2(), Protocol::Http2),
    ] {
        let port = run_cell(&cell, tls).await;
        let client = client(port, None, protocol);

        cell.set_fault(CellFault::Status(StatusCode::INTERNAL_SERVER_ERROR));
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);

        cell.set_fault(CellFault::ResetMidBody);
        let broken = client.send(Request::get("/")).await;
        assert!(matches!(broken, Err(ClientError::Body(_))), "{broken:?}");

        cell.set_fault(CellFault::StallMidBody);
        let stalled = impatient(port, protocol).send(Request::get("/")).await;
        assert!(matches!(stalled, Err(ClientError::Timeout)), "{stalled:?}");

        cell.set_fault(CellFault::Slow(Duration::from_millis(1)));
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);

        // Connections that were made before the fault go silent too.
        let mut before = client.connect().await.unwrap();
        cell.set_fault(CellFault::HalfOpen);
        let arrivals = cell.arrivals();
        let after = impatient(port, protocol).send(Request::get("/")).await;
        assert!(matches!(after, Err(ClientError::Timeout)), "{after:?}");
        assert_eq!(cell.arrivals(), arrivals, "not read, so not reported");
        before.set_timeout(Duration::from_millis(50));
        let silent = before.send(Request::get("/")).await;
        assert!(matches!(silent, Err(ClientError::Timeout)), "{silent:?}");

        cell.set_fault(CellFault::None);
        client.send(Request::get("/")).await.unwrap();
    }
}

/// The status is in the trailers after a message, and otherwise in the header.
#[tokio::test]
async fn a_cell_answers_calls() {
    let cell = EchoCell::new("eu-1", |_| ());
    cell.take_calls();
    let port = run_cell(&cell, ServerTls::plain_h2()).await;
    for (fault, in_header, in_trailers) in [
        (CellFault::None, None, Some("0")),
        (CellFault::LateGrpcStatus(7), None, Some("7")),
        (CellFault::GrpcStatus(14), Some("14"), None),
    ] {
        cell.set_fault(fault);
        let kind = HeaderValue::from_static("application/grpc");
        let call = Request::get("/a.B/C").header(header::CONTENT_TYPE, kind);
        let answer = client(port, None, Protocol::Http2)
            .send(call)
            .await
            .unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        let status = |headers: &http::HeaderMap| headers.get("grpc-status").cloned();
        let said = [in_header, in_trailers].map(|it| it.map(HeaderValue::from_static));
        assert_eq!([status(&answer.headers), status(&answer.trailers)], said);
        assert_eq!(answer.body.is_empty(), in_trailers.is_none(), "{fault:?}");
    }
}

/// Catches: a cell whose health checks fail although it serves, or succeed although it says that it doesn't.
#[tokio::test]
async fn a_cell_says_whether_it_serves() {
    let cell = EchoCell::new("eu-1", |_| ());
    cell.take_calls();
    let port = run_cell(&cell, ServerTls::plain_h2()).await;
    for (fault, status) in [
        (CellFault::None, ServingStatus::Serving),
        (CellFault::NotServing, ServingStatus::NotServing),
    ] {
        cell.set_fault(fault);
        let kind = HeaderValue::from_static("application/grpc");
        let mut check = Request::get(CHECK_PATH).header(header::CONTENT_TYPE, kind);
        check.method = Method::POST;
        check.body = grpc::write(&HealthCheckRequest::default());
        let answer = client(port, None, Protocol::Http2).send(check).await;
        let said: HealthCheckResponse = grpc::read(&answer.unwrap().body).unwrap();
        assert_eq!(said.status(), status);
    }
}

fn impatient(port: u16, protocol: Protocol) -> Client<TokioEnv> {
    let target = Target {
        host: "localhost".to_owned(),
        port,
        tls: None,
        protocol,
    };
    Client::new(TokioEnv::new(), target, Duration::from_millis(50))
}

#[tokio::test]
async fn an_answer_can_carry_forged_headers() {
    let cell = EchoCell::new("eu-1", |_| ());
    let name = HeaderName::from_static("x-cellway-tenant");
    cell.add_answer_header(name.clone(), HeaderValue::from_static("other"));
    let port = run_cell(&cell, ServerTls::plain()).await;
    let answer = client(port, None, Protocol::Http1)
        .send(Request::get("/"))
        .await;
    assert_eq!(answer.unwrap().headers[name], "other");
}

#[tokio::test]
async fn discovery_leads_to_the_keys() {
    let (idp, client) = run_idp(Signer::from_seed("a", [1; 32]).unwrap()).await;
    let path = "/.well-known/openid-configuration";
    let discovery = json(&client.send(Request::get(path)).await.unwrap());
    assert_eq!(discovery["issuer"], idp.issuer());
    let jwks_uri = discovery["jwks_uri"].as_str().unwrap();
    assert_eq!(jwks_uri, idp.jwks_uri());

    let path = jwks_uri.strip_prefix(idp.issuer()).unwrap();
    let kids = async || -> Vec<String> {
        let set = json(&client.send(Request::get(path)).await.unwrap());
        let keys = set["keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(kids().await, ["a"]);
    idp.publish(Signer::from_seed("b", [2; 32]).unwrap());
    assert_eq!(kids().await, ["a", "b"]);
    assert!(idp.sign_with("b") && !idp.sign_with("c"));
    idp.withdraw("a");
    assert_eq!(kids().await, ["b"]);
    idp.replace_keys(Signer::from_seed("c", [3; 32]).unwrap());
    assert_eq!(kids().await, ["c"]);
    let counts = IdpCounts {
        discovery: 1,
        jwks: 4,
    };
    assert_eq!(idp.counts(), counts);
}

#[tokio::test]
async fn an_identity_provider_shows_its_faults() {
    let (idp, client) = run_idp(Signer::from_seed("a", [1; 32]).unwrap()).await;
    let get = async |path: &str| client.send(Request::get(path)).await.unwrap();
    let (discovery, keys) = (
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
    );

    idp.set_fault(IdpFault::WrongIssuer);
    assert_ne!(json(&get(discovery).await)["issuer"], idp.issuer());
    idp.set_fault(IdpFault::EmptySet);
    assert_eq!(get(keys).await.body, r#"{"keys":[]}"#);
    idp.set_fault(IdpFault::Garbage);
    serde_json::from_slice::<Value>(&get(keys).await.body).unwrap_err();
    idp.set_fault(IdpFault::Oversized);
    assert!(get(keys).await.body.len() > 1 << 20);
    idp.set_fault(IdpFault::Status(StatusCode::SERVICE_UNAVAILABLE));
    for path in [discovery, keys] {
        assert_eq!(get(path).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    idp.set_fault(IdpFault::Slow(Duration::from_millis(1)));
    assert_eq!(get(keys).await.body, idp.jwks());
    idp.set_fault(IdpFault::None);
    assert_eq!(get(keys).await.body, idp.jwks());
    assert_eq!(get("/elsewhere").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_control_plane_says_what_changed() {
    let plane = ControlPlane::new(r#"{"version":1}"#).with_bearer("s3cret");
    let client = run_control_plane(&plane).await;
    let get = async |etag: Option<&HeaderValue>, token: &str| {
        let mut request = Request::get("/manage/cells").bearer(token);
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag.clone());
        }
        client.send(request).await
    };

    let refused = get(None, "guess").await.unwrap();
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.body.is_empty());
    let first = get(None, "s3cret").await.unwrap();
    assert_eq!(first.body, r#"{"version":1}"#);
    let etag = &first.headers[header::ETAG];
    let again = get(Some(etag), "s3cret").await.unwrap();
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    plane.set_document(r#"{"version":2}"#);
    let second = get(Some(etag), "s3cret").await.unwrap();
    assert_eq!(second.body, r#"{"version":2}"#);

    plane.set_fault(ControlPlaneFault::Partial);
    let partial = get(None, "s3cret").await;
    assert!(matches!(partial, Err(ClientError::Body(_))), "{partial:?}");
    plane.set_fault(ControlPlaneFault::Truncated);
    assert_eq!(get(None, "s3cret").await.unwrap().body, r#"{"vers"#);
    plane.set_fault(ControlPlaneFault::Status(StatusCode::BAD_GATEWAY));
    let failed = get(None, "s3cret").await.unwrap();
    assert_eq!(failed.status, StatusCode::BAD_GATEWAY);

    let counts = plane.counts();
    assert_eq!((counts.documents, counts.not_modified), (2, 1));
    assert_eq!((counts.unauthorized, counts.faults), (1, 3));
}
