use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use http::HeaderMap;

use super::*;
use crate::data_plane::incoming::messages::{ROOM_FIRST, ROOM_MAX};

/// A connection, and the cell's end of it.
fn connected() -> (Box<Answers>, DuplexStream) {
    let (here, there) = duplex(64 * 1024);
    let limits = Limits {
        bytes: 16 * 1024,
        fields: 100,
    };
    (Box::new(Answers::new(Io::new(here), limits)), there)
}

/// What a client would get of an answer.
#[derive(PartialEq, Eq, Debug, Default)]
struct Got {
    head: String,
    interims: Vec<u16>,
    body: String,
    trailers: Option<String>,
    /// Why it broke off.
    error: Option<String>,
    /// Whether another request may follow.
    reusable: bool,
}

fn lines(headers: &HeaderMap) -> String {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{name}={}", String::from_utf8_lossy(value.as_bytes()))
    };
    headers.iter().map(line).collect::<Vec<_>>().join("|")
}

/// Reads the answer to a request with this method. The cell says these pieces, each once the one before
/// was read, and closes then if `closes` is set.
async fn read(method: &Method, pieces: &[&[u8]], closes: bool) -> Got {
    let (mut answers, mut cell) = connected();
    answers.expect(method);
    let said = async move {
        for piece in pieces {
            cell.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        (!closes).then_some(cell)
    };
    let mut got = Got::default();
    let reading = async {
        let mut interims = Vec::new();
        let hear = &mut |interim: Interim, _| interims.push(interim.status.as_u16());
        let head = poll_fn(|cx| answers.poll_head(cx, &mut *hear)).await?;
        got.interims = interims;
        got.head = format!(
            "{:?} {} {}",
            head.version,
            head.status.as_u16(),
            lines(&head.headers)
        );
        let mut body = AnswerBody::new(answers);
        while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
            match frame?.into_data() {
                Ok(data) => got.body += std::str::from_utf8(&data).unwrap(),
                Err(frame) => got.trailers = frame.into_trailers().ok().map(|it| lines(&it)),
            }
        }
        assert!(body.is_end_stream(), "{:?}", got.head);
        got.reusable = body.into_answers().is_reusable();
        Ok::<_, ReadError>(())
    };
    let both = async { tokio::join!(said, reading) };
    let both = timeout(Duration::from_secs(1), both).await;
    let (_cell, read) = both.expect("the end of the answer is seen");
    got.error = read.err().map(|error| error.to_string());
    got
}

/// The answer, and whether its end is that of the connection.
const WHOLE: [(&str, bool); 11] = [
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: \t a b \r\n\r\nhello",
        false,
    ),
    ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        false,
    ),
    (
        "HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n0\r\nx-sum: 7\r\nx-sum: 8\r\n\r\n",
        false,
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-sum: 7\r\n\r\n",
        false,
    ),
    ("HTTP/1.1 204 No Content\r\n\r\n", false),
    (
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
        false,
    ),
    (
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        false,
    ),
    (
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi",
        false,
    ),
    (
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end",
        true,
    ),
    ("HTTP/1.0 200 OK\r\n\r\n", true),
];

