//! The client that fetches documents, against a real TLS server on loopback.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cellway_core::keys::JwksFetchError;
use cellway_env::Env;
use cellway_env::fetch::{Answer, FetchError, Get, Proxies, SourceUrl, UrlError};
use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Script, ScriptedServer, ScriptedSource};
use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

/// Far above what anything here takes.
const LONG: Duration = Duration::from_secs(60);

async fn get(
    source: &ScriptedSource,
    server: &ScriptedServer,
    body_max: usize,
) -> Result<Answer, FetchError> {
    let url = SourceUrl::parse(&format!("https://127.0.0.1:{}/doc?x=1", server.port)).unwrap();
    let authorization = HeaderValue::from_static("Bearer secret");
    let etag = HeaderValue::from_static("\"old\"");
    let get = Get {
        url: &url,
        if_none_match: Some(&etag),
        authorization: Some(&authorization),
        body_max,
    };
    source.client(LONG).get(get).await
}

#[tokio::test]
async fn brings_a_document_and_its_etag() {
    let source = ScriptedSource::new(1);
    let server = source
        .serve(vec![Script::ok("etag: \"new\"\r\n", "hello")])
        .await;
    let answer = get(&source, &server, 5).await.unwrap();
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
    let source = ScriptedSource::new(1);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{encoding}\r\n",
        body.len()
    );
    let answer = [head.as_bytes(), body].concat();
    let server = source.serve(vec![Script::Bytes(answer)]).await;
    match get(&source, &server, 1_000).await? {
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
        ("br", b"hello".to_vec(), JwksFetchError::Protocol),
        ("deflate", b"hello".to_vec(), JwksFetchError::Protocol),
        ("gzip, gzip", gzip("hello"), JwksFetchError::Protocol),
        ("gzip", b"hello".to_vec(), JwksFetchError::Protocol),
        ("gzip", cut, JwksFetchError::Protocol),
        ("gzip", wrong, JwksFetchError::Protocol),
        ("gzip", gzip(&"a".repeat(1_001)), JwksFetchError::Oversized),
        (
            "gzip",
            gzip(&"a".repeat(50 << 20)),
            JwksFetchError::Oversized,
        ),
    ] {
        let header = format!("content-encoding: {encoding}\r\n");
        let error = encoded(&header, &body).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{encoding}: {error}");
    }
}

#[tokio::test]
async fn hears_that_nothing_has_changed() {
    let source = ScriptedSource::new(1);
    let server = source.serve(vec![Script::status("304 Not Modified")]).await;
    let max_age = None;
    let expected = Answer::NotModified { max_age };
    assert_eq!(get(&source, &server, 5).await.unwrap(), expected);
}

#[tokio::test]
async fn refuses_what_is_too_large_announced_or_not() {
    let source = ScriptedSource::new(1);
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhell\r\n4\r\no...\r\n";
    let server = source
        .serve(vec![
            Script::ok("", "123456"),
            Script::Hang(endless.to_owned()),
        ])
        .await;
    for _ in 0..2 {
        let error = get(&source, &server, 5).await.unwrap_err();
        assert!(
            matches!(error, FetchError::TooLarge { limit: 5 }),
            "{error}"
        );
        assert_eq!(error.kind(), JwksFetchError::Oversized);
    }
}

