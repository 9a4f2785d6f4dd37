use super::super::testing::*;
use super::*;

const DEADLINE: Duration = Duration::from_secs(3);

fn call(deadline: Option<Duration>) -> Fact {
    sent_with("t", "acme", |sent| {
        sent.grpc = true;
        sent.deadline = deadline;
    })
}

fn came(http: u16, status: Option<u8>) -> Fact {
    Fact::CallAnswered {
        tag: "t".to_owned(),
        http,
        status,
    }
}

fn ended(status: u8) -> Fact {
    Fact::CallEnded {
        host: "a-1".to_owned(),
        tag: Some("t".to_owned()),
        status,
        has_message: true,
    }
}

fn fed(facts: &[Fact]) -> Result<(), String> {
    let bounds = with_settings(|_| ());
    feed(&mut GrpcStatus::new(&bounds), facts)
}

fn refused(reason: &str, http: u16, status: Option<u8>) -> Result<(), String> {
    let answer = answered("t", Answer::Router(reason.to_owned()));
    fed(&[call(None), came(http, status), answer])
}

/// Catches: a router that gives another status than its reason has, or none.
#[test]
fn notices_a_wrong_status_of_a_router() {
    for (reason, status) in [
        ("rate_limited", 8),
        ("body_too_large", 8),
        ("overloaded", 14),
        ("cell_unreachable", 14),
        ("cell_timeout_total", 4),
        ("expired_token", 16),
        ("tenant_suspended", 7),
        ("bad_request", 13),
        ("client_timeout", 1),
        ("connect_refused", 12),
    ] {
        assert_eq!(refused(reason, 200, Some(status)), Ok(()), "{reason}");
        assert!(refused(reason, 200, Some(status + 1)).is_err(), "{reason}");
        assert!(refused(reason, 200, None).is_err(), "{reason}");
        assert!(refused(reason, 503, Some(status)).is_err(), "{reason}");
    }
    assert!(refused("no_such_reason", 200, Some(14)).is_err());
}

/// Catches: a router that changes or loses the status of a cell.
#[test]
fn notices_a_changed_status_of_a_cell() {
    let through = |ends: Option<u8>, http, status, answer| {
        let ends = ends.map(ended);
        let rest = [came(http, status), answered("t", answer)];
        let facts: Vec<_> = [call(None)].into_iter().chain(ends).chain(rest).collect();
        fed(&facts)
    };
    assert_eq!(through(Some(0), 200, Some(0), Answer::Ok), Ok(()));
    let denied = Answer::CellGrpc(7);
    assert_eq!(through(Some(7), 200, Some(7), denied.clone()), Ok(()));
    assert!(through(Some(14), 200, Some(7), denied.clone()).is_err());
    assert!(
        through(None, 200, Some(7), denied).is_err(),
        "no cell says it"
    );
    assert!(through(Some(7), 200, Some(0), Answer::Ok).is_err());
    assert!(through(Some(0), 200, None, Answer::Cell(200)).is_err());
    // The cell's answer isn't gRPC.
    assert_eq!(through(None, 503, None, Answer::Cell(503)), Ok(()));
    assert!(through(None, 200, None, Answer::Cell(200)).is_err());
}

/// Catches: a router that resets the stream instead of saying why the answer broke off.
#[test]
fn notices_a_call_without_a_status() {
    let facts = [call(None), answered("t", Answer::None)];
    assert!(fed(&facts).is_err());
    let cut_off = |until| Bounds {
        cut_off: vec![(Duration::ZERO, until)],
        ..Bounds::default()
    };
    let fed = |bounds| feed(&mut GrpcStatus::new(&bounds), &facts);
    assert_eq!(fed(cut_off(SECOND * 9)), Ok(()));
}

/// Catches: a router that doesn't end a call in time, or tells the cell another deadline.
#[test]
fn notices_a_missed_deadline() {
    let answer = || [came(200, Some(0)), answered("t", Answer::Ok)];
    let call_of = |waits: usize| {
        let waits = std::iter::repeat_n(responded("other"), waits);
        let begins = [call(Some(DEADLINE))].into_iter().chain(waits);
        fed(&begins.chain([ended(0)]).chain(answer()).collect::<Vec<_>>())
    };
    assert_eq!(call_of(0), Ok(()));
    assert!(call_of(1).is_err());

    let told = |waits: usize, told: &str| {
        let waits = std::iter::repeat_n(responded("other"), waits);
        let headers = [("content-type", "application/grpc"), ("te", "trailers")];
        let arrival = headers
            .into_iter()
            .fold(arrived("a", "t", "1"), |it, (name, value)| {
                with_header(it, name, value)
            });
        let arrival = match told {
            "" => arrival,
            told => with_header(arrival, "grpc-timeout", told),
        };
        let begins = [call(Some(DEADLINE)), allowed("1", "a", 1)];
        fed(&begins
            .into_iter()
            .chain(waits)
            .chain([arrival])
            .collect::<Vec<_>>())
    };
    assert_eq!(told(0, "2S"), Ok(()));
    assert_eq!(told(0, "1999999u"), Ok(()));
    assert!(told(0, "3S").is_err(), "a second has passed");
    assert!(told(1, "2S").is_err());
    assert!(told(0, "").is_err());
}

/// Catches: a router that takes from a call what makes it one.
#[test]
fn notices_a_call_that_arrives_as_another_request() {
    let with = |name, value| with_header(arrived("a", "t", "1"), name, value);
    let whole = with_header(with("te", "trailers"), "content-type", "application/grpc");
    assert_eq!(fed(&[call(None), whole]), Ok(()));
    for (name, value) in [("te", "trailers"), ("content-type", "application/grpc")] {
        assert!(
            fed(&[call(None), with(name, value)]).is_err(),
            "only {name}"
        );
    }
}