/// Catches: an answer that means something else if the network cuts it in another place.
#[tokio::test(start_paused = true)]
async fn an_answer_is_the_same_however_its_bytes_come() {
    let mut seen = String::new();
    for (answer, closes) in WHOLE {
        let whole = read(&Method::GET, &[answer.as_bytes()], closes).await;
        for cut in 1..answer.len() {
            let (front, back) = answer.as_bytes().split_at(cut);
            let got = read(&Method::GET, &[front, back], closes).await;
            assert_eq!(got, whole, "cut at {cut}");
        }
        let single: Vec<_> = answer.as_bytes().chunks(1).collect();
        assert_eq!(read(&Method::GET, &single, closes).await, whole);
        seen += &format!(
            "{}; interims {:?}; body {:?}; trailers {:?}; {:?}; reusable {}\n",
            whole.head, whole.interims, whole.body, whole.trailers, whole.error, whole.reusable
        );
    }
    let expected = "\
HTTP/1.1 200 content-length=5|x=a b; interims []; body \"hello\"; trailers None; None; reusable true
HTTP/1.1 200 content-length=0; interims []; body \"\"; trailers None; None; reusable true
HTTP/1.1 200 transfer-encoding=chunked; interims []; body \"hello\"; trailers None; None; reusable true
HTTP/1.1 200 transfer-encoding=chunked; interims []; body \"h\"; trailers Some(\"x-sum=7|x-sum=8\"); None; reusable true
HTTP/1.1 200 transfer-encoding=chunked; interims []; body \"\"; trailers Some(\"x-sum=7\"); None; reusable true
HTTP/1.1 204 ; interims []; body \"\"; trailers None; None; reusable true
HTTP/1.1 304 content-length=5; interims []; body \"\"; trailers None; None; reusable true
HTTP/1.1 200 content-length=2; interims [103]; body \"hi\"; trailers None; None; reusable true
HTTP/1.0 200 connection=keep-alive|content-length=2; interims []; body \"hi\"; trailers None; None; reusable true
HTTP/1.1 200 connection=close; interims []; body \"to the end\"; trailers None; None; reusable false
HTTP/1.0 200 ; interims []; body \"\"; trailers None; None; reusable false
";
    assert_eq!(seen, expected);
}

/// Catches: an answer that is cut and looks whole.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_cut_breaks_off() {
    for (answer, closes) in WHOLE {
        if closes {
            continue;
        }
        for cut in 1..answer.len() {
            let front = &answer.as_bytes()[..cut];
            let got = read(&Method::GET, &[front], true).await;
            assert!(got.error.is_some(), "{answer:?} cut at {cut}: {got:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_head_has_no_body() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    let got = read(&Method::HEAD, &[answer], false).await;
    assert_eq!((&*got.body, got.error, got.reusable), ("", None, true));
}

/// Catches: bytes that the next request would take for its answer.
#[tokio::test(start_paused = true)]
async fn a_connection_on_which_more_came_is_not_used_again() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    let twice = [&answer[..], answer].concat();
    let got = read(&Method::GET, &[&twice], false).await;
    assert_eq!((&*got.body, got.error, got.reusable), ("hi", None, false));
    let (mut answers, mut cell) = connected();
    answers.is_quiet().unwrap();
    cell.write_all(answer).await.unwrap();
    let unasked = ReadError::Malformed(MessageError::Unasked);
    let told = answers.is_quiet().unwrap_err().to_string();
    assert_eq!(told, unasked.to_string());
    assert!(answers.is_quiet().is_err(), "what came is kept");
}

/// Catches: an answer that a reset has cut and that passes as complete. If a write fails first, the writer
/// gets the connection's error, and the reader only finds the end.
#[tokio::test]
async fn an_end_after_a_failed_write_ends_no_answer() {
    for fails in [false, true] {
        let (mut answers, mut cell) = connected();
        answers.expect(&Method::GET);
        cell.write_all(b"HTTP/1.1 200 OK\r\n\r\npart")
            .await
            .unwrap();
        drop(cell);
        if fails {
            answers.io.write_all(b"body").await.unwrap_err();
        }
        poll_fn(|cx| answers.poll_head(cx, |_, _| ()))
            .await
            .unwrap();
        let mut body = AnswerBody::new(answers);
        let data = poll_fn(|cx| body.poll_frame(cx)).await.unwrap().unwrap();
        assert_eq!(data.into_data().unwrap(), "part");
        let end = poll_fn(|cx| body.poll_frame(cx)).await;
        let cut = end.map(|it| matches!(it, Err(ReadError::Cut)));
        assert_eq!(cut, fails.then_some(true));
    }
}

/// Catches: a request that is sent on a connection that its cell is about to close, and a new connection for
/// each request to a cell that keeps them open.
#[tokio::test(start_paused = true)]
async fn a_cell_says_whether_it_keeps_the_connection() {
    for (version, options, keeps) in [
        ("1.1", &[][..], true),
        ("1.1", &["keep-alive"], true),
        ("1.1", &["close"], false),
        ("1.1", &["Close"], false),
        ("1.1", &["x, \tclose "], false),
        ("1.1", &["x", "close"], false),
        ("1.1", &["closed"], true),
        ("1.0", &[], false),
        ("1.0", &["Keep-Alive"], true),
        ("1.0", &["x,keep-alive"], true),
        ("1.0", &["keep-alive, close"], false),
    ] {
        let lines = options.iter().map(|it| format!("connection: {it}\r\n"));
        let lines = lines.collect::<String>();
        let answer = format!("HTTP/{version} 200 OK\r\n{lines}content-length: 2\r\n\r\nhi");
        let got = read(&Method::GET, &[answer.as_bytes()], false).await;
        assert_eq!((got.error, got.reusable), (None, keeps), "{answer:?}");
    }
}

/// Catches: the rest of an answer that the next request would take for its own.
#[tokio::test]
async fn a_connection_with_the_rest_of_an_answer_is_not_used_again() {
    let (mut answers, mut cell) = connected();
    answers.expect(&Method::GET);
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha";
    cell.write_all(answer).await.unwrap();
    poll_fn(|cx| answers.poll_head(cx, |_, _| ()))
        .await
        .unwrap();
    let mut body = AnswerBody::new(answers);
    let frame = poll_fn(|cx| body.poll_frame(cx)).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap()[..], *b"ha");
    assert!(!body.into_answers().is_reusable());
}

