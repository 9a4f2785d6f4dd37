use bytes::Bytes;
use cellway_core::health::{FailingAnswers, Outcome};
use http::Response;
use http_body_util::{Either, Empty, Full};

use super::{Scope, outcome};
use crate::data_plane::pool::Failed;
use crate::shares::HolderTag;

fn told(grpc: &str, body: bool) -> Option<Outcome> {
    let body = match body {
        true => Either::Left(Full::new(Bytes::from_static(b"message"))),
        false => Either::Right(Empty::<Bytes>::new()),
    };
    let response = Response::builder().header("grpc-status", grpc);
    outcome(&FailingAnswers::default(), &response.body(body).unwrap())
}

/// Catches: a gRPC service that is unavailable and counts as healthy because its status is 200, and a
/// permission that counts as a failure.
#[test]
fn the_status_of_a_grpc_answer_without_messages_counts() {
    assert_eq!(told("14", false), Some(Outcome::AnswerFailed));
    assert_eq!(told("7", false), Some(Outcome::Success));
    assert_eq!(told("8", false), None);
    assert_eq!(told("soon", false), Some(Outcome::Success));
    // The status of an answer with messages comes in its trailers.
    assert_eq!(told("14", true), Some(Outcome::Success));
}

/// Catches: an endpoint that refuses connections, and whose breaker stays closed because only one tenant asks
/// for it now.
#[test]
fn only_exchanges_fail_for_their_holder() {
    let holder = HolderTag::from_bits(7);
    let of = |scope: Scope| scope.failed(holder);
    assert_eq!(of(Scope::Exchange), Failed::Exchange(holder));
    assert_eq!(of(Scope::Connection), Failed::Connection);
    assert_eq!(of(Scope::Known), Failed::Connection);
}
