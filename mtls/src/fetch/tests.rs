//! Against a real TLS server on loopback that answers what it is told, byte by byte.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use cellway_core::keys::FetchFailed;
use cellway_core::policy::{Issuer, Policy, PolicySpecs};
use http::HeaderValue;
use rustls::time_provider::DefaultTimeProvider;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::env::Env;
use crate::env::tokio::TokioEnv;
use crate::lab::{Ca, CertificateSpec, Key, Protocol, San, TlsProvider, Usage, Validity};

/// A server that gives one scripted answer to each connection, in turn.
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

/// What a connection is answered with.
#[derive(Clone)]
enum Script {
    /// These bytes, then the end.
    Say(String),
    /// These bytes, and then silence.
    Hang(String),
    /// These bytes, which may be binary, then the end.
    Bytes(Vec<u8>),
}

struct Lab {
    provider: TlsProvider,
    ca: Ca,
    validity: Validity,
}

impl Lab {
    fn new(seed: u8) -> Self {
        let provider = TlsProvider {
            crypto: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            time: Arc::new(DefaultTimeProvider),
        };
        let validity = Validity::around(TokioEnv::new().unix_now(), Duration::from_secs(3_600));
        let ca = Ca::new("sources", &Key::from_seed([seed; 32]), validity, 1).unwrap();
        Self {
            provider,
            ca,
            validity,
        }
    }

    /// Serves `answers`, in which `PORT` is replaced by the server's own.
    async fn serve(&self, answers: Vec<Script>) -> Server {
        let spec = CertificateSpec {
            common_name: "source".to_owned(),
            sans: vec![
                San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                San::Dns("source.example".to_owned()),
            ],
            usage: Usage::Server,
            validity: self.validity,
            serial: 2,
        };
        let credential = self.ca.issue(&spec, &Key::from_seed([99; 32])).unwrap();
        let tls = TlsAcceptor::from(self.provider.server(&credential, None).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        TokioEnv::new().spawn(async move {
            for script in answers {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that refuses the certificate ends it here.
                let Ok(mut stream) = tls.accept(stream).await else {
                    continue;
                };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let request = String::from_utf8(request).unwrap();
                seen.lock().unwrap().push(request);
                let bytes = match &script {
                    Script::Say(text) | Script::Hang(text) => {
                        text.replace("PORT", &port.to_string()).into_bytes()
                    }
                    Script::Bytes(bytes) => bytes.clone(),
                };
                // A client that has seen enough closes before the end.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.flush().await;
                if matches!(script, Script::Hang(_)) {
                    std::future::pending::<()>().await;
                }
                let _ = stream.shutdown().await;
            }
        });
        Server { port, requests }
    }

    fn client(&self, total_timeout: Duration) -> Client<TokioEnv> {
        self.client_through(total_timeout, Proxies::default())
    }

    fn client_through(&self, total_timeout: Duration, proxies: Proxies) -> Client<TokioEnv> {
        let roots = Ca::roots(&[&self.ca]).unwrap();
        let tls = self.provider.client(roots, None, Protocol::Http1).unwrap();
        let reach = Arc::new(ArcSwap::from_pointee(Reach {
            total_timeout,
            proxies,
        }));
        Client::reaching(TokioEnv::new(), Arc::new(ArcSwap::new(tls)), reach)
    }
}

/// Far above what anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn ok(headers: &str, body: &str) -> Script {
    let len = body.len();
    Script::Say(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n{headers}\r\n{body}"
    ))
}

