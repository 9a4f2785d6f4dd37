//! Requests whose bytes another parser could read differently.
//!
//! Each row is sent behind a good request, all in one write. The good one is answered by the cell.
//! The malformed one is answered once, by the router, in its usual form; the connection ends; and
//! the cell got no request but the good one.

use std::fmt::Write;

use cellway_core::http1::{FIELDS_MAX, HEAD_BYTES_MAX};
use cellway_testbed::Signer;
use cellway_tests::world::World;

use crate::raw::talk;
use crate::table::Table;

/// What the router answers to.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        let (_, value) = fields.find(|(field, _)| field == name)?;
        Some(value)
    }

    /// The answers in these bytes, none of which is left over.
    fn all(mut bytes: &str) -> Vec<Self> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_once("\r\n\r\n").expect("a whole head");
            let mut lines = head.lines();
            let line = lines.next().unwrap();
            let status = line.split(' ').nth(1).unwrap().parse().unwrap();
            let field = |line: &str| {
                let (name, value) = line.split_once(": ").expect("a field");
                (name.to_owned(), value.to_owned())
            };
            let mut answer = Self {
                status,
                headers: lines.map(field).collect(),
                body: String::new(),
            };
            bytes = answer.take_body(rest);
            all.push(answer);
        }
        all
    }

    fn take_body<'a>(&mut self, mut rest: &'a str) -> &'a str {
        if let Some(length) = self.field("content-length") {
            let (body, rest) = rest.split_at(length.parse().unwrap());
            self.body = body.to_owned();
            return rest;
        }
        assert_eq!(self.field("transfer-encoding"), Some("chunked"));
        loop {
            let (size, data) = rest.split_once("\r\n").expect("a chunk size");
            let (data, more) = data.split_at(usize::from_str_radix(size, 16).unwrap());
            self.body.push_str(data);
            rest = more.strip_prefix("\r\n").expect("the end of a chunk");
            if size == "0" {
                return rest;
            }
        }
    }
}

