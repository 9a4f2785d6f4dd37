//! Where a body over HTTP/2 ends.

use bytes::Bytes;
use cellway_testbed::{Protocol, Request};
use http::{Method, StatusCode};

use super::{Step, before, broken, does, head, trailers, whole};
use crate::cells::played;
use crate::frames::{Came, Frames, INTERNAL_ERROR, NO_ERROR, head_of};

/// Catches: a body that counts as complete without END_STREAM, or with another length than
/// announced.
#[tokio::test]
async fn a_body_without_its_end_is_cut() {
    let ok = |last| Step::Data(b"ok", last);
    let (long, short) = ([("content-length", "1")], [("content-length", "3")]);
    for (what, steps) in [
        (
            "reset without an error",
            vec![head(&[], false), ok(false), Step::Reset(NO_ERROR)],
        ),
        (
            "reset without an error, no data",
            vec![head(&[], false), Step::Reset(NO_ERROR)],
        ),
        (
            "reset with one",
            vec![head(&[], false), ok(false), Step::Reset(INTERNAL_ERROR)],
        ),
        (
            "gone away before the stream",
            vec![head(&[], false), ok(false), Step::GoAway(0)],
        ),
        ("closed", vec![head(&[], false), ok(false), Step::Close]),
        ("longer than said", vec![head(&long, false), ok(true)]),
        ("shorter than said", vec![head(&short, false), ok(true)]),
        (
            "shorter than said, reset",
            vec![head(&short, false), ok(false), Step::Reset(NO_ERROR)],
        ),
        ("shorter than said, trailers", {
            vec![
                head(&short, false),
                ok(false),
                trailers(&[("grpc-status", "0")]),
            ]
        }),
    ] {
        let world = before("h2c", does(steps).await).await;
        broken(&world, what).await;
    }
}

#[tokio::test]
async fn a_body_is_whole_once_its_stream_has_ended() {
    let ok = |last| Step::Data(b"ok", last);
    let [length, status] = [("content-length", "2"), ("grpc-status", "7")];
    for (what, steps, said) in [
        ("ended", vec![head(&[], false), ok(true)], None),
        (
            "ended, then reset",
            vec![head(&[length], false), ok(true), Step::Reset(NO_ERROR)],
            Some("2"),
        ),
        (
            "ended by trailers, then reset",
            {
                vec![
                    head(&[], false),
                    ok(false),
                    trailers(&[status]),
                    Step::Reset(NO_ERROR),
                ]
            },
            None,
        ),
    ] {
        let world = before("h2c", does(steps).await).await;
        whole(&world, what, Method::GET, "ok", said).await;
    }
}

/// A cell that answers before the request is complete may reset the stream without an error (RFC
/// 9113, section 8.1). gRPC servers do that.
#[tokio::test]
async fn an_early_answer_is_whole_though_the_stream_is_reset() {
    let port = played(|stream| async move {
        let mut frames = Frames::greet(stream).await;
        while let Some(came) = frames.next().await {
            if let Came::Head(id) = came {
                frames.fields(id, &head_of(&[]), false).await;
                frames.data(id, b"no", true).await;
                frames.reset(id, NO_ERROR).await;
            }
        }
    });
    let world = before("h2c", port.await).await;
    let mut request = Request::get("/");
    request.method = Method::POST;
    request.body = Bytes::from(vec![0; 4 << 20]);
    let answer = world.client(Protocol::Http2).send(request).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &b"no"[..]));
}
