use bytes::Bytes;
use http::Version;

use super::*;

/// Feeds a guard these pieces. Returns how many bytes passed and the error that ended it.
fn feed(mut guard: Guard, pieces: &[&[u8]]) -> Scan {
    let (mut held, mut passed) = (Vec::new(), 0);
    for piece in pieces {
        held.extend_from_slice(piece);
        let scanned = guard.scan(&held);
        held.drain(..scanned.pass);
        passed += scanned.pass;
        if scanned.found.is_some() {
            return Scan {
                pass: passed,
                found: scanned.found,
            };
        }
    }
    Scan {
        pass: passed,
        found: None,
    }
}

/// Checks that the result is the same whole, byte by byte, and in any two pieces.
fn look(guard: &Guard, bytes: &[u8]) -> Scan {
    let whole = feed(guard.clone(), &[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(
        feed(guard.clone(), &single),
        whole,
        "byte by byte: {bytes:?}"
    );
    if bytes.len() < 1_000 {
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(
                feed(guard.clone(), &[head, tail]),
                whole,
                "at {cut}: {bytes:?}"
            );
        }
    }
    whole
}

fn request(bytes: &[u8]) -> Scan {
    look(&Guard::requests(), bytes)
}

fn answer_to(asked: RequestKind, bytes: &[u8]) -> Scan {
    let mut guard = Guard::answers(Limits::default());
    guard.expect_answer_to(asked);
    look(&guard, bytes)
}

fn passes(scanned: Scan, bytes: &[u8]) {
    let all = Scan {
        pass: bytes.len(),
        found: None,
    };
    assert_eq!(scanned, all, "{:?}", String::from_utf8_lossy(bytes));
}

fn head_fault(bytes: &str) -> Option<MessageError> {
    let scanned = request(bytes.as_bytes());
    match scanned.found {
        Some(Found::InHead(fault)) => {
            assert_eq!(scanned.pass, 0, "{bytes:?}");
            Some(fault)
        }
        Some(found) => panic!("{found:?} in {bytes:?}"),
        None => None,
    }
}

#[test]
fn good_requests_pass_whole_and_pipelined() {
    let good = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET /a?b=^`|{} HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost:a\r\n\r\n",
        "GET http://a:80/x HTTP/1.1\r\nhost:\ta \r\nempty:\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe\nlo",
        "POST / HTTP/1.1\r\nTransfer-Encoding: \tChunked \r\n\r\n5\r\nhe\0lo\r\nA\r\n0123456789\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n000\r\nx-sum: 1\r\ny:\r\n\r\n",
        "GET /ü HTTP/1.1\r\nx-latin: \u{e4}\r\n\r\n",
        "M-SEARCH /path HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
    ];
    for bytes in good {
        passes(request(bytes.as_bytes()), bytes.as_bytes());
    }
    let all = good.concat();
    passes(request(all.as_bytes()), all.as_bytes());
}

/// A request whose head has these lines after `Host` is refused for this error.
fn assert_head_errors(rows: &[(MessageError, &str)]) {
    let start = "GET / HTTP/1.1\r\nhost: a\r\n";
    for (error, lines) in rows {
        let found = head_fault(&format!("{start}{lines}"));
        assert_eq!(found, Some(*error), "{lines:?}");
    }
}

#[test]
fn lines_with_a_second_reading_are_refused() {
    use MessageError as F;
    assert_head_errors(&[
        (F::BareLf, "x: 1\n\r\n"),
        (F::BareLf, "x: 1\ny: 2\r\n\r\n"),
        (F::BareLf, "\n"),
        (F::BareCr, "x: 1\ry: 2\r\n\r\n"),
        (F::BareCr, "x: 1\r\r\n\r\n"),
        (F::BareCr, "\rx: 1\r\n\r\n"),
        (F::Control, "x: 1\0\r\n\r\n"),
        (F::Control, "x: \x0b1\r\n\r\n"),
        (F::Control, "x: \x7f\r\n\r\n"),
        (F::Fold, " x: 1\r\n\r\n"),
        (F::Fold, "x: 1\r\n\ty\r\n\r\n"),
        (F::SpaceInName, "x : 1\r\n\r\n"),
        (F::SpaceInName, "x\t: 1\r\n\r\n"),
        (F::SpaceInName, "x y: 1\r\n\r\n"),
        (F::Name, ": 1\r\n\r\n"),
        (F::Name, "x\r\n\r\n"),
        (F::Name, "x(y): 1\r\n\r\n"),
        (F::Name, "x\0y: 1\r\n\r\n"),
        (F::Name, "x\u{e4}: 1\r\n\r\n"),
    ]);
}

#[test]
fn lengths_with_a_second_reading_are_refused() {
    use MessageError as F;
    assert_head_errors(&[
        (F::ContentLength, "content-length: +5\r\n\r\n"),
        (F::ContentLength, "content-length: 5, 5\r\n\r\n"),
        (F::ContentLength, "content-length: abc\r\n\r\n"),
        (F::ContentLength, "content-length:\r\n\r\n"),
        (F::ContentLength, "content-length: 0x5\r\n\r\n"),
        (
            F::ContentLength,
            "content-length: 18446744073709551616\r\n\r\n",
        ),
        (
            F::ContentLength,
            "content-length: 5\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            F::TransferEncoding,
            "transfer-encoding: gzip, chunked\r\n\r\n",
        ),
        (F::TransferEncoding, "transfer-encoding: identity\r\n\r\n"),
        (
            F::TransferEncoding,
            "transfer-encoding: chunked;a=b\r\n\r\n",
        ),
        (F::TransferEncoding, "transfer-encoding:\r\n\r\n"),
        (
            F::TransferEncoding,
            "transfer-encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            F::TwoLengths,
            "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
        (
            F::TwoLengths,
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
        ),
    ]);
    let http10 = "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(head_fault(http10), Some(F::TransferEncoding));
}

#[test]
fn request_lines_with_a_second_reading_are_refused() {
    use MessageError as F;
    for (fault, line) in [
        (F::BareLf, "\nGET / HTTP/1.1\r\n"),
        (F::BareCr, "\rGET / HTTP/1.1\r\n"),
        (F::BareLf, "GET / HTTP/1.1\n"),
        (F::RequestLine, "GET /\r\n"),
        (F::RequestLine, "GET  / HTTP/1.1\r\n"),
        (F::Method, "GET\t/ HTTP/1.1\r\n"),
        (F::Method, " GET / HTTP/1.1\r\n"),
        (F::Method, "G(T / HTTP/1.1\r\n"),
        (F::Method, "\x16\x03\x01\x02"),
        (
            F::Method,
            "A23456789012345678901234567890123 / HTTP/1.1\r\n",
        ),
        (F::Version, "GET / HTTP/2.0\r\n"),
        (F::Version, "GET / HTTP/1.2\r\n"),
        (F::Version, "GET / http/1.1\r\n"),
        (F::Version, "GET / HTTP/1.1 \r\n"),
        (F::Version, "GET /a b HTTP/1.1\r\n"),
        (F::Version, "PRI * HTTP/2.0\r\n"),
        (F::Fragment, "GET /pub/#/../admin HTTP/1.1\r\n"),
        (F::Fragment, "GET /?#a HTTP/1.1\r\n"),
        (F::Fragment, "GET http://a/#b HTTP/1.1\r\n"),
        (F::Target, "GET /\" HTTP/1.1\r\n"),
        (F::Target, "GET /< HTTP/1.1\r\n"),
        (F::Target, "GET /?> HTTP/1.1\r\n"),
        (F::Target, "GET /?\" HTTP/1.1\r\n"),
        (F::Target, "GET /\t HTTP/1.1\r\n"),
        (F::Target, "GET /\x7f HTTP/1.1\r\n"),
        (F::Target, "GET http:/// HTTP/1.1\r\n"),
        (F::Target, "GET ?a HTTP/1.1\r\n"),
        (F::BareCr, "GET /\rx HTTP/1.1\r\n"),
    ] {
        assert_eq!(
            head_fault(&format!("{line}host: a\r\n\r\n")),
            Some(fault),
            "{line:?}"
        );
    }
    let latin = request(b"GET /\xe4 HTTP/1.1\r\n\r\n");
    assert_eq!(latin.found, Some(Found::InHead(MessageError::Target)));
}

/// Catches: an octet that passes in a target but that the router can't read.
#[test]
fn every_target_that_passes_can_be_read() {
    for octet in 0..=u8::MAX {
        for (before, after) in [("/a", "b"), ("/?a", "b"), ("http://h/a", "b"), ("/ä", "")] {
            let target = [before.as_bytes(), &[octet], after.as_bytes()].concat();
            let head = [b"GET ", &target[..], b" HTTP/1.1\r\n\r\n"].concat();
            let passes = feed(Guard::requests(), &[&head]).found.is_none();
            let parsed = http::Uri::try_from(&target[..]).is_ok();
            let refused = matches!(octet, b'#' | b'"');
            assert_eq!(passes, parsed && !refused, "{octet:#x} in {before}{after}");
        }
    }
}

#[test]
fn an_error_in_a_body_ends_the_message() {
    use MessageError as F;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    for (fault, whole, rest) in [
        (F::ChunkSize, "", "+5\r\nhello\r\n"),
        (F::ChunkSize, "", "\r\n"),
        (F::ChunkSize, "", " 5\r\n"),
        (F::ChunkSize, "", "5 \r\n"),
        (F::ChunkSize, "", "0x5\r\n"),
        (F::ChunkSize, "", "00000000000000005\r\n"),
        (F::ChunkExtension, "", "5;a=b\r\nhello\r\n"),
        (F::ChunkExtension, "5\r\nhello\r\n", "0;a\r\n\r\n"),
        (F::BareLf, "", "5\nhello\r\n"),
        (F::BareCr, "", "5\rhello\r\n"),
        (F::ChunkEnd, "5\r\nhello", "world\r\n"),
        (F::ChunkEnd, "5\r\nhello", "\rworld\r\n"),
        (F::BareLf, "5\r\nhello", "\n0\r\n\r\n"),
        (F::BareLf, "5\r\nhello\r\n", "0\n\n"),
        (F::BareLf, "0\r\n", "x: 1\n\r\n"),
        (F::BareLf, "0\r\n", "\n"),
        (F::BareCr, "0\r\n", "x: 1\r2\r\n\r\n"),
        (F::Control, "0\r\n", "x: \0\r\n\r\n"),
        (F::Fold, "0\r\n", "x: 1\r\n 2\r\n\r\n"),
        (F::SpaceInName, "0\r\n", "x : 1\r\n\r\n"),
        (F::Name, "0\r\n", "GET / HTTP/1.1\r\n\r\n"),
    ] {
        let bytes = format!("{head}{whole}{rest}");
        let expected = match (fault, rest.starts_with("GET")) {
            (F::Name, true) => F::SpaceInName,
            _ => fault,
        };
        let scanned = request(bytes.as_bytes());
        assert_eq!(scanned.found, Some(Found::InBody(expected)), "{rest:?}");
        assert_eq!(scanned.pass, head.len() + whole.len(), "{rest:?}");
    }
}

#[test]
fn bytes_before_a_bad_head_pass() {
    let good = "POST /1 HTTP/1.1\r\ncontent-length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\n\r\n";
    let bytes = format!("{good}GET /3 HTTP/1.1\nhost: a\r\n\r\n");
    let scanned = request(bytes.as_bytes());
    assert_eq!(scanned.pass, good.len());
    assert_eq!(scanned.found, Some(Found::InHead(MessageError::BareLf)));
    let mut guard = Guard::requests();
    let first = guard.scan(bytes.as_bytes());
    assert_eq!(
        guard.scan(b"GET / HTTP/1.1\r\n\r\n").found,
        first.found,
        "for good"
    );
}

#[test]
fn sizes_are_bounded_to_the_byte_and_to_the_field() {
    let of_len = |len: usize| {
        let (start, end) = ("GET / HTTP/1.1\r\nx: ", "\r\n\r\n");
        format!("{start}{}{end}", "a".repeat(len - start.len() - end.len()))
    };
    let longest = of_len(HEAD_BYTES_MAX);
    passes(request(longest.as_bytes()), longest.as_bytes());
    assert_eq!(
        head_fault(&of_len(HEAD_BYTES_MAX + 1)),
        Some(MessageError::TooLong)
    );
    let endless = "a".repeat(2 * HEAD_BYTES_MAX);
    assert_eq!(
        head_fault(&format!("GET /{endless}")),
        Some(MessageError::TooLong)
    );

    let of_fields = |start: &str, fields| format!("{start}{}\r\n", "x: 1\r\n".repeat(fields));
    let most = of_fields("GET / HTTP/1.1\r\n", FIELDS_MAX);
    passes(request(most.as_bytes()), most.as_bytes());
    let more = of_fields("GET / HTTP/1.1\r\n", FIELDS_MAX + 1);
    assert_eq!(head_fault(&more), Some(MessageError::TooMany));

    let body = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
    let most = of_fields(body, FIELDS_MAX);
    passes(request(most.as_bytes()), most.as_bytes());
    let more = request(of_fields(body, FIELDS_MAX + 1).as_bytes());
    assert_eq!(more.found, Some(Found::InBody(MessageError::TooMany)));
    let longer = request(format!("{body}x: {endless}").as_bytes());
    assert_eq!(longer.found, Some(Found::InBody(MessageError::TooLong)));
}

#[test]
fn the_framing_of_an_answer_depends_on_its_request() {
    const JUNK: &str = "junk";
    let other = |head: &str, rest: &str| {
        let bytes = format!("{head}{rest}");
        answer_to(RequestKind::Other, bytes.as_bytes())
    };
    let unasked = Some(Found::InHead(MessageError::Unasked));
    // Each ends where the rest begins.
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 200\r\ncontent-length: 2, 2\r\n\r\nhi",
        "HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 103 Early\r\nlink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ] {
        let scanned = other(head, JUNK);
        assert_eq!(
            (scanned.pass, scanned.found),
            (head.len(), unasked),
            "{head}"
        );
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
    let scanned = answer_to(RequestKind::Head, format!("{head}{JUNK}").as_bytes());
    assert_eq!((scanned.pass, scanned.found), (head.len(), unasked));
    // These go on to the end of the connection.
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\nx: 1\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: Identity\r\n\r\n",
    ] {
        let all = format!("{head}\r\n\n\0whatever");
        passes(other(&all, ""), all.as_bytes());
    }
    let quiet = look(
        &Guard::answers(Limits::default()),
        b"HTTP/1.1 408 Timeout\r\n\r\n",
    );
    assert_eq!((quiet.pass, quiet.found), (0, unasked));
}

#[test]
fn answers_with_a_second_reading_are_refused() {
    use MessageError as F;
    for (fault, head) in [
        (F::StatusLine, "SSH-2.0-x\r\n"),
        (F::StatusLine, "\r\nHTTP/1.1 200 OK\r\n\r\n"),
        (F::StatusLine, "HTTP/1.1 20 OK\r\n\r\n"),
        (F::StatusLine, "HTTP/1.1 099 OK\r\n\r\n"),
        (F::StatusLine, "HTTP/1.1 2000 OK\r\n\r\n"),
        (F::StatusLine, "HTTP/1.1  200 OK\r\n\r\n"),
        (F::Version, "HTTP/1.3 200 OK\r\n\r\n"),
        (F::BareCr, "HTTP/1.1 200 O\rK\r\n\r\n"),
        (F::BareLf, "HTTP/1.1 200 OK\n\r\n"),
        (F::BareLf, "HTTP/1.1 200 OK\r\nx: 1\n\r\n"),
        (F::Fold, "HTTP/1.1 200 OK\r\nx: 1\r\n 2\r\n\r\n"),
        (F::SpaceInName, "HTTP/1.1 200 OK\r\nx : 1\r\n\r\n"),
        (
            F::ContentLength,
            "HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\n",
        ),
        (
            F::ContentLength,
            "HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\n",
        ),
        (
            F::ContentLength,
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        ),
        (
            F::TransferEncoding,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        ),
        (
            F::TransferEncoding,
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
    ] {
        let scanned = answer_to(RequestKind::Other, head.as_bytes());
        assert_eq!(scanned.found, Some(Found::InHead(fault)), "{head:?}");
        assert_eq!(scanned.pass, 0);
    }
}

#[test]
fn nothing_passes_after_a_request_to_switch_until_it_is_answered() {
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    let next = b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    let asked = || {
        let mut guard = Guard::requests();
        let bytes = [&ask[..], next].concat();
        let scanned = guard.scan(&bytes);
        assert_eq!((scanned.pass, scanned.found), (ask.len(), None));
        assert!(guard.asks_to_switch());
        // Even bytes that are no request.
        assert_eq!(guard.scan(b"\0\n\n").pass, 0);
        guard
    };
    let mut stays = asked();
    stays.stays();
    assert_eq!(stays.scan(next).pass, next.len());
    assert!(!stays.asks_to_switch());
    let found = stays.scan(b"\0\n\n").found;
    assert!(found.is_some(), "a next request is guarded again");
}

#[test]
fn a_request_with_a_body_or_of_http_1_0_does_not_switch() {
    let old = b"GET / HTTP/1.0\r\nHost: a\r\nUpgrade: x\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    let mut guard = Guard::requests();
    passes(guard.scan(old), old);
    assert!(!guard.asks_to_switch(), "HTTP/1.0 has no switch");
    for body in [
        "Content-Length: 1\r\n\r\nx",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n{body}");
        let mut guard = Guard::requests();
        passes(guard.scan(bytes.as_bytes()), bytes.as_bytes());
        assert!(!guard.asks_to_switch(), "{bytes}");
    }
}

/// What a proxy passes on of the head of an interim answer.
fn interim(head: &[u8]) -> Option<Interim> {
    let head = AnswerHead::read(&Bytes::copy_from_slice(head))?;
    Interim::new(head.status, head.headers)
}

/// The interim answers that a guard finds, and what a proxy passes on of each.
fn interims(bytes: &str) -> Vec<Option<String>> {
    let mut guard = Guard::answers(Limits::default());
    guard.expect_answer_to(RequestKind::Other);
    let passed_on = |head: &str| {
        let mut bytes = Vec::new();
        interim(head.as_bytes())?.write(&mut bytes);
        String::from_utf8(bytes).ok()
    };
    let parts = parts(&mut guard, bytes.as_bytes()).into_iter();
    let interims = parts.filter(|(part, ..)| *part == Part::Interim);
    interims.map(|(_, head, _)| passed_on(&head)).collect()
}

#[test]
fn interim_answers_are_passed_on_without_a_length() {
    let answers = "HTTP/1.1 103 Hints\r\nlink: </a>\r\nLink:  </b> \r\ncontent-length: 3\r\n\r\n\
                   HTTP/1.1 102\r\ntransfer-encoding: chunked\r\nupgrade: x\r\n\r\n\
                   HTTP/1.1 199 Own words\r\nx:\r\n\r\n\
                   HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let passed = [
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 199 \r\nx: \r\n\r\n",
    ];
    assert_eq!(interims(answers), passed.map(|head| Some(head.to_owned())));
}

/// Catches: a second answer to the router's own `100 Continue`, and a final answer or a switch that is
/// taken for an interim answer.
#[test]
fn neither_100_nor_101_is_passed_on() {
    assert_eq!(interims("HTTP/1.1 100 Continue\r\n\r\n"), [None]);
    for status in ["101 Switching Protocols", "200 OK", "204 No Content"] {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        assert!(interims(&head).is_empty(), "{status}");
        assert_eq!(interim(head.as_bytes()), None, "{status}");
    }
}

/// Catches: a cell that keeps the router busy with interim answers without end, or a limit that counts
/// those of all requests.
#[test]
fn interim_answers_to_one_request_are_bounded() {
    let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n";
    let last = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let mut guard = Guard::answers(Limits::default());
    for _ in 0..2 {
        guard.expect_answer_to(RequestKind::Other);
        let mut answer = interim.repeat(INTERIMS_MAX.into());
        answer.extend_from_slice(last);
        assert_eq!(guard.scan(&answer).found, None);
    }
    guard.expect_answer_to(RequestKind::Other);
    let scanned = guard.scan(&interim.repeat(usize::from(INTERIMS_MAX) + 1));
    assert_eq!(scanned.pass, interim.len() * usize::from(INTERIMS_MAX));
    let found = Found::InHead(MessageError::TooManyInterims);
    assert_eq!(scanned.found, Some(found));
}

/// The parts of these bytes, each with what follows it.
fn parts(guard: &mut Guard, bytes: &[u8]) -> Vec<(Part, String, Rest)> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some((part, len)) = guard.next(&bytes[at..]).unwrap() {
        let text = String::from_utf8_lossy(&bytes[at..at + len]).into_owned();
        parts.push((part, text, guard.rest()));
        at += len;
    }
    assert_eq!(at, bytes.len());
    parts
}

/// Catches: framing that is taken for bytes of a body, and a message whose end isn't seen.
#[test]
fn each_part_says_what_it_is_and_what_follows() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks = "HTTP/1.1 103 Hints\r\n\r\n".to_owned() + head + "2\r\nhi\r\n0\r\nx: 1\r\n\r\n";
    let mut guard = Guard::answers(Limits::default());
    guard.expect_answer_to(RequestKind::Other);
    let expected = [
        (Part::Interim, "HTTP/1.1 103 Hints\r\n\r\n", Rest::Nothing),
        (Part::Head, head, Rest::Framing),
        (Part::Framing, "2\r\n", Rest::Chunk),
        (Part::Data, "hi", Rest::Framing),
        (Part::Framing, "\r\n", Rest::Framing),
        (Part::Framing, "0\r\n", Rest::Framing),
        (Part::Trailers, "x: 1\r\n\r\n", Rest::Nothing),
    ];
    let expected = expected.map(|(part, text, rest)| (part, text.to_owned(), rest));
    assert_eq!(parts(&mut guard, chunks.as_bytes()), expected);
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
    guard.expect_answer_to(RequestKind::Other);
    let expected = [
        (Part::Head, head.to_owned(), Rest::Length(3)),
        (Part::Data, "hi".to_owned(), Rest::Length(1)),
    ];
    assert_eq!(parts(&mut guard, format!("{head}hi").as_bytes()), expected);
    let mut guard = Guard::answers(Limits::default());
    guard.expect_answer_to(RequestKind::Other);
    let expected = [
        (
            Part::Head,
            "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
            Rest::UntilClose,
        ),
        (Part::Data, "hi".to_owned(), Rest::UntilClose),
    ];
    assert_eq!(parts(&mut guard, b"HTTP/1.1 200 OK\r\n\r\nhi"), expected);
}

#[test]
fn a_head_that_passed_is_read_without_its_spaces() {
    let head = Bytes::from_static(b"HTTP/1.0 404 No\r\nX-A: \t 1 2 \t\r\nx-a:\r\n\r\n");
    let read = AnswerHead::read(&head).unwrap();
    assert_eq!(
        (read.status.as_u16(), read.version),
        (404, Version::HTTP_10)
    );
    let values: Vec<_> = read.headers.get_all("x-a").iter().collect();
    assert_eq!(values, ["1 2", ""]);
    for broken in [
        "",
        "HTTP/1.1",
        "HTTP/2.0 200\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
        "HTTP/1.1 200\r\nx\r\n\r\n",
    ] {
        let broken = Bytes::from_static(broken.as_bytes());
        assert!(AnswerHead::read(&broken).is_none(), "{broken:?}");
    }
}
