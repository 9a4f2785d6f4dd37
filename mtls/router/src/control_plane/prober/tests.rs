use cellway_core::health::ProbeFailure::{self, NotServing, Protocol, Status};
use http::response::Parts;
use http::{HeaderMap, Response};

use super::grpc::{judge, question};

fn head(status: u16, grpc: Option<&str>) -> Parts {
    let mut response = Response::builder().status(status);
    if let Some(grpc) = grpc {
        response = response.header("grpc-status", grpc);
    }
    response.body(()).unwrap().into_parts().0
}

fn trailers(grpc: &str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), grpc.parse().unwrap())])
}

fn judged(body: &[u8]) -> Result<(), ProbeFailure> {
    judge(&head(200, None), body, Some(&trailers("0")))
}

#[test]
fn a_question_is_a_message_with_the_services_name() {
    assert_eq!(question("")[..], [0, 0, 0, 0, 0]);
    assert_eq!(question("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    let long = "s".repeat(300);
    let asked = question(&long);
    assert_eq!(asked[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    assert_eq!(&asked[8..], long.as_bytes());
}

/// Catches: a service that counts as healthy although it says that it isn't, or says nothing.
#[test]
fn only_a_service_that_serves_is_healthy() {
    assert_eq!(judged(&[0, 0, 0, 0, 2, 8, 1]), Ok(()));
    for state in [0, 2, 3] {
        let body = [0, 0, 0, 0, 2, 8, state];
        assert_eq!(judged(&body), Err(NotServing(None)), "{state}");
    }
    // The state UNKNOWN is 0, which is left out.
    assert_eq!(judged(&[0, 0, 0, 0, 0]), Err(NotServing(None)));
    // A field that a later version may have, before and after.
    let body = [0, 0, 0, 0, 8, 0x12, 2, 9, 9, 8, 1, 0x18, 5];
    assert_eq!(judged(&body), Ok(()));
}

#[test]
fn an_answer_that_is_no_message_breaks_the_protocol() {
    let bodies: [&[u8]; 8] = [
        b"",
        &[0, 0, 0, 0],
        &[1, 0, 0, 0, 2, 8, 1],
        &[0, 0, 0, 0, 3, 8, 1],
        &[0, 0, 0, 0, 2, 8, 1, 0],
        &[0, 0, 0, 0, 1, 8],
        &[0, 0, 0, 0, 2, 0x12, 9],
        &[
            0, 0, 0, 0, 12, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        ],
    ];
    for body in bodies {
        assert_eq!(judged(body), Err(Protocol), "{body:?}");
    }
}

#[test]
fn statuses_come_before_the_message() {
    let good = [0, 0, 0, 0, 2, 8, 1];
    let judge = |head, trailers: Option<&HeaderMap>| judge(&head, &good, trailers);
    assert_eq!(judge(head(503, Some("0")), None), Err(Status(503)));
    // Trailers-only.
    let head_only = judge(head(200, Some("12")), None);
    assert_eq!(head_only, Err(NotServing(Some(12))));
    let not_found = judge(head(200, None), Some(&trailers("5")));
    assert_eq!(not_found, Err(NotServing(Some(5))));
    assert_eq!(judge(head(200, None), None), Err(Protocol));
}
