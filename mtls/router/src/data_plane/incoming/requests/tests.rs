use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, timeout};

use super::*;

/// A client's connection without timers or notes.
struct Wire(DuplexStream);

impl ClientStream for Wire {
    fn poll_ahead(&mut self, _: &mut Context<'_>) -> io::Result<bool> {
        Ok(false)
    }

    fn send_interims(&mut self, _: &mut Context<'_>) {}

    fn notes_read(&self) {}
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn connected() -> (ClientBytes, DuplexStream) {
    let (here, there) = duplex(64 * 1024);
    (ClientBytes::new(Wire(here)), there)
}

/// What the future returns once its task is woken. Time stands still until nothing more can happen.
async fn woken<F: Future>(future: F) -> F::Output {
    let began = Instant::now();
    let output = timeout(Duration::from_secs(1), future).await;
    assert_eq!(began.elapsed(), Duration::ZERO, "the task is woken");
    output.expect("the time has not passed")
}

async fn next(bytes: &ClientBytes) -> Result<Option<Asked>, ReadError> {
    woken(poll_fn(|cx| bytes.poll_request(cx))).await
}

/// Whether the next request has to wait.
async fn waits(bytes: &ClientBytes) -> bool {
    poll_fn(|cx| Poll::Ready(bytes.poll_request(cx).is_pending())).await
}

async fn frame(body: &mut Incoming) -> Option<Result<Bytes, String>> {
    let frame = poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut *body), cx));
    woken(frame).await.map(|frame| {
        let frame = frame.map_err(|error| error.to_string())?;
        Ok(frame.into_data().unwrap_or_default())
    })
}

const POST: &[u8] = b"POST /1 HTTP/1.1\r\ncontent-length: 2\r\n\r\n";
const GET: &[u8] = b"GET /2?q HTTP/1.1\r\nx: \t1 \r\nX: 2\r\n\r\n";

/// Catches: a request that means something else than its bytes say, or that changes with how they come.
#[tokio::test(start_paused = true)]
async fn requests_are_read_one_after_the_other_however_they_are_cut() {
    let all = [b"\r\n", POST, b"hi", GET, POST, b"ho"].concat();
    for cut in 0..all.len() {
        let (bytes, mut client) = connected();
        let (start, end) = all.split_at(cut);
        client.write_all(start).await.unwrap();
        let said = async {
            tokio::task::yield_now().await;
            client.write_all(end).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let reading = async {
            let mut seen = String::new();
            while let Some(asked) = next(&bytes).await.unwrap() {
                let (head, mut body) = asked.request.into_parts();
                seen += &format!("{} {} {:?}", head.method, head.uri, head.version);
                for (name, value) in &head.headers {
                    seen += &format!(" {name}={}", value.to_str().unwrap());
                }
                while let Some(data) = frame(&mut body).await {
                    seen += &format!(" {}", String::from_utf8_lossy(&data.unwrap()));
                }
                seen += "\n";
            }
            seen
        };
        let ((), seen) = tokio::join!(said, reading);
        let seen = seen.replace(" h i\n", " hi\n").replace(" h o\n", " ho\n");
        let expected = "\
POST /1 HTTP/1.1 content-length=2 hi
GET /2?q HTTP/1.1 x=1 x=2
POST /1 HTTP/1.1 content-length=2 ho
";
        assert_eq!(seen, expected, "cut at {cut}");
    }
}

/// Catches: a client that is told to send its body in the middle of its answer, or not at all.
#[tokio::test(start_paused = true)]
async fn a_client_is_told_to_send_its_body_before_its_answer_begins() {
    let expects = b"POST /1 HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    for answered in [false, true] {
        let (bytes, mut client) = connected();
        client.write_all(expects).await.unwrap();
        let asked = next(&bytes).await.unwrap().unwrap();
        if answered {
            bytes.answers();
        }
        let mut body = asked.request.into_body();
        let told = poll_fn(|cx| {
            assert!(http_body::Body::poll_frame(Pin::new(&mut body), cx).is_pending());
            Poll::Ready([bytes.awaits_body(cx), bytes.awaits_body(cx)])
        });
        assert_eq!(told.await, [!answered, false]);
    }
}