fn status(line: &str) -> Script {
    Script::Say(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n"))
}

async fn get(lab: &Lab, server: &Server, body_max: usize) -> Result<Answer, FetchError> {
    let url = SourceUrl::parse(&format!("https://127.0.0.1:{}/doc?x=1", server.port)).unwrap();
    let authorization = HeaderValue::from_static("Bearer secret");
    let etag = HeaderValue::from_static("\"old\"");
    let get = Get {
        url: &url,
        if_none_match: Some(&etag),
        authorization: Some(&authorization),
        body_max,
    };
    lab.client(LONG).get(get).await
}

#[tokio::test]
async fn brings_a_document_and_its_etag() {
    let lab = Lab::new(1);
    let server = lab.serve(vec![ok("etag: \"new\"\r\n", "hello")]).await;
    let answer = get(&lab, &server, 5).await.unwrap();
    let etag = Some(HeaderValue::from_static("\"new\""));
    let body = "hello".into();
    let max_age = None;
    assert_eq!(
        answer,
        Answer::Document {
            body,
            etag,
            max_age
        }
    );
    let request = server.requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(
        request.starts_with("get /doc?x=1 http/1.1\r\n"),
        "{request}"
    );
    for header in [
        format!("host: 127.0.0.1:{}", server.port),
        "if-none-match: \"old\"".to_owned(),
        "authorization: bearer secret".to_owned(),
        "accept: application/json, application/jwk-set+json, */*;q=0.1".to_owned(),
    ] {
        assert!(request.contains(&header), "{header} in {request}");
    }
}

/// A gzipped body, as the text that a script needs.
fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Fetches such a body with a limit of 1,000 bytes.
async fn encoded(encoding: &str, body: &[u8]) -> Result<String, FetchError> {
    let lab = Lab::new(1);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{encoding}\r\n",
        body.len()
    );
    let answer = [head.as_bytes(), body].concat();
    let server = lab.serve(vec![Script::Bytes(answer)]).await;
    match get(&lab, &server, 1_000).await? {
        Answer::Document { body, .. } => Ok(String::from_utf8(body.into()).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn reads_what_is_sent_compressed_unasked() {
    for (encoding, body) in [
        ("", b"hello".to_vec()),
        ("content-encoding:\r\n", b"hello".to_vec()),
        ("content-encoding: Identity\r\n", b"hello".to_vec()),
        (
            "content-encoding: identity, identity\r\n",
            b"hello".to_vec(),
        ),
        ("content-encoding: gzip\r\n", gzip("hello")),
        ("content-encoding: X-GZIP\r\n", gzip("hello")),
        ("content-encoding: identity, gzip\r\n", gzip("hello")),
        (
            "content-encoding: gzip\r\n",
            [gzip("he"), gzip("llo")].concat(),
        ),
    ] {
        assert_eq!(
            encoded(encoding, &body).await.unwrap(),
            "hello",
            "{encoding:?}"
        );
    }
    let most = gzip(&"a".repeat(1_000));
    assert!(most.len() < 100);
    let plain = encoded("content-encoding: gzip\r\n", &most).await.unwrap();
    assert_eq!(plain.len(), 1_000);
}

#[tokio::test]
async fn refuses_what_is_compressed_badly_or_too_well() {
    let mut cut = gzip(&"hello".repeat(20));
    cut.truncate(cut.len() - 9);
    let mut wrong = gzip("hello");
    *wrong.last_mut().unwrap() ^= 1;
    for (encoding, body, expected) in [
        ("br", b"hello".to_vec(), FetchFailed::Protocol),
        ("deflate", b"hello".to_vec(), FetchFailed::Protocol),
        ("gzip, gzip", gzip("hello"), FetchFailed::Protocol),
        ("gzip", b"hello".to_vec(), FetchFailed::Protocol),
        ("gzip", cut, FetchFailed::Protocol),
        ("gzip", wrong, FetchFailed::Protocol),
        ("gzip", gzip(&"a".repeat(1_001)), FetchFailed::Oversized),
        ("gzip", gzip(&"a".repeat(50 << 20)), FetchFailed::Oversized),
    ] {
        let header = format!("content-encoding: {encoding}\r\n");
        let error = encoded(&header, &body).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{encoding}: {error}");
    }
}

#[tokio::test]
async fn hears_that_nothing_has_changed() {
    let lab = Lab::new(1);
    let server = lab.serve(vec![status("304 Not Modified")]).await;
    let max_age = None;
    let expected = Answer::NotModified { max_age };
    assert_eq!(get(&lab, &server, 5).await.unwrap(), expected);
}

#[tokio::test]
async fn refuses_what_is_too_large_announced_or_not() {
    let lab = Lab::new(1);
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhell\r\n4\r\no...\r\n";
    let server = lab
        .serve(vec![ok("", "123456"), Script::Hang(endless.to_owned())])
        .await;
    for _ in 0..2 {
        let error = get(&lab, &server, 5).await.unwrap_err();
        assert!(
            matches!(error, FetchError::TooLarge { limit: 5 }),
            "{error}"
        );
        assert_eq!(error.kind(), FetchFailed::Oversized);
    }
}

#[tokio::test]
async fn gives_up_on_a_source_that_falls_silent() {
    let lab = Lab::new(1);
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel".to_owned();
    let server = lab.serve(vec![Script::Hang(begun)]).await;
    let url = SourceUrl::parse(&format!("https://127.0.0.1:{}/", server.port)).unwrap();
    let get = Get {
        url: &url,
        if_none_match: None,
        authorization: None,
        body_max: 100,
    };
    let error = lab.client(Duration::from_millis(300)).get(get).await;
    let error = error.unwrap_err();
    assert!(matches!(error, FetchError::Timeout(_)), "{error}");
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_document() {
    let lab = Lab::new(1);
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhel".to_owned();
    let server = lab.serve(vec![Script::Say(cut)]).await;
    let error = get(&lab, &server, 100).await.unwrap_err();
    assert!(matches!(error, FetchError::Http(_)), "{error}");
}

#[tokio::test]
async fn follows_redirects_without_carrying_the_credential_elsewhere() {
    let lab = Lab::new(1);
    let there = lab.serve(vec![ok("", "there")]).await;
    let redirect = |to: String| {
        Script::Say(format!(
            "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
        ))
    };
    let elsewhere = format!("https://127.0.0.1:{}/b", there.port);
    let here = lab
        .serve(vec![
            redirect("/again".to_owned()),
            redirect("../relative?x=1".to_owned()),
            redirect(elsewhere),
        ])
        .await;
    let answer = get(&lab, &here, 100).await.unwrap();
    assert!(matches!(answer, Answer::Document { body, .. } if body == "there"));
    let bearer = |request: &String| request.contains("Bearer secret");
    assert!(here.requests.lock().unwrap().iter().all(bearer));
    assert!(!there.requests.lock().unwrap().iter().any(bearer));
}

#[tokio::test]
async fn never_follows_out_of_tls_or_without_end() {
    let lab = Lab::new(1);
    let plain = "HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:PORT/\r\n\r\n".to_owned();
    let server = lab.serve(vec![Script::Say(plain)]).await;
    let error = get(&lab, &server, 100).await.unwrap_err();
    let expected = matches!(error, FetchError::Redirect(UrlRefused::Plain));
    assert!(expected, "{error}");

    let around = "HTTP/1.1 307 Moved\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_owned();
    let server = lab.serve(vec![Script::Say(around); 10]).await;
    let error = get(&lab, &server, 100).await.unwrap_err();
    assert!(matches!(error, FetchError::TooManyRedirects(_)), "{error}");
    assert_eq!(server.requests.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn believes_only_the_configured_authority() {
    let server = Lab::new(1).serve(vec![ok("", "forged")]).await;
    let error = get(&Lab::new(2), &server, 100).await.unwrap_err();
    assert!(matches!(error, FetchError::Tls(_)), "{error}");
    assert_eq!(error.kind(), FetchFailed::Tls);
    assert!(server.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn names_the_status_of_a_refusal() {
    let lab = Lab::new(1);
    let server = lab.serve(vec![status("503 Service Unavailable")]).await;
    let error = get(&lab, &server, 100).await.unwrap_err();
    assert_eq!(error.kind(), FetchFailed::Status(503));
}

fn issuer(iss: &str) -> Issuer {
    let specs: PolicySpecs = serde_json::from_value(serde_json::json!({
        "issuer": [{ "name": "main", "issuer": iss, "audience": "a" }],
        "policy": [{ "name": "default", "any_of": ["jwt"] }],
    }))
    .unwrap();
    Policy::build(&specs).unwrap().issuers[0].clone()
}

/// Discovers the keys of an issuer whose name ends in `ending`.
async fn discover(answers: Vec<Script>, ending: &str) -> (Result<String, FetchError>, Vec<String>) {
    let lab = Lab::new(1);
    let server = lab.serve(answers).await;
    let issuer = issuer(&format!("https://127.0.0.1:{}{ending}", server.port));
    let keys = fetch_keys(&TokioEnv::new(), &lab.client(LONG), &issuer).await;
    let keys = keys.map(|body| String::from_utf8(body.into()).unwrap());
    let requests = server.requests.lock().unwrap();
    let paths = requests
        .iter()
        .map(|r| r.split(' ').nth(1).unwrap().to_owned());
    (keys, paths.collect())
}

/// A discovery document, at its final length once the port stands in it.
fn discovery(issuer: &str, keys: &str) -> Script {
    let body = format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}"}}"#);
    Script::Say(format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}"
    ))
}

#[tokio::test]
async fn finds_keys_by_discovery() {
    let document = discovery("https://127.0.0.1:PORT/", "https://127.0.0.1:PORT/keys");
    let (keys, paths) = discover(vec![document, ok("", "keys")], "/").await;
    assert_eq!(keys.unwrap(), "keys");
    assert_eq!(paths, ["/.well-known/openid-configuration", "/keys"]);
}

#[tokio::test]
async fn a_discovery_document_may_begin_with_a_mark() {
    let body = r#"{"issuer":"https://127.0.0.1:PORT","jwks_uri":"https://127.0.0.1:PORT/keys"}"#;
    let body = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\u{feff}{body}");
    let (keys, _) = discover(vec![Script::Say(body), ok("", "keys")], "").await;
    assert_eq!(keys.unwrap(), "keys");
}

#[tokio::test]
async fn an_issuer_without_discovery_has_its_keys_at_the_usual_path() {
    for ending in ["/tenant", "/tenant/"] {
        let (keys, paths) = discover(vec![status("404 Not Found"), ok("", "keys")], ending).await;
        assert_eq!(keys.unwrap(), "keys");
        assert_eq!(
            paths[1], "/tenant/.well-known/jwks.json",
            "exactly one slash"
        );
    }
}

#[tokio::test]
async fn discovery_that_fails_is_no_reason_to_look_elsewhere() {
    let table = [
        // A slash more is another issuer.
        discovery("https://127.0.0.1:PORT/", "https://127.0.0.1:PORT/keys"),
        discovery("https://127.0.0.1:PORT", "http://127.0.0.1:PORT/keys"),
        discovery("https://127.0.0.1:PORT", "keys"),
        ok("", "<html>"),
        status("500 Oops"),
    ];
    for document in table {
        let (keys, paths) = discover(vec![document, ok("", "keys")], "").await;
        assert!(keys.is_err());
        assert_eq!(paths.len(), 1);
    }
}

/// A proxy that tunnels every request to this loopback port, or gives this answer.
async fn proxy(answer: Option<&'static str>, source: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    TokioEnv::new().spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(client.read_u8().await.unwrap());
            }
            seen.lock()
                .unwrap()
                .push(String::from_utf8(request).unwrap());
            if let Some(answer) = answer {
                let _ = client.write_all(answer.as_bytes()).await;
                continue;
            }
            let mut source = tokio::net::TcpStream::connect(("127.0.0.1", source))
                .await
                .unwrap();
            client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await
                .unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut source).await;
        }
    });
    (port, requests)
}