/// Catches: a request that is sent on a connection that its cell has closed.
#[tokio::test]
async fn a_closed_connection_is_noticed() {
    let (mut answers, cell) = connected();
    answers.is_quiet().unwrap();
    drop(cell);
    let told = answers.is_quiet().unwrap_err();
    assert!(matches!(told, ReadError::Closed), "{told}");
}

#[tokio::test]
async fn only_a_byte_that_comes_counts_as_heard() {
    let (mut answers, mut cell) = connected();
    answers.expect(&Method::GET);
    assert!(!answers.has_heard());
    cell.write_all(b"H").await.unwrap();
    let pending = poll_fn(|cx| Poll::Ready(answers.poll_head(cx, |_, _| ()).is_pending()));
    assert!(pending.await && answers.has_heard());
    answers.expect(&Method::GET);
    assert!(!answers.has_heard());
}

/// Catches: the first bytes of a tunnel lost because they came with the answer.
#[tokio::test]
async fn the_bytes_after_a_switch_are_all_there() {
    let (mut answers, mut cell) = connected();
    answers.expect(&Method::GET);
    let head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nfirst ";
    cell.write_all(head).await.unwrap();
    let head = poll_fn(|cx| answers.poll_head(cx, |_, _| ()))
        .await
        .unwrap();
    assert_eq!(head.status.as_u16(), 101);
    let mut bytes = SwitchedBytes::from(AnswerBody::new(answers));
    cell.write_all(b"second").await.unwrap();
    drop(cell);
    let mut read = String::new();
    bytes.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "first second");
}

/// Catches: an answer for which memory is held although its client reads slowly, or that takes a read for
/// each few bytes.
#[tokio::test]
async fn reads_become_larger_while_they_fill_their_room() {
    let (mut answers, cell) = connected();
    assert_eq!(answers.messages.room, ROOM_FIRST);
    answers.expect(&Method::GET);
    let saying = async move {
        let mut cell = cell;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
        cell.write_all(head).await.unwrap();
        cell.write_all(&vec![b'x'; 1_000_000]).await.unwrap();
        cell
    };
    let reading = async move {
        poll_fn(|cx| answers.poll_head(cx, |_, _| ()))
            .await
            .unwrap();
        let mut body = AnswerBody::new(answers);
        let mut bytes = 0;
        while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
            bytes += frame.unwrap().into_data().unwrap().len();
        }
        (body, bytes)
    };
    let (_cell, (body, bytes)) = tokio::join!(saying, reading);
    assert_eq!(bytes, 1_000_000);
    let mut answers = body.into_answers();
    assert!(answers.messages.room > ROOM_FIRST && answers.messages.room <= ROOM_MAX);
    answers.rest();
    assert_eq!(
        (answers.messages.room, answers.messages.came.capacity()),
        (ROOM_FIRST, 0)
    );
}
