//! Questions that are slow, that a drain overtakes, or whose asker is no longer trusted.

use cellway_tests::world::{AUTHORIZER, PATIENCE, Running};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::ask::{self, call, framed, question};
use crate::hostile::{CALLERS, certified};
use crate::{sent, world, world_with};

/// A question in JSON, by a client that decides when each byte leaves.
struct Slow(TcpStream);

impl Slow {
    /// Sends the head, and waits until the router asks for the body: it has the question in hand.
    async fn begin(router: &Running, length: usize) -> Self {
        let mut stream = TcpStream::connect(router.listener("envoy")).await.unwrap();
        let head = format!(
            "POST /ext_authz/v3/check HTTP/1.1\r\nhost: router\r\nexpect: 100-continue\r\n\
             content-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut slow = Self(stream);
        assert_eq!(slow.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        slow
    }

    async fn send(&mut self, body: &str) {
        self.0.write_all(body.as_bytes()).await.unwrap();
    }

    /// Up to the next empty line.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, self.0.read_u8()).await;
            head.push(byte.expect("it answers").expect("it says all"));
        }
        String::from_utf8(head).unwrap()
    }

    /// Everything up to the end of the connection.
    async fn rest(mut self) -> String {
        let mut rest = String::new();
        let reading = self.0.read_to_string(&mut rest);
        timeout(PATIENCE, reading).await.expect("it ends").unwrap();
        rest
    }
}

fn json(token: &str) -> String {
    let request = format!(
        r#"{{"method": "GET", "path": "/", "host": "shop.example", "headers": {{"authorization": "Bearer {token}"}}}}"#
    );
    format!(r#"{{"attributes": {{"request": {{"http": {request}}}}}}}"#)
}

/// Catches: a question without an end, which holds a connection for ever or passes in part.
#[tokio::test]
async fn a_question_that_stops_coming_is_given_up() {
    let short = AUTHORIZER.replace("serves", "header_timeout_ms = 300\nserves");
    let (world, router) = world_with(&short).await;
    let question = json(&world.token());
    let mut slow = Slow::begin(&router, question.len()).await;
    slow.send(&question[..question.len() - 1]).await;
    let answer = slow.head().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.contains("x-cellway-reason: client_timeout"),
        "{answer}"
    );
    assert!(answer.contains("connection: close"), "{answer}");
}

/// Catches: an answer that leaves a body unread and doesn't say so, which an Envoy that still sends it
/// never reads.
#[tokio::test]
async fn an_answer_before_the_body_is_heard_of() {
    const LONG: usize = 16 << 20;
    let (_world, router) = world().await;
    for (path, status) in [
        ("/ext_authz/v3/http/orders", "401"),
        ("/.well-known/cellway/jwks.json", "404"),
        ("/elsewhere", "400"),
    ] {
        let head = |length| {
            format!("GET {path} HTTP/1.1\r\nhost: router\r\ncontent-length: {length}\r\n\r\n")
        };
        let mut long = Slow(TcpStream::connect(router.listener("envoy")).await.unwrap());
        long.send(&head(LONG)).await;
        for _ in 0..LONG / 65_536 {
            long.send(&"7".repeat(65_536)).await;
        }
        let answer = long.rest().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }

    let mut short = Slow(TcpStream::connect(router.listener("envoy")).await.unwrap());
    for _ in 0..3 {
        short
            .send("HEAD /ext_authz/v3/http/x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n")
            .await;
        let answer = short.head().await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
        short.send("hello").await;
    }
}

/// Catches: a question that a drain drops, which its Envoy would answer with an error.
#[tokio::test]
async fn a_question_that_a_drain_overtakes_is_answered() {
    let (world, router) = world().await;
    let question = json(&world.token());
    let (begun, rest) = question.split_at(question.len() / 2);
    let mut slow = Slow::begin(&router, question.len()).await;
    slow.send(begun).await;
    let draining = router.handle.clone();
    let drained = tokio::spawn(async move { draining.drain(PATIENCE).await });
    router.events.after("draining", 0).await;
    slow.send(rest).await;
    let answer = slow.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("okResponse"), "{answer}");
    assert_eq!(drained.await.unwrap().abandoned, 0);
    // Who asks now is not answered, and that is no leave.
    assert!(TcpStream::connect(router.listener("envoy")).await.is_err());
}

/// Catches: an Envoy that goes on asking over a connection from before its authority was dropped.
#[tokio::test]
async fn a_reload_that_distrusts_the_asker_ends_its_leave_to_ask() {
    let (world, router) = world_with(CALLERS).await;
    let token = format!("Bearer {}", world.token());
    let good = framed(&question(&sent(&[("authorization", &token)], None), true));
    let envoy = certified(&world, &router, Some("spiffe://clients.test/envoy"));
    let mut connection = envoy.connect().await.unwrap();
    let answer = connection.send(ask::check(good.clone())).await.unwrap();
    assert_eq!(answer.trailers["grpc-status"], "0");

    let other = cellway_tests::world::Authorities::other("clients", 9);
    world.folder.write("clients.pem", other.pem());
    router.reload().await;
    let answer = connection.send(ask::check(good.clone())).await.unwrap();
    assert_eq!(answer.headers["grpc-status"], "16");
    assert_eq!(answer.headers["x-cellway-reason"], "certificate_untrusted");
    assert!(answer.body.is_empty());

    // The way back.
    world
        .folder
        .write("clients.pem", world.authorities.clients.pem());
    router.reload().await;
    let answer = call(&envoy, good).await;
    assert_eq!(answer.trailers["grpc-status"], "0");
}
