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
const REFUSED: &str = "the cell has not processed the request";
/// Not a detail: the answer has begun, and is cut.
const CUT: &str = "cut";

/// What one request makes the router tell: the log, and the client.
async fn told(world: &World) -> (String, String) {
    let answer = world.client(Protocol::Http1).send(Request::get("/")).await;
    let client = answer.map_or(CUT.to_owned(), |answer| {
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

/// What a cell does, what the log says, and the detail for the client.
type Row<C> = (C, &'static str, &'static str);

/// Notes it if a row isn't what the router tells.
fn check(
    failed: &mut Vec<String>,
    what: &str,
    (log, detail): (&str, &str),
    told: (String, String),
) {
    let client = match detail {
        CUT => CUT.to_owned(),
        SILENT => format!("cell_reset: {detail}"),
        REFUSED => format!("cell_refused: {detail}"),
        detail => format!("cell_protocol_error: {detail}"),
    };
    if !told.0.contains(log) || told.1 != client {
        failed.push(format!("{what}\n  {}\n  {}", told.0, told.1));
    }
}

const HTTP1: [Row<&str>; 15] = [
    ("SSH-2.0-OpenSSH\r\n\r\n", "the status line", MALFORMED),
    ("HTTP/1.1 2x0 OK\r\n\r\n", "the status line", MALFORMED),
    (
        "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        "a space in a field's name",
        MALFORMED,
    ),
    (
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "a space in a field's name",
        MALFORMED,
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        "Content-Length",
        MALFORMED,
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nok",
        "a Content-Length that isn't one number",
        MALFORMED,
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok",
        "a Transfer-Encoding other than chunked",
        MALFORMED,
    ),
    (
        "HTTP/1.1 200 OK\r\nconnection: content-type\r\n\r\n",
        "Connection",
        MALFORMED,
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        "a chunk size that isn't",
        BROKE,
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nx\r\n",
        "a chunk size that isn't",
        CUT,
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokok",
        "a chunk that is longer than its size",
        CUT,
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok",
        "closed the connection in the middle of its answer",
        CUT,
    ),
    (
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "101 without an upgrade",
        MALFORMED,
    ),
    ("", "closed the connection before its answer", SILENT),
    (
        "HTTP/1.1 200 OK\r\n",
        "closed the connection before its answer",
        SILENT,
    ),
];

/// Catches: a message that blames a closed connection for a malformed answer, or the limits of requests
/// for an answer.
#[tokio::test]
async fn each_mistake_of_an_http1_cell_is_named() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: x\r\n".repeat(101));
    let interims = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(101);
    let too_much: [Row<&str>; 3] = [
        (&interims, "more than 100 interim answers", MALFORMED),
        (&long, "upstream.answer_header_bytes_max", MALFORMED),
        (&many, "upstream.answer_header_fields_max", MALFORMED),
    ];
    let mut failed = Vec::new();
    for (answer, log, detail) in HTTP1.into_iter().chain(too_much) {
        let world = before("http", says(answer.as_bytes(), End::Closed).await).await;
        let what = answer.get(..60).unwrap_or(answer);
        check(&mut failed, what, (log, detail), told(&world).await);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// A reset instead of an answer.
const RESETS: [Row<u32>; 4] = [
    (
        INTERNAL_ERROR,
        "stream error received: unexpected internal error",
        SILENT,
    ),
    (
        PROTOCOL_ERROR,
        "stream error received: unspecific protocol error",
        SILENT,
    ),
    (
        CANCEL,
        "stream error received: stream no longer needed",
        SILENT,
    ),
    (
        REFUSED_STREAM,
        "stream error received: refused stream",
        REFUSED,
    ),
];

/// A field of a header that ends the stream.
const FIELDS: [Row<(&str, &str)>; 5] = [
    (("Upper", "b"), "protocol error", MALFORMED),
    (("a", " b"), "begins or ends with whitespace", MALFORMED),
    (("connection", "close"), "protocol error", MALFORMED),
    (("content-length", "2, 2"), "protocol error", MALFORMED),
    (("content-length", "3"), "protocol error", MALFORMED),
];

#[tokio::test]
async fn each_mistake_of_an_http2_cell_is_named() {
    let begun = |last| vec![head(&[], false), Step::Data(b"ok", false), last];
    let long = "x".repeat(70_000);
    let others: Vec<Row<Vec<Step>>> = vec![
        (
            vec![Step::Fields(trailers_of(&[("a", "b")]), true)],
            "protocol error",
            MALFORMED,
        ),
        (
            vec![head(&[("x", &long)], true)],
            "upstream.answer_header_bytes_max",
            MALFORMED,
        ),
        (
            vec![Step::Fields(interim_of("101", &[]), false)],
            "a 101 over HTTP/2",
            MALFORMED,
        ),
        (
            begun(trailers(&[("a", " b")])),
            "begins or ends with whitespace",
            CUT,
        ),
        (
            begun(Step::Reset(INTERNAL_ERROR)),
            "stream error received: unexpected internal error",
            CUT,
        ),
        (vec![Step::Close], "broken pipe", SILENT),
    ];
    let resets = RESETS.map(|(code, log, detail)| (vec![Step::Reset(code)], log, detail));
    let fields = FIELDS.map(|(field, log, detail)| (vec![head(&[field], true)], log, detail));
    let mut failed = Vec::new();
    for (steps, log, detail) in resets.into_iter().chain(fields).chain(others) {
        let what = format!("{steps:?}").chars().take(90).collect::<String>();
        let world = before("h2c", does(steps).await).await;
        check(&mut failed, &what, (log, detail), told(&world).await);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
