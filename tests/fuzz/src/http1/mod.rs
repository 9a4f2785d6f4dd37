//! The guard over the bytes of HTTP/1.1 connections.

use bytes::Bytes;
use cellway_core::http1::{
    AnswerHead, FIELDS_MAX, Found, Guard, Interim, Limits, Part, RequestKind, read_fields,
    read_request,
};

mod reader;

use self::reader::Message;

/// Any bytes as what a client sends on a connection, and as what a cell answers. The verdict is the
/// same however the bytes are cut, and what passes has one reading: a strict reader, which works on
/// whole messages and shares no code with the guard, finds the same ends. Another parser, httparse, reads
/// the same requests.
pub(crate) fn run(data: &[u8]) {
    let seed = data.iter().fold(data.len(), |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let asked = |asked| {
        let mut guard = Guard::answers(Limits::default());
        guard.expect_answer_to(asked);
        guard
    };
    let guards = [
        Guard::requests(),
        asked(RequestKind::Other),
        asked(RequestKind::Head),
    ];
    for (guard, message) in guards.into_iter().zip(Message::ALL) {
        let (passed, found) = feed(guard.clone(), data, data.len().max(1));
        for size in [1, 2 + seed % 7, 16 + seed % 61] {
            let cut = feed(guard.clone(), data, size);
            assert_eq!(cut, (passed, found), "in pieces of {size}");
        }
        reader::check(message, &data[..passed]);
    }
    for kind in [RequestKind::Other, RequestKind::Head] {
        reads(asked(kind), data);
    }
    reads_requests(data);
}

/// Reads the heads of the requests that the guard passes, as the router does and as httparse does.
fn reads_requests(data: &[u8]) {
    let (mut guard, mut rest) = (Guard::requests(), data);
    while let Ok(Some((part, len))) = guard.next(rest) {
        let (bytes, after) = rest.split_at(len);
        match part {
            Part::Head => reads_request(bytes),
            Part::Trailers => assert!(read_fields(&Bytes::copy_from_slice(bytes)).is_some()),
            Part::Interim => panic!("no request is an interim answer"),
            Part::Data | Part::Framing => {}
        }
        rest = after;
        guard.stays();
    }
}

fn reads_request(head: &[u8]) {
    let request = read_request(&Bytes::copy_from_slice(head));
    let request = request.expect("what passes as a head is one");
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut other = httparse::Request::new(&mut fields);
    let parsed = other.parse(head);
    assert_eq!(parsed, Ok(httparse::Status::Complete(head.len())));
    assert_eq!(Some(request.method().as_str()), other.method);
    let target: http::Uri = (other.path.unwrap_or_default().parse()).expect("a target");
    assert_eq!(*request.uri(), target);
    let minor = u8::from(request.version() == http::Version::HTTP_11);
    assert_eq!(Some(minor), other.version);
    // The map keeps the order of fields with one name, not of all.
    let mut ours: Vec<_> = (request.headers().iter())
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes()))
        .collect();
    let mut theirs: Vec<_> = (other.headers.iter())
        .map(|field| (field.name.to_ascii_lowercase(), field.value))
        .collect();
    ours.sort_by(|a, b| a.0.cmp(&b.0));
    theirs.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(ours, theirs);
}

/// Reads the heads and trailers of the answers that the guard passes.
fn reads(mut guard: Guard, data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((part, len))) = guard.next(rest) {
        let (bytes, after) = rest.split_at(len);
        let bytes = Bytes::copy_from_slice(bytes);
        match part {
            Part::Head => assert!(AnswerHead::read(&bytes).is_some()),
            Part::Interim => interim(&bytes),
            Part::Trailers => assert!(read_fields(&bytes).is_some()),
            Part::Data | Part::Framing => {}
        }
        rest = after;
    }
}

/// Shows the bytes in pieces of this size. How many passed, and what was found.
fn feed(mut guard: Guard, data: &[u8], size: usize) -> (usize, Option<Found>) {
    let (mut passed, mut shown) = (0, 0);
    while shown < data.len() {
        shown = (shown + size).min(data.len());
        let scanned = guard.scan(&data[passed..shown]);
        assert!(scanned.pass <= shown - passed, "more than there is");
        passed += scanned.pass;
        if scanned.found.is_some() {
            return (passed, scanned.found);
        }
    }
    (passed, None)
}

/// What a proxy passes on of the head of an interim answer.
fn read(head: &Bytes) -> Option<Interim> {
    let head = AnswerHead::read(head);
    let head = head.expect("what passes as a head is one");
    Interim::new(head.status, head.headers)
}

/// What a proxy passes on of an interim answer is one too, and reads the same.
fn interim(head: &Bytes) {
    let Some(interim) = read(head) else {
        return;
    };
    let mut bytes = Vec::new();
    interim.write(&mut bytes);
    let mut guard = Guard::answers(Limits {
        bytes: usize::MAX,
        ..Limits::default()
    });
    guard.expect_answer_to(RequestKind::Other);
    let bytes = Bytes::from(bytes);
    assert_eq!(guard.next(&bytes), Ok(Some((Part::Interim, bytes.len()))));
    assert_eq!(read(&bytes), Some(interim));
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\nPOST /x?y HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET * HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\na\r\n0123456789\r\n0\r\nsum: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "\r\nGET http://a:80/ HTTP/1.1\r\nhost: a:80\r\nx:\t1 \r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nhi",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nLink:\t</b> \r\ncontent-length: 1\r\n\r\nHTTP/1.1 200\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nto the end",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\nhost: a\n\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nx: 1\n\r\n",
        "GET / HTTP/1.1\r\nx : 1\r\ny\r\n z\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
