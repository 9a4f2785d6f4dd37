use http::StatusCode;

use super::*;

fn outcome(status: u16, grpc: Option<u8>) -> Option<Outcome> {
    FailingAnswers::default().outcome(StatusCode::from_u16(status).unwrap(), grpc)
}

/// Catches: a caller's mistake that counts against the endpoint, and a quick refusal for a rate that
/// makes a failing endpoint look good.
#[test]
fn only_what_is_listed_fails_and_a_limited_rate_says_nothing() {
    for status in [200, 204, 302, 400, 401, 403, 404, 499, 500, 501, 505, 599] {
        assert_eq!(outcome(status, None), Some(Outcome::Success), "{status}");
    }
    for status in [502, 503, 504] {
        let failed = Some(Outcome::AnswerFailed);
        assert_eq!(outcome(status, None), failed, "{status}");
    }
    assert_eq!(outcome(429, None), None);
    for grpc in (0..=16).filter(|grpc| ![8, 14].contains(grpc)) {
        let success = Some(Outcome::Success);
        assert_eq!(outcome(200, Some(grpc)), success, "grpc-status {grpc}");
    }
    assert_eq!(outcome(200, Some(14)), Some(Outcome::AnswerFailed));
    assert_eq!(outcome(200, Some(8)), None);
    assert_eq!(outcome(200, Some(255)), Some(Outcome::Success));
}

#[test]
fn lists_may_name_every_status_of_their_range() {
    let statuses: Vec<u16> = FailingAnswers::STATUSES.collect();
    let grpc: Vec<u8> = FailingAnswers::GRPC_STATUSES.collect();
    let all = FailingAnswers::new(&statuses, &grpc);
    for status in 100..=999 {
        let fails = all.outcome(StatusCode::from_u16(status).unwrap(), None);
        let listed = statuses.contains(&status);
        assert_eq!(fails == Some(Outcome::AnswerFailed), listed, "{status}");
    }
    for status in 0..=255 {
        let fails = all.outcome(StatusCode::OK, Some(status));
        let listed = grpc.contains(&status);
        assert_eq!(fails == Some(Outcome::AnswerFailed), listed, "{status}");
    }
    let beyond = FailingAnswers::new(&[200, 399, 600], &[0, 17, 64, 200]);
    assert_eq!(beyond, FailingAnswers::new(&[], &[]));
}