#[tokio::test]
async fn gives_up_on_a_source_that_falls_silent() {
    let source = ScriptedSource::new(1);
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel".to_owned();
    let server = source.serve(vec![Script::Hang(begun)]).await;
    let url = SourceUrl::parse(&format!("https://127.0.0.1:{}/", server.port)).unwrap();
    let get = Get {
        url: &url,
        if_none_match: None,
        authorization: None,
        body_max: 100,
    };
    let error = source.client(Duration::from_millis(300)).get(get).await;
    let error = error.unwrap_err();
    assert!(matches!(error, FetchError::Timeout(_)), "{error}");
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_document() {
    let source = ScriptedSource::new(1);
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhel".to_owned();
    let server = source.serve(vec![Script::Say(cut)]).await;
    let error = get(&source, &server, 100).await.unwrap_err();
    assert!(matches!(error, FetchError::Http(_)), "{error}");
}

#[tokio::test]
async fn follows_redirects_without_carrying_the_credential_elsewhere() {
    let source = ScriptedSource::new(1);
    let there = source.serve(vec![Script::ok("", "there")]).await;
    let redirect = |to: String| {
        Script::Say(format!(
            "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
        ))
    };
    let elsewhere = format!("https://127.0.0.1:{}/b", there.port);
    let here = source
        .serve(vec![
            redirect("/again".to_owned()),
            redirect("../relative?x=1".to_owned()),
            redirect(elsewhere),
        ])
        .await;
    let answer = get(&source, &here, 100).await.unwrap();
    assert!(matches!(answer, Answer::Document { body, .. } if body == "there"));
    let bearer = |request: &String| request.contains("Bearer secret");
    assert!(here.requests.lock().unwrap().iter().all(bearer));
    assert!(!there.requests.lock().unwrap().iter().any(bearer));
}

#[tokio::test]
async fn never_follows_out_of_tls_or_without_end() {
    let source = ScriptedSource::new(1);
    let plain = "HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:PORT/\r\n\r\n".to_owned();
    let server = source.serve(vec![Script::Say(plain)]).await;
    let error = get(&source, &server, 100).await.unwrap_err();
    let expected = matches!(error, FetchError::Redirect(UrlError::Plain));
    assert!(expected, "{error}");

    let around = "HTTP/1.1 307 Moved\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_owned();
    let server = source.serve(vec![Script::Say(around); 10]).await;
    let error = get(&source, &server, 100).await.unwrap_err();
    assert!(matches!(error, FetchError::TooManyRedirects(_)), "{error}");
    assert_eq!(server.requests.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn believes_only_the_configured_authority() {
    let server = ScriptedSource::new(1)
        .serve(vec![Script::ok("", "forged")])
        .await;
    let error = get(&ScriptedSource::new(2), &server, 100)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Tls(_)), "{error}");
    assert_eq!(error.kind(), JwksFetchError::Tls);
    assert!(server.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn names_the_status_of_a_refusal() {
    let source = ScriptedSource::new(1);
    let server = source
        .serve(vec![Script::status("503 Service Unavailable")])
        .await;
    let error = get(&source, &server, 100).await.unwrap_err();
    assert_eq!(error.kind(), JwksFetchError::Status(503));
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
async fn get_through(
    source: &ScriptedSource,
    port: u16,
    proxies: Proxies,
) -> Result<Answer, FetchError> {
    let url = SourceUrl::parse(&format!("https://source.example:{port}/doc")).unwrap();
    let authorization = HeaderValue::from_static("Bearer secret");
    let get = Get {
        url: &url,
        if_none_match: None,
        authorization: Some(&authorization),
        body_max: 100,
    };
    source.client_through(LONG, proxies).get(get).await
}

/// Catches: a source that is fetched without the proxy, and a secret that the proxy sees.
#[tokio::test]
async fn a_source_behind_a_proxy_is_asked_through_a_tunnel() {
    let source = ScriptedSource::new(1);
    let server = source.serve(vec![Script::ok("", "hello")]).await;
    let (port, asked) = proxy(None, server.port).await;
    let proxies = Proxies::through(&format!("http://user:pass@127.0.0.1:{port}")).unwrap();
    let answer = get_through(&source, server.port, proxies).await.unwrap();
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
    let source = ScriptedSource::new(1);
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
        let error = get_through(&source, 443, proxies).await.unwrap_err();
        assert_eq!(error.kind(), JwksFetchError::Proxy);
        let expected = format!("the proxy 127.0.0.1:{port}: {why}");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    // Bound, and nobody listens there.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = socket.local_addr().unwrap();
    let proxies = Proxies::through(&closed.to_string()).unwrap();
    let error = get_through(&source, 443, proxies).await.unwrap_err();
    assert!(error.to_string().contains(": cannot connect: "), "{error}");
    assert_eq!(error.kind(), JwksFetchError::Proxy);
}

#[tokio::test]
async fn this_machine_is_never_behind_a_proxy() {
    let source = ScriptedSource::new(1);
    let server = source.serve(vec![Script::ok("", "hello")]).await;
    let (port, asked) = proxy(None, server.port).await;
    let proxies = Proxies::through(&format!("127.0.0.1:{port}")).unwrap();
    let client = source.client_through(LONG, proxies);
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
