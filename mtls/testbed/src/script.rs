//! A TLS server on loopback that sends prepared answers, byte by byte, to test code that fetches
//! documents.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use cellway_env::Env;
use cellway_env::fetch::{Client, Proxies, Reach};
use cellway_env::tokio::TokioEnv;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Ca, CertificateSpec, Key, Protocol, San, TlsProvider, Usage, Validity};

/// A server that gives one scripted answer to each connection, in turn.
#[derive(Clone, Debug)]
pub struct ScriptedServer {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The header of each request.
    pub requests: Arc<Mutex<Vec<String>>>,
}

/// The answer to one connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Script {
    /// These bytes, then the end.
    Say(String),
    /// These bytes, and then silence.
    Hang(String),
    /// These bytes, which may be binary, then the end.
    Bytes(Vec<u8>),
}

/// Makes servers of documents and clients that trust them.
pub struct ScriptedSource {
    provider: TlsProvider,
    ca: Ca,
    validity: Validity,
}

impl ScriptedSource {
    /// A source whose CA has a key from this seed.
    pub fn new(seed: u8) -> Self {
        let provider = TlsProvider::default();
        let validity = Validity::around(TokioEnv::new().unix_now(), Duration::from_secs(3_600));
        let ca = Ca::new("sources", &Key::from_seed([seed; 32]), validity, 1)
            .expect("a test host on loopback");
        Self {
            provider,
            ca,
            validity,
        }
    }

    /// Serves `answers`, after replacing `PORT` in them with the server's port.
    pub async fn serve(&self, answers: Vec<Script>) -> ScriptedServer {
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
        let credential = self
            .ca
            .issue(&spec, &Key::from_seed([99; 32]))
            .expect("a test host on loopback");
        let tls = TlsAcceptor::from(
            self.provider
                .server(&credential, None)
                .expect("a test host on loopback"),
        );
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a test host on loopback");
        let port = listener
            .local_addr()
            .expect("a test host on loopback")
            .port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        TokioEnv::new().spawn(async move {
            for script in answers {
                let (stream, _) = listener.accept().await.expect("a test host on loopback");
                // A client that refuses the certificate ends it here.
                let Ok(mut stream) = tls.accept(stream).await else {
                    continue;
                };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.expect("a test host on loopback"));
                }
                let request = String::from_utf8(request).expect("a test host on loopback");
                seen.lock().expect("a test host on loopback").push(request);
                let bytes = match &script {
                    Script::Say(text) | Script::Hang(text) => {
                        text.replace("PORT", &port.to_string()).into_bytes()
                    }
                    Script::Bytes(bytes) => bytes.clone(),
                };
                // A client may close before the end, when it has seen enough.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.flush().await;
                if matches!(script, Script::Hang(_)) {
                    std::future::pending::<()>().await;
                }
                let _ = stream.shutdown().await;
            }
        });
        ScriptedServer { port, requests }
    }

    /// A client that trusts this source.
    pub fn client(&self, total_timeout: Duration) -> Client<TokioEnv> {
        self.client_through(total_timeout, Proxies::default())
    }

    /// The same, through these proxies.
    pub fn client_through(&self, total_timeout: Duration, proxies: Proxies) -> Client<TokioEnv> {
        let roots = Ca::roots(&[&self.ca]).expect("a test host on loopback");
        let tls = self
            .provider
            .client(roots, None, Protocol::Http1)
            .expect("a test host on loopback");
        let reach = Arc::new(ArcSwap::from_pointee(Reach {
            total_timeout,
            proxies,
        }));
        Client::reaching(TokioEnv::new(), Arc::new(ArcSwap::new(tls)), reach)
    }
}

impl Script {
    /// 200 with this body.
    pub fn ok(headers: &str, body: &str) -> Self {
        let len = body.len();
        Self::Say(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n{headers}\r\n{body}"
        ))
    }

    /// An answer without a body, by its status line after the version.
    pub fn status(line: &str) -> Self {
        Self::Say(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n"))
    }
}
