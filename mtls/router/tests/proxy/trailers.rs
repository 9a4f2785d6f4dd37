//! Trailers between every pair of protocols.

use bytes::Bytes;
use cellway_testbed::{Protocol, Request, ServerTls};
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRAILER};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::cells::{http2, says};
use crate::frames::trailers_of;
use crate::malformed::exchange;
use crate::world::{World, body, cell, plain, plain_endpoint, registry, start};

type Fields = &'static [(&'static str, &'static str)];

/// The trailers that cells announce and send. Some may be forwarded and some may not.
const ANNOUNCED: &str = "X-Sum, x-cellway-roles, set-cookie";
const TRAILERS: Fields = &[
    ("x-sum", "5"),
    ("x-cellway-roles", "admin"),
    ("set-cookie", "a=b"),
];

/// The answer of an HTTP/2 cell.
#[derive(Clone, Copy)]
struct Answers {
    fields: Fields,
    data: &'static [u8],
    trailers: Fields,
}

async fn http2_cell(answers: Answers) -> u16 {
    http2(move |mut frames, id| async move {
        frames.fields(id, &trailers_of(answers.fields), false).await;
        if !answers.data.is_empty() {
            frames.data(id, answers.data, false).await;
        }
        frames
            .fields(id, &trailers_of(answers.trailers), true)
            .await;
        Some(frames)
    })
    .await
}

async fn before(scheme: &str, port: u16) -> World {
    start(plain(registry(plain_endpoint(scheme, port)))).await
}

/// For each HTTP version, a router in front of a cell that answers `hi` with trailers.
async fn worlds() -> [(&'static str, World); 2] {
    let fields: String = TRAILERS
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let http1 = says(format!(
        "HTTP/1.1 200 OK\r\ntrailer: {ANNOUNCED}\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\n{fields}\r\n"
    ));
    let http2 = http2_cell(Answers {
        fields: &[
            (":status", "200"),
            ("content-length", "2"),
            ("trailer", ANNOUNCED),
        ],
        data: b"hi",
        trailers: TRAILERS,
    });
    [
        ("http", before("http", http1.await).await),
        ("h2c", before("h2c", http2.await).await),
    ]
}

fn asked(te: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{te}\r\n")
}

/// Catches: a cell's trailers that are lost, and trailers with fields that only the router may set
/// or that are allowed only in a header.
#[tokio::test]
async fn a_cells_trailers_reach_clients_that_take_them() {
    for (scheme, world) in worlds().await {
        let said = exchange(world.port, &asked("te: trailers\r\n")).await;
        assert!(said.contains("\r\ntrailer: x-sum\r\n"), "{scheme}: {said}");
        assert!(!said.contains("content-length"), "{scheme}: {said}");
        let end = "\r\n2\r\nhi\r\n0\r\nx-sum: 5\r\n\r\n";
        assert!(said.ends_with(end), "{scheme}: {said}");
        world.events.line("responded 200 cell - whole").await;

        let client = world.client(Protocol::Http2);
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.headers[TRAILER], "x-sum", "{scheme}");
        assert_eq!(answer.trailers.len(), 1, "{scheme}: {answer:?}");
        assert_eq!(answer.trailers["x-sum"], "5", "{scheme}");
    }
}

/// Catches: trailers for a client that doesn't accept them, an announcement without trailers, and
/// an answer that is complete to the client but reported as cut.
#[tokio::test]
async fn clients_that_take_no_trailers_get_none_and_the_answer_is_whole() {
    for (scheme, world) in worlds().await {
        for request in [
            asked(""),
            asked("te: gzip\r\n"),
            asked("te: trailers\r\n").replace("1.1", "1.0"),
        ] {
            let said = exchange(world.port, &request).await;
            assert!(said.contains("hi"), "{scheme}: {said}");
            assert!(!said.contains("trailer"), "{scheme}: {said}");
            assert!(!said.contains("x-sum"), "{scheme}: {said}");
        }
        world.events.line("responded 200 cell - whole").await;
        let lines = world.events.lines();
        assert!(!lines.iter().any(|line| line.ends_with("cut")), "{lines:?}");
    }
}

/// Catches: chunks after a header without a body, and a wait for trailers that can't come.
#[tokio::test]
async fn answers_without_a_body_or_with_a_length_announce_no_trailers() {
    let empty = Answers {
        fields: &[(":status", "204"), ("trailer", "x-sum")],
        data: b"",
        trailers: &[("x-sum", "5")],
    };
    let sized = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ncontent-length: 2\r\n\r\nhi".to_owned();
    let worlds = [
        (before("h2c", http2_cell(empty).await).await, "204"),
        (before("http", says(sized).await).await, "200"),
    ];
    for (world, status) in worlds {
        let said = exchange(world.port, &asked("te: trailers\r\n")).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
        assert!(!said.contains("trailer"), "{said}");
        assert!(!said.contains("chunked"), "{said}");
        world
            .events
            .line(&format!("responded {status} cell - whole"))
            .await;
    }
}

