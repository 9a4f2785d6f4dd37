//! What the log and the client are told about a cell that breaks HTTP.

use cellway_testbed::{Protocol, Request};

use super::{End, Step, before, does, head, reason, says, trailers};
use crate::frames::{
    CANCEL, INTERNAL_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, interim_of, trailers_of,
};
use crate::world::{World, body};

const MALFORMED: &str =
    "the cell's answer is malformed or over the limits; the router's log says why";
const SILENT: &str = "the cell closed the connection or reset the stream before it answered";
const BROKE: &str = "the cell's answer broke off right after its header; the router's log says why";

/// What one request makes the router tell: the log, and the client (`cut` after an answer has begun).
async fn told(world: &World) -> (String, String) {
    let answer = world.client(Protocol::Http1).send(Request::get("/")).await;
    let client = answer.map_or("cut".to_owned(), |answer| {
        let detail = body(&answer)["error"]["detail"].clone();
        format!("{}: {}", reason(&answer), detail.as_str().unwrap())
    });
    let lines = world.events.lines();
    let why = |line: &&String| line.starts_with("because ");
    let log = lines
        .iter()
        .rfind(why)
        .map_or("", |line| &line["because ".len()..]);
    (log.to_owned(), client)
}

/// What a cell does, what the log says, the reason, and the detail for the client.
type Row<C> = (C, &'static str, &'static str, &'static str);

fn check(failed: &mut Vec<String>, what: &str, row: (&str, &str, &str), told: (String, String)) {
    let (log, reason, detail) = row;
    let client = match detail {
        "cut" => "cut".to_owned(),
        detail => format!("{reason}: {detail}"),
    };
    if !told.0.contains(log) || told.1 != client {
        failed.push(format!("{what}\n  {}\n  {}", told.0, told.1));
    }
}

/// Catches: a message that blames a closed connection for a malformed answer, or the limits of requests
/// for an answer.
#[tokio::test]
async fn each_mistake_of_an_http1_cell_is_named() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: x\r\n".repeat(101));
    let interims = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(101);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok";
    let rows: &[Row<String>] = &[
        (
            "SSH-2.0-OpenSSH\r\n\r\n".into(),
            "the status line",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            "HTTP/1.1 2x0 OK\r\n\r\n".into(),
            "the status line",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            "HTTP/1.1 200 OK\r\na b: c\r\n\r\n".into(),
            "a space in a field's name",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n".into(),
            "a space in a field's name",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok".into(),
            "Content-Length",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nok".into(),
            "a Content-Length that isn't one number",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok".into(),
            "a Transfer-Encoding other than chunked",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: content-type\r\n\r\n".into(),
            "Connection",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            format!("{chunked}x\r\n"),
            "a chunk size that isn't",
            "cell_protocol_error",
            BROKE,
        ),
        (
            format!("{chunked}2\r\nok\r\nx\r\n"),
            "a chunk size that isn't",
            "",
            "cut",
        ),
        (
            format!("{chunked}2\r\nokok"),
            "a chunk that is longer than its size",
            "",
            "cut",
        ),
        (
            half.into(),
            "closed the connection in the middle of its answer",
            "",
            "cut",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".into(),
            "101 without an upgrade",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            interims,
            "more than 100 interim answers",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            long,
            "upstream.answer_header_bytes_max",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            many,
            "upstream.answer_header_fields_max",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            String::new(),
            "closed the connection before its answer",
            "cell_reset",
            SILENT,
        ),
        (
            "HTTP/1.1 200 OK\r\n".into(),
            "closed the connection before its answer",
            "cell_reset",
            SILENT,
        ),
    ];
    let mut failed = Vec::new();
    for (answer, log, reason, detail) in rows {
        let world = before("http", says(answer.as_bytes(), End::Closed).await).await;
        let what = answer.get(..60).unwrap_or(answer);
        check(&mut failed, what, (log, reason, detail), told(&world).await);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn each_mistake_of_an_http2_cell_is_named() {
    let ok = |last| Step::Data(b"ok", last);
    let long = "x".repeat(70_000);
    let rows: Vec<Row<Vec<Step>>> = vec![
        (
            vec![Step::Reset(INTERNAL_ERROR)],
            "stream error received: unexpected internal error",
            "cell_reset",
            SILENT,
        ),
        (
            vec![Step::Reset(PROTOCOL_ERROR)],
            "stream error received: unspecific protocol error",
            "cell_reset",
            SILENT,
        ),
        (
            vec![Step::Reset(CANCEL)],
            "stream error received: stream no longer needed",
            "cell_reset",
            SILENT,
        ),
        (
            vec![Step::Reset(REFUSED_STREAM)],
            "stream error received: refused stream",
            "cell_refused",
            "the cell has not processed the request",
        ),
        (
            vec![Step::Fields(trailers_of(&[("a", "b")]), true)],
            "protocol error",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            vec![head(&[("Upper", "b")], true)],
            "protocol error",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            vec![head(&[("a", " b")], true)],
            "begins or ends with whitespace",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            vec![head(&[("connection", "close")], true)],
            "protocol error",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            vec![head(&[("content-length", "2, 2")], true)],
            "protocol error",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            vec![head(&[("content-length", "3")], true)],
            "protocol error",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            vec![head(&[("x", &long)], true)],
            "upstream.answer_header_bytes_max",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            vec![Step::Fields(interim_of("101", &[]), false)],
            "a 101 over HTTP/2",
            "cell_protocol_error",
            MALFORMED,
        ),
        (
            vec![head(&[], false), ok(false), trailers(&[("a", " b")])],
            "begins or ends with whitespace",
            "",
            "cut",
        ),
        (
            vec![head(&[], false), ok(false), Step::Reset(INTERNAL_ERROR)],
            "stream error received: unexpected internal error",
            "",
            "cut",
        ),
        (vec![Step::Close], "broken pipe", "cell_reset", SILENT),
    ];
    let mut failed = Vec::new();
    for (steps, log, reason, detail) in rows {
        let what = format!("{steps:?}").chars().take(90).collect::<String>();
        let world = before("h2c", does(steps).await).await;
        check(
            &mut failed,
            &what,
            (log, reason, detail),
            told(&world).await,
        );
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