/// Fetches `https://source.example:PORT/doc` as `proxies` says.
async fn get_through(lab: &Lab, port: u16, proxies: Proxies) -> Result<Answer, FetchError> {
    let url = SourceUrl::parse(&format!("https://source.example:{port}/doc")).unwrap();
    let authorization = HeaderValue::from_static("Bearer secret");
    let get = Get {
        url: &url,
        if_none_match: None,
        authorization: Some(&authorization),
        body_max: 100,
    };
    lab.client_through(LONG, proxies).get(get).await
}

/// Catches: a source that is fetched without the proxy, and a secret that the proxy sees.
#[tokio::test]
async fn a_source_behind_a_proxy_is_asked_through_a_tunnel() {
    let lab = Lab::new(1);
    let server = lab.serve(vec![ok("", "hello")]).await;
    let (port, asked) = proxy(None, server.port).await;
    let proxies = Proxies::through(&format!("http://user:pass@127.0.0.1:{port}")).unwrap();
    let answer = get_through(&lab, server.port, proxies).await.unwrap();
    assert!(matches!(answer, Answer::Document { body, .. } if body == "hello"));
    let asked = asked.lock().unwrap().join("");
    let source = format!("source.example:{}", server.port);
    assert!(
        asked.starts_with(&format!("CONNECT {source} HTTP/1.1\r\n")),
        "{asked}"
    );
    let asked = asked.to_ascii_lowercase();
    assert!(asked.contains(&format!("host: {source}\r\n")), "{asked}");
    assert!(
        asked.contains("proxy-authorization: basic dxnlcjpwyxnz\r\n"),
        "{asked}"
    );
    assert!(
        !asked.contains("secret") && !asked.contains("/doc"),
        "{asked}"
    );
    let request = server.requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(request.contains("bearer secret"), "{request}");
    assert!(!request.contains("proxy-authorization"), "{request}");
}