/// Heads that are refused: what is odd, the status, a part of the detail, and the bytes. `{a}` stands
/// for a host and a credential.
const HEADS: &[(u16, &str, &str)] = &[
    (400, "LF alone", "GET / HTTP/1.1\n{a}\r\n"),
    (
        400,
        "LF alone",
        "GET / HTTP/1.1\r\n{a}x: 1\nx-cellway-tenant: globex\r\n\r\n",
    ),
    (400, "LF alone", "GET / HTTP/1.1\r\n{a}\n"),
    (
        400,
        "LF alone",
        "GET / HTTP/1.1\r\n{a}x: 1\n\nGET /smuggled HTTP/1.1\r\n{a}\r\n",
    ),
    (400, "LF alone", "\nGET / HTTP/1.1\r\n{a}\r\n"),
    (
        400,
        "CR without an LF",
        "GET / HTTP/1.1\r\n{a}x: 1\ry: 2\r\n\r\n",
    ),
    (
        400,
        "CR without an LF",
        "GET / HTTP/1.1\r\n{a}x: 1\r\r\n\r\n",
    ),
    (400, "folded", "GET / HTTP/1.1\r\n{a}x: 1\r\n\ty: 2\r\n\r\n"),
    (400, "control", "GET / HTTP/1.1\r\n{a}x: 1\x002\r\n\r\n"),
    (400, "control", "GET / HTTP/1.1\r\n{a}x: 1\x0b2\r\n\r\n"),
    (400, "control", "GET / HTTP/1.1\r\n{a}x: 1\x7f2\r\n\r\n"),
    (
        400,
        "before its colon",
        "GET / HTTP/1.1\r\n{a}x : 1\r\n\r\n",
    ),
    (
        400,
        "before its colon",
        "GET / HTTP/1.1\r\n{a}x\t: 1\r\n\r\n",
    ),
    (400, "invalid name", "GET / HTTP/1.1\r\n{a}x(y): 1\r\n\r\n"),
    (400, "invalid name", "GET / HTTP/1.1\r\n{a}: 1\r\n\r\n"),
    (400, "invalid name", "GET / HTTP/1.1\r\n{a}x\r\n\r\n"),
    (
        400,
        "both Transfer-Encoding",
        "POST / HTTP/1.1\r\n{a}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        400,
        "chunked",
        "POST / HTTP/1.1\r\n{a}transfer-encoding: xchunked\r\n\r\n",
    ),
    (
        400,
        "chunked",
        "POST / HTTP/1.0\r\n{a}transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        400,
        "one number",
        "POST / HTTP/1.1\r\n{a}content-length: +5\r\n\r\nhello",
    ),
    (
        400,
        "one number",
        "POST / HTTP/1.1\r\n{a}content-length: 5, 5\r\n\r\nhello",
    ),
    (
        400,
        "one number",
        "POST / HTTP/1.1\r\n{a}content-length: abc\r\n\r\n",
    ),
    (
        400,
        "one number",
        "POST / HTTP/1.1\r\n{a}content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    ),
    (400, "fragment", "GET /pub/#/../admin HTTP/1.1\r\n{a}\r\n"),
    (400, "percent-encoded", "GET /\"x\" HTTP/1.1\r\n{a}\r\n"),
    (400, "percent-encoded", "GET /?<x> HTTP/1.1\r\n{a}\r\n"),
    (400, "version", "GET / HTTP/1.2\r\n{a}\r\n"),
    (400, "version", "GET / HTTP/2.0\r\n{a}\r\n"),
    (400, "version", "GET /a b HTTP/1.1\r\n{a}\r\n"),
    (400, "version", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (400, "request line", "GET /\r\n\r\n"),
    (400, "request line", "GET  / HTTP/1.1\r\n{a}\r\n"),
    (400, "method", "\x16\x03\x01\x02\0\x01\0\x01"),
    (400, "LF alone", "HEAD / HTTP/1.1\n{a}\r\n"),
];

/// Bodies that are refused where the good part ends.
const BODIES: &[(&str, &str)] = &[
    ("hexadecimal", "+5\r\nhello\r\n0\r\n\r\n"),
    ("hexadecimal", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("hexadecimal", "5 \r\nhello\r\n0\r\n\r\n"),
    ("hexadecimal", "5\r\nhello\r\n00000000000000000\r\n\r\n"),
    ("extension", "5;a=b\r\nhello\r\n0\r\n\r\n"),
    ("extension", "5\r\nhello\r\n0;\n\r\n\r\n"),
    ("LF alone", "5\nhello\r\n0\r\n\r\n"),
    ("LF alone", "5\r\nhello\n0\r\n\r\n"),
    ("LF alone", "5\r\nhello\r\n0\n\r\n"),
    ("LF alone", "5\r\nhello\r\n0\r\nx: 1\n\r\n"),
    (
        "LF alone",
        "5\r\nhello\r\n0\r\nx: 1\n\nGET /smuggled HTTP/1.1\r\n{a}\r\n",
    ),
    ("longer than its size", "5\r\nhelloworld\r\n0\r\n\r\n"),
    ("CR without an LF", "5\r\nhello\r\n0\r\nx: 1\r2\r\n\r\n"),
    ("folded", "5\r\nhello\r\n0\r\nx: 1\r\n 2\r\n\r\n"),
    ("control", "5\r\nhello\r\n0\r\nx: \0\r\n\r\n"),
    ("before its colon", "5\r\nhello\r\n0\r\nx : 1\r\n\r\n"),
];

/// Catches: a request that is read differently behind us, one that is swallowed, an answer that isn't
/// ours or comes twice, and a connection that goes on after it.
#[tokio::test]
async fn what_could_be_read_in_two_ways_is_answered_once_and_goes_nowhere() {
    let world = World::up(Signer::from_seed("ed", [7; 32]).unwrap()).await;
    let router = world.router().await;
    let table = Table::new(&world, &router);
    let fields = |n| format!("GET / HTTP/1.1\r\n{{a}}{}\r\n", "x: 1\r\n".repeat(n));
    let long = "a".repeat(HEAD_BYTES_MAX);
    let large = [
        (431, "100 fields", fields(FIELDS_MAX)),
        (
            431,
            "64 KiB",
            format!("GET / HTTP/1.1\r\n{{a}}x: {long}\r\n\r\n"),
        ),
        (431, "64 KiB", format!("GET /{long} HTTP/1.1\r\n{{a}}\r\n")),
    ];
    let heads = HEADS
        .iter()
        .map(|(status, detail, bytes)| (*status, *detail, (*bytes).to_owned()));
    let credential = format!("host: a\r\nauthorization: Bearer {}\r\n", world.token());
    for (status, detail, bytes) in heads.chain(large) {
        let first = "GET /first HTTP/1.1\r\n{a}\r\n";
        let last = "GET /swallowed HTTP/1.1\r\n{a}\r\n";
        let sent = format!("{first}{bytes}{last}").replace("{a}", &credential);
        let said = talk(&table, &sent).await;
        let answers = match bytes.starts_with("HEAD ") {
            // Its answer has no body, and so nothing to read but its head.
            true => Answer::all(said.split("HTTP/1.1 400").next().unwrap()),
            false => Answer::all(&said),
        };
        let paths: Vec<_> = world
            .seen
            .since()
            .into_iter()
            .map(|(it, _)| it.path)
            .collect();
        assert_eq!(paths, ["/first"], "{bytes:?}");
        if bytes.starts_with("HEAD ") {
            assert!(said.ends_with("\r\n\r\n"), "{bytes:?}: {said}");
            continue;
        }
        let [first, refused] = &answers[..] else {
            panic!("{} answers to {bytes:?}", answers.len());
        };
        assert_eq!(first.status, 200, "{bytes:?}");
        assert_refused(refused, status, detail, &bytes);
    }
    let lines = router.events.of("responded");
    let malformed = lines
        .iter()
        .filter(|line| line["reason"] == "bad_request")
        .count();
    assert_eq!(malformed, HEADS.len(), "each in the access log, once");
}

/// Catches: a body that the cell takes for whole though its end was not one.
#[tokio::test]
async fn a_body_that_is_malformed_is_never_whole() {
    let world = World::up(Signer::from_seed("ed", [7; 32]).unwrap()).await;
    let router = world.router().await;
    let table = Table::new(&world, &router);
    let credential = format!("host: a\r\nauthorization: Bearer {}\r\n", world.token());
    let mut trailers = "5\r\nhello\r\n0\r\n".to_owned();
    for n in 0..=FIELDS_MAX {
        write!(trailers, "x-{n}: 1\r\n").unwrap();
    }
    let many = format!("{trailers}\r\n");
    let rows = BODIES.iter().map(|(detail, bytes)| (400, *detail, *bytes));
    for (status, detail, bytes) in rows.chain([(431, "100 fields", &many[..])]) {
        let head = "POST /body HTTP/1.1\r\n{a}transfer-encoding: chunked\r\n\r\n";
        let sent = format!("{head}{bytes}").replace("{a}", &credential);
        let said = talk(&table, &sent).await;
        let answers = Answer::all(&said);
        let [refused] = &answers[..] else {
            panic!("{} answers to {bytes:?}", answers.len());
        };
        assert_refused(refused, status, detail, bytes);
        for (received, ended) in world.seen.since() {
            assert_eq!(received.path, "/body", "{bytes:?}");
            assert!(ended.is_none_or(|ended| !ended.complete), "{bytes:?}");
        }
    }
}

/// The router's own answer in its usual form, after which the connection ends.
fn assert_refused(answer: &Answer, status: u16, detail: &str, bytes: &str) {
    let reason = if status == 431 {
        "headers_too_large"
    } else {
        "bad_request"
    };
    let shown = bytes.get(..60).unwrap_or(bytes);
    assert_eq!(answer.status, status, "{shown:?}: {}", answer.body);
    assert_eq!(answer.field("connection"), Some("close"), "{shown:?}");
    assert_eq!(answer.field("x-cellway-owner"), Some("router"), "{shown:?}");
    assert_eq!(answer.field("x-cellway-reason"), Some(reason), "{shown:?}");
    let page: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    let error = &page["error"];
    assert_eq!(error["reason"], reason, "{shown:?}");
    let id = answer.field("x-cellway-request-id");
    assert_eq!(error["request_id"].as_str(), id, "{shown:?}");
    let said = error["detail"].as_str().unwrap();
    assert!(said.contains(detail), "{shown:?}: {said}");
}
