//! Failures of a cell.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cellway_testbed::{CellFault, EchoCell, San, ServerTls};
use cellway_tests::world::{CELL_SAN, HOUR, Host, certificate, provider, until};
use http::StatusCode;
use rustls::ServerConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::scene::{Before, Scene};

pub(crate) async fn cell(how: &str) -> Scene {
    let before = Before::new().await;
    let fault = async |before: Before, fault| {
        let scene = before.up().await;
        scene.world.cell.set_fault(fault);
        scene
    };
    match how {
        "refuses connections" => {
            let url = format!("https://{}", Host::reserve().address());
            before.endpoint(json!({"url": url})).up().await
        }
        "has a certificate with another name" => {
            let mut endpoint = before.registry["cells"][0]["endpoints"][0].clone();
            endpoint["san"] = json!("spiffe://cells.test/another");
            before.endpoint(endpoint).up().await
        }
        "is silent in the TLS handshake" => {
            let held = listens(|mut stream| async move {
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
            let url = format!("https://{}", held.await);
            let before = before.set("[upstream]", "tls_timeout_ms = 200");
            before.endpoint(json!({"url": url})).up().await
        }
        "is silent after the request" => {
            let before = before.set("[upstream]", "header_timeout_ms = 200");
            fault(before, CellFault::Slow(HOUR)).await
        }
        "breaks off before it answers" => fault(before, CellFault::BreakOff).await,
        "answers with something that isn't HTTP" => {
            let nonsense = listens(|mut stream| async move {
                let mut bytes = [0; 1024];
                let _ = stream.read(&mut bytes).await;
                let _ = stream.write_all(b"220 mail.example ESMTP\r\n\r\n").await;
            });
            let url = format!("http://{}", nonsense.await);
            before.endpoint(json!({"url": url})).up().await
        }
        "refuses the streams of HTTP/2" => {
            let before = before.add("[upstream.breaker]\nfailures = 0\n");
            fault(before, CellFault::RefuseStreams).await
        }
        "answers with one of retry_statuses, and then can't be reached" => declines(before).await,
        "speaks only HTTP/2 and takes no extended CONNECT" => no_connect(before).await,
        "answers 500" => fault(before, CellFault::Status(StatusCode::INTERNAL_SERVER_ERROR)).await,
        "has as many requests as requests_max" => {
            let before = before.set("[upstream]", "requests_max = 1\nqueue_max = 0");
            let scene = fault(before, CellFault::Slow(HOUR)).await;
            Scene {
                holds: true,
                ..scene
            }
        }
        _ => cell_is_slow(how).await,
    }
}

/// The cell answers every second connection, with 503, and closes the others before TLS.
async fn declines(before: Before) -> Scene {
    let names = vec![San::Uri(CELL_SAN.to_owned())];
    let credential = certificate(&before.world.authorities.cells, names);
    let mut tls = ServerConfig::clone(&provider().server(&credential, None).unwrap());
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let connections = Arc::new(AtomicUsize::new(0));
    let cell = listens(move |stream| {
        let (acceptor, nth) = (
            acceptor.clone(),
            connections.fetch_add(1, Ordering::Relaxed),
        );
        async move {
            if nth % 2 == 1 {
                return;
            }
            let mut stream = acceptor.accept(stream).await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let busy = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(busy).await;
            let _ = stream.shutdown().await;
        }
    });
    let url = format!("https://{}", cell.await);
    let traffic = "[[traffic]]\nname = \"default\"\nretry_statuses = [503]\n";
    let endpoint = json!({"url": url, "san": CELL_SAN});
    before.add(traffic).endpoint(endpoint).up().await
}

/// A cell that can't be asked for a WebSocket.
async fn no_connect(before: Before) -> Scene {
    let cell = EchoCell::new("a", |_| ());
    cell.take_no_connect();
    let mut host = Host::reserve().host(move |env, listener| {
        let cell = cell.clone();
        async move { cell.serve(env, listener, ServerTls::plain_h2()).await }
    });
    host.start().await;
    let url = format!("h2c://{}", host.address());
    Scene {
        upgrade: true,
        _host: Some(host),
        ..before.endpoint(json!({"url": url})).up().await
    }
}

/// Accepts no connection: its queue is full.
async fn full_queue() -> (SocketAddr, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    let waits = Duration::from_millis(200);
    while let Ok(connected) = timeout(waits, TcpStream::connect(address)).await {
        held.push(connected.unwrap());
    }
    // The socket must stay open as long as the process.
    std::mem::forget(listener);
    (address, held)
}

/// A cell that no request can reach, with these settings. It has got one request in vain.
async fn unreachable(settings: &str) -> Scene {
    let url = format!("https://{}", Host::reserve().address());
    let before = Before::new().await.add(settings);
    let scene = before.endpoint(json!({"url": url})).up().await;
    assert_eq!(scene.http().await[1], "cell_unreachable");
    scene
}

async fn cell_is_avoided(how: &str) -> Scene {
    match how {
        "refused a connection, and its breaker is open" => {
            let outlier = "[upstream.outlier]\nconnection_failures = 0\n";
            let breaker = "[upstream.breaker]\nfailures = 1\nopen_ms = 600000\n";
            unreachable(&format!("{outlier}{breaker}")).await
        }
        "is ejected, and when_all_ejected = \"fail\"" => {
            let outlier = "[upstream.outlier]\nconnection_failures = 1\nejected_percent_max = 100\n\
                           ejection_secs = 300\n";
            let breaker = "[upstream.breaker]\nfailures = 0\n";
            let url = format!("https://{}", Host::reserve().address());
            let before = Before::new().await;
            let before = before.set("[upstream]", "when_all_ejected = \"fail\"");
            let before = before.add(&format!("{outlier}{breaker}"));
            let scene = before.endpoint(json!({"url": url})).up().await;
            until("it is ejected", async || {
                scene.http().await[1] == "no_endpoint_healthy"
            })
            .await;
            scene
        }
        _ => panic!("no such failure: {how}"),
    }
}

async fn cell_is_slow(how: &str) -> Scene {
    let before = Before::new().await;
    match how {
        "accepts no connection" => {
            let (address, held) = full_queue().await;
            let before = before.set("[upstream]", "connect_timeout_ms = 200");
            let url = format!("https://{address}");
            let scene = before.endpoint(json!({"url": url})).up().await;
            Scene {
                _held: held,
                ..scene
            }
        }
        "reads nothing of a long body" => {
            let deaf = listens(|stream| async move {
                let _stream = stream;
                std::future::pending().await
            });
            let url = format!("http://{}", deaf.await);
            let before = before.set("[upstream]", "idle_timeout_ms = 500");
            let scene = before.endpoint(json!({"url": url})).up().await;
            Scene {
                body: 32 << 20,
                ..scene
            }
        }
        "takes longer than total_timeout_ms" => {
            let before = before.set("[upstream]", "total_timeout_ms = 200");
            let scene = before.up().await;
            scene.world.cell.set_fault(CellFault::Slow(HOUR));
            scene
        }
        _ => cell_is_avoided(how).await,
    }
}

/// Listens, and does this with each connection.
async fn listens<F>(play: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(play(stream));
        }
    });
    address
}