#[tokio::test]
async fn a_proxy_that_makes_no_tunnel_is_named() {
    let lab = Lab::new(1);
    for (answer, why) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
            "answered 407 Proxy Authentication Required to CONNECT",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n",
            "answered 302 Found to CONNECT",
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\nhello",
            "sent bytes into the tunnel before the source did",
        ),
        ("SSH-2.0-x\r\n\r\n", "no tunnel: "),
        ("", "no tunnel: "),
    ] {
        let (port, _) = proxy(Some(answer), 1).await;
        let proxies = Proxies::through(&format!("127.0.0.1:{port}")).unwrap();
        let error = get_through(&lab, 443, proxies).await.unwrap_err();
        assert_eq!(error.kind(), FetchFailed::Proxy);
        let expected = format!("the proxy 127.0.0.1:{port}: {why}");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr();
    let proxies = Proxies::through(&closed.unwrap().to_string()).unwrap();
    let error = get_through(&lab, 443, proxies).await.unwrap_err();
    assert!(error.to_string().contains(": cannot connect: "), "{error}");
    assert_eq!(error.kind(), FetchFailed::Proxy);
}

#[tokio::test]
async fn this_machine_is_never_behind_a_proxy() {
    let lab = Lab::new(1);
    let server = lab.serve(vec![ok("", "hello")]).await;
    let (port, asked) = proxy(None, server.port).await;
    let proxies = Proxies::through(&format!("127.0.0.1:{port}")).unwrap();
    let client = lab.client_through(LONG, proxies);
    let url = SourceUrl::parse(&format!("https://127.0.0.1:{}/", server.port)).unwrap();
    let get = Get {
        url: &url,
        if_none_match: None,
        authorization: None,
        body_max: 100,
    };
    client.get(get).await.unwrap();
    assert!(asked.lock().unwrap().is_empty());
}
