//! Failures of a cell.

use std::net::SocketAddr;
use std::time::Duration;

use cellway_testbed::CellFault;
use cellway_tests::world::{HOUR, Host, until};
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

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