/// Catches: bytes of a request that are dropped with the memory of a large one before it.
#[tokio::test(start_paused = true)]
async fn what_came_with_a_large_request_is_kept() {
    let (bytes, mut client) = connected();
    let large = format!("GET /1 HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(40_000));
    client
        .write_all(&[large.as_bytes(), GET].concat())
        .await
        .unwrap();
    for path in ["/1", "/2?q"] {
        assert_eq!(next(&bytes).await.unwrap().unwrap().request.uri(), path);
        bytes.next();
    }
}

/// Catches: bytes of a body that are read as a request while somebody still reads the body, and a
/// connection that isn't told that it may read on.
#[tokio::test(start_paused = true)]
async fn the_next_request_waits_for_the_body() {
    let (bytes, mut client) = connected();
    client.write_all(POST).await.unwrap();
    let mut body = next(&bytes).await.unwrap().unwrap().request.into_body();
    client.write_all(&[b"hi", GET].concat()).await.unwrap();
    assert!(waits(&bytes).await);
    assert_eq!(frame(&mut body).await.unwrap().unwrap(), "hi");
    assert_eq!(next(&bytes).await.unwrap().unwrap().request.uri(), "/2?q");

    // Nobody wants it, but it is there.
    client
        .write_all(&[POST, b"hi", GET].concat())
        .await
        .unwrap();
    let body = next(&bytes).await.unwrap().unwrap();
    let (asked, ()) = tokio::join!(next(&bytes), async { drop(body) });
    assert_eq!(asked.unwrap().unwrap().request.uri(), "/2?q");
}

/// Catches: a request that is read out of the rest of a body.
#[tokio::test(start_paused = true)]
async fn no_request_follows_a_body_that_is_missing_or_malformed() {
    let chunked = b"POST /1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    for (rest, read) in [
        (&b"0\r\nx"[..], false),
        (b"zz\r\n", true),
        (b"zz\r\n", false),
    ] {
        let (bytes, mut client) = connected();
        client
            .write_all(&[&chunked[..], rest].concat())
            .await
            .unwrap();
        let mut body = next(&bytes).await.unwrap().unwrap().request.into_body();
        if read {
            assert!(frame(&mut body).await.unwrap().is_err());
        }
        drop(body);
        assert!(next(&bytes).await.is_err(), "{rest:?}");
    }
}

/// Catches: a cell that waits for the rest of a body forever, because its client's connection is gone.
#[tokio::test(start_paused = true)]
async fn a_body_breaks_off_with_its_connection() {
    let (bytes, mut client) = connected();
    client.write_all(POST).await.unwrap();
    let mut body = next(&bytes).await.unwrap().unwrap().request.into_body();
    let (cut, ()) = tokio::join!(frame(&mut body), async { bytes.close() });
    let error = cut.unwrap().unwrap_err();
    assert_eq!(
        error,
        "the client closed the connection in the middle of its request"
    );
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "the connection is closed");
}

/// Catches: a body that looks complete although bytes in its middle were discarded with those that still came
/// after an early answer.
#[tokio::test(start_paused = true)]
async fn a_body_breaks_off_if_its_connection_reads_no_more() {
    let (bytes, mut client) = connected();
    client.write_all(POST).await.unwrap();
    let mut body = next(&bytes).await.unwrap().unwrap().request.into_body();
    client.write_all(b"h").await.unwrap();
    assert_eq!(frame(&mut body).await.unwrap().unwrap(), "h");
    let (cut, ()) = tokio::join!(frame(&mut body), async { bytes.stops() });
    assert!(cut.unwrap().is_err());
    client.write_all(b"i").await.unwrap();
    assert!(frame(&mut body).await.unwrap().is_err());
}

/// Catches: a malformed request that is answered with a body although it is a `HEAD`, and one that is
/// answered as if it were good.
#[tokio::test(start_paused = true)]
async fn a_malformed_request_is_replaced() {
    for (head, method) in [("\r\nHEAD", Method::HEAD), ("GET", Method::GET)] {
        let (bytes, mut client) = connected();
        let text = format!("{head} / HTTP/1.1\nhost: a\r\n\r\n");
        client.write_all(text.as_bytes()).await.unwrap();
        let asked = next(&bytes).await.unwrap().unwrap();
        assert_eq!((asked.request.method(), asked.keeps), (&method, false));
        let fault = asked.request.extensions().get::<MessageError>();
        assert_eq!(fault, Some(&MessageError::BareLf));
    }
}

/// Catches: an idle client whose end is reported as an error, and a request that is lost without one.
#[tokio::test(start_paused = true)]
async fn only_an_end_between_requests_is_in_order() {
    for (said, in_order) in [
        (&b""[..], true),
        (b"\r\n", true),
        (b"G", false),
        (POST, false),
    ] {
        let (bytes, mut client) = connected();
        client.write_all(said).await.unwrap();
        drop(client);
        let mut asked = next(&bytes).await;
        if matches!(asked, Ok(Some(_))) {
            drop(asked);
            asked = next(&bytes).await;
        }
        assert_eq!(matches!(asked, Ok(None)), in_order, "{said:?}");
    }
}