/// Catches: a gRPC status that never reaches an HTTP/1.1 client, because gRPC servers announce no
/// trailers.
#[tokio::test]
async fn a_grpc_status_reaches_an_http1_client() {
    let port = http2_cell(Answers {
        fields: &[
            (":status", "200"),
            ("content-type", "application/grpc+proto"),
        ],
        data: b"hi",
        trailers: &[("grpc-status", "5"), ("grpc-message", "no such thing")],
    });
    let world = before("h2c", port.await).await;
    let said = exchange(world.port, &asked("te: trailers\r\n")).await;
    let (_, trailers) = said
        .split_once("\r\nhi\r\n0\r\n")
        .expect("an end of chunks");
    let status = "grpc-status: 5\r\n";
    assert!(trailers.contains(status), "{said}");
    assert!(
        trailers.contains("grpc-message: no such thing\r\n"),
        "{said}"
    );
    assert!(trailers.ends_with("\r\n\r\n"), "{said}");
}

/// Catches: an announcement that is lost or not fit for the cell; `TE` that the cell must ignore,
/// because `Connection` doesn't name it.
#[tokio::test]
async fn an_http1_clients_announced_trailers_reach_a_cell_and_others_cost_nothing() {
    for (scheme, tls) in [("http", ServerTls::plain()), ("h2c", ServerTls::plain_h2())] {
        let (_cell, port) = cell("a", tls).await;
        let world = before(scheme, port).await;
        let request = |fields: &str| {
            format!(
                "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\
                 transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 5\r\n\
                 x-cellway-roles: admin\r\n\r\n"
            )
        };
        let announced = "trailer: x-sum, x-cellway-roles\r\nte: trailers\r\n";
        let said = exchange(world.port, &request(announced)).await;
        assert!(said.contains("\"x-sum\": \"5\""), "{scheme}: {said}");
        assert!(said.contains("\"trailer\": \"x-sum\""), "{scheme}: {said}");
        assert!(said.contains("\"te\": \"trailers\""), "{scheme}: {said}");
        assert!(!said.contains("admin"), "{scheme}: {said}");
        let names_te = said.contains("\"connection\": \"te\"");
        assert_eq!(names_te, scheme == "http", "{scheme}: {said}");
        let said = exchange(world.port, &request("")).await;
        assert!(said.contains("\"body_bytes\": 2"), "{scheme}: {said}");
        assert!(!said.contains("\"connection\""), "{scheme}: {said}");
        assert!(!said.contains("admin"), "{scheme}: {said}");
    }
}

/// Posts `hello` from an HTTP/2 client with these fields and the trailers `x-sum` and `x-other`,
/// and returns what the cell got.
async fn posted(world: &World, fields: &[(&str, &str)]) -> Value {
    let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::post("http://localhost/");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(()).unwrap();
    let (answer, mut sending) = client.send_request(request, false).unwrap();
    let hello = Bytes::from_static(b"hello");
    sending.send_data(hello, false).unwrap();
    let mut trailers = HeaderMap::new();
    for name in ["x-sum", "x-other"] {
        trailers.insert(name, HeaderValue::from_static("5"));
    }
    sending.send_trailers(trailers).unwrap();
    let (head, mut body) = answer.await.unwrap().into_parts();
    assert_eq!(head.status, StatusCode::OK);
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        text.extend(data.unwrap());
    }
    serde_json::from_slice(&text).unwrap()
}

/// Catches: trailers that an HTTP/1.1 cell doesn't get because the message has a length, and a
/// request that fails because some of its trailers can't be sent.
#[tokio::test]
async fn an_http2_clients_trailers_reach_http1_cells_where_they_are_announced() {
    for (scheme, tls) in [("http", ServerTls::plain()), ("h2c", ServerTls::plain_h2())] {
        let (_cell, port) = cell("a", tls).await;
        let world = before(scheme, port).await;
        let http2 = scheme == "h2c";
        let length = ("content-length", "5");
        for (fields, [sum, other]) in [
            (vec![length, ("trailer", "x-sum")], [true, http2]),
            (vec![("trailer", "x-sum,X-Other")], [true, true]),
            (vec![length], [http2, http2]),
            (vec![], [http2, http2]),
        ] {
            let echo = posted(&world, &fields).await;
            assert_eq!(echo["body_bytes"], 5, "{scheme}, {fields:?}");
            let trailers = &echo["trailers"];
            let came = ["x-sum", "x-other"].map(|name| trailers[name] == "5");
            assert_eq!(came, [sum, other], "{scheme}, {fields:?}: {echo}");
        }
    }
}

/// Catches: a request that can't have trailers but is chunked because of its `Trailer` field.
#[tokio::test]
async fn a_length_stays_where_no_trailers_can_follow() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let world = before("http", port).await;
    let mut request = Request::get("/");
    request.method = Method::POST;
    request.body = Bytes::from_static(b"hello");
    let announced = HeaderValue::from_static("x-sum");
    request.headers.insert(TRAILER, announced);
    let answer = world.client(Protocol::Http1).send(request).await.unwrap();
    let headers = &body(&answer)["headers"];
    assert_eq!(headers[CONTENT_LENGTH.as_str()], "5", "{headers}");
    assert!(headers.get("trailer").is_none(), "{headers}");
}
