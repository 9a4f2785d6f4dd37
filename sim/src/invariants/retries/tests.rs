use super::super::settings::RetrySettings;
use super::super::testing::*;
use super::*;

/// Bounds of routers with a budget of 20 % and what `change` sets.
fn with_retries(change: impl FnOnce(&mut RetrySettings)) -> Bounds {
    with_settings(|it| {
        it.retries.percent = 20;
        change(&mut it.retries);
    })
}

/// A request without a body.
fn get(tag: &str) -> Fact {
    sent_with(tag, "acme", |sent| {
        sent.method = "GET".to_owned();
        sent.body = Some(0);
        sent.once = false;
    })
}

fn unserved(tag: &str, how: Unserved) -> Fact {
    Fact::Unserved {
        cell: "a".to_owned(),
        host: "a-1".to_owned(),
        tag: Some(tag.to_owned()),
        how,
    }
}

fn gave_up(tag: &str) -> Fact {
    answered(tag, Answer::Router("cell_refused".to_owned()))
}

fn retried(facts: &[Fact]) -> Result<(), String> {
    let bounds = Bounds {
        endpoints: Endpoints {
            hosts: [("a".to_owned(), ["a-1".to_owned()].into())].into(),
            troubles: Vec::new(),
        },
        ..with_retries(|_| ())
    };
    feed(&mut Retried::new(&bounds), facts)
}

fn bounded(facts: &[Fact]) -> Result<(), String> {
    feed(&mut RetriesBounded::new(&with_retries(|_| ())), facts)
}

#[test]
fn notices_a_retry_that_is_missing() {
    let disclaimed = || unserved("t", Unserved::StreamRefused);
    assert!(retried(&[get("t"), disclaimed(), gave_up("t")]).is_err());
    let again = [
        get("t"),
        disclaimed(),
        arrived("a", "t", "r"),
        answered("t", Answer::Ok),
    ];
    assert_eq!(retried(&again), Ok(()));
    assert_eq!(bounded(&again), Ok(()));
    let with_body = [sent("t", "acme"), disclaimed(), gave_up("t")];
    assert!(retried(&with_body).is_err());
    let often = [&[get("t")][..], &vec![disclaimed(); 4], &[gave_up("t")]].concat();
    assert_eq!(retried(&often), Ok(()));
    // The budget is used up.
    let many = (0..8).flat_map(|n| {
        let tag = format!("t{n}");
        [get(&tag), unserved(&tag, Unserved::StreamRefused)]
    });
    let many = [many.collect(), vec![gave_up("t7")]].concat();
    assert_eq!(retried(&many), Ok(()));
}

#[test]
fn notices_what_a_cell_gets_twice() {
    let twice = |how: &[Fact]| {
        let facts = [
            &[get("t"), arrived("a", "t", "r")][..],
            how,
            &[arrived("a", "t", "r")],
        ];
        bounded(&facts.concat())
    };
    assert!(twice(&[]).is_err());
    assert!(twice(&[unserved("t", Unserved::StreamReset)]).is_err());
    assert_eq!(twice(&[unserved("t", Unserved::ConnectionClosed)]), Ok(()));
    assert_eq!(twice(&[Fact::EndpointStopped("a-1".to_owned())]), Ok(()));
    assert!(twice(&[Fact::EndpointStopped("a-2".to_owned())]).is_err());
    let died = unserved("t", Unserved::ConnectionClosed);
    let thrice = [died.clone(), arrived("a", "t", "r"), died.clone()];
    assert!(twice(&thrice).is_err());
    let post = [
        sent("t", "acme"),
        arrived("a", "t", "r"),
        died.clone(),
        arrived("a", "t", "r"),
    ];
    assert!(bounded(&post).is_err());
    let first = arrived_with("a", "t", "r", |arrived| arrived.on_connection = 0);
    let fresh = [get("t"), first, died, arrived("a", "t", "r")];
    assert!(bounded(&fresh).is_err());
}

#[test]
fn knows_the_settings_for_retries() {
    let bounds = with_retries(|it| it.processed = true);
    let fed = |facts: &[Fact]| feed(&mut RetriesBounded::new(&bounds), facts);
    let arrives = |cell| arrived(cell, "t", "r");
    assert_eq!(fed(&[get("t"), arrives("a"), arrives("a")]), Ok(()));
    assert!(fed(&[get("t"), arrives("a"), arrives("b")]).is_err());
    assert!(fed(&[sent("t", "acme"), arrives("a"), arrives("a")]).is_err());
    let often = [vec![get("t")], vec![arrives("a"); 5]].concat();
    assert!(fed(&often).is_err());
    assert!(bounded(&[get("t"), arrives("a"), arrives("a")]).is_err());
}

/// Facts have whole seconds in these tests, beginning with 0.
#[test]
fn notices_a_retry_after_an_answer_that_says_when_to_come_back() {
    let fed = |from, until| {
        let asks = (
            "a-1".to_owned(),
            Duration::from_secs(from),
            Duration::from_secs(until),
        );
        let bounds = Bounds {
            asks_to_wait: vec![asks],
            ..with_retries(|it| it.processed = true)
        };
        let arrives = || arrived("a", "t", "r");
        feed(
            &mut RetriesBounded::new(&bounds),
            &[get("t"), arrives(), arrives()],
        )
    };
    assert!(fed(0, 9).is_err());
    // The first one may have come before the fault, or have been answered after it.
    assert_eq!(fed(2, 9), Ok(()));
    assert_eq!(fed(0, 1), Ok(()));
}

#[test]
fn knows_the_setting_for_hedges() {
    let bounds = with_retries(|it| it.hedges = true);
    let fed = |facts: &[Fact]| feed(&mut RetriesBounded::new(&bounds), facts);
    let at = |tag: &str, host: &str| {
        arrived_with("a", tag, "r", |arrived| arrived.host = host.to_owned())
    };
    let hedged = [get("t"), at("t", "a-1"), at("t", "a-2")];
    assert_eq!(fed(&hedged), Ok(()));
    assert!(bounded(&hedged).is_err(), "off");
    assert!(
        fed(&[get("t"), at("t", "a-1"), at("t", "a-1")]).is_err(),
        "the same endpoint"
    );
    assert!(
        fed(&[get("t"), at("t", "a-1"), arrived("b", "t", "r")]).is_err(),
        "another cell"
    );
    let twice = [&hedged[..], &[at("t", "a-3")]].concat();
    assert!(fed(&twice).is_err(), "two of them");
    let post = [sent("t", "acme"), at("t", "a-1"), at("t", "a-2")];
    assert!(fed(&post).is_err(), "not safe");
    let with_body = sent_with("t", "acme", |sent| {
        sent.method = "GET".to_owned();
        sent.body = Some(2);
    });
    assert!(
        fed(&[with_body, at("t", "a-1"), at("t", "a-2")]).is_err(),
        "with a body"
    );
    let many = |requests: u32| {
        let facts = (0..requests).flat_map(|n| {
            let tag = format!("t{n}");
            [get(&tag), at(&tag, "a-1"), at(&tag, "a-2")]
        });
        fed(&facts.collect::<Vec<_>>())
    };
    assert_eq!(many(10), Ok(()));
    let error = many(40).unwrap_err();
    assert!(error.contains("budget"), "{error}");
    // What no hedge explains is judged as before.
    let died = unserved("t", Unserved::ConnectionClosed);
    let kept = [get("t"), at("t", "a-1"), died, at("t", "a-1")];
    assert_eq!(fed(&kept), Ok(()));
}

#[test]
fn notices_more_retries_than_the_budget_has() {
    let disclaimed = |requests: u32, times: usize| {
        let facts = (0..requests).flat_map(|n| {
            let tag = format!("t{n}");
            let how = unserved(&tag, Unserved::StreamRefused);
            [vec![get(&tag)], vec![how; times], vec![gave_up(&tag)]].concat()
        });
        bounded(&facts.collect::<Vec<_>>())
    };
    let after_goaway = (0..30).flat_map(|n| {
        let tag = format!("t{n}");
        let how = unserved(&tag, Unserved::AfterGoaway);
        [
            get(&tag),
            how,
            arrived("a", &tag, "r"),
            answered(&tag, Answer::Ok),
        ]
    });
    assert_eq!(bounded(&after_goaway.collect::<Vec<_>>()), Ok(()));
    assert_eq!(disclaimed(10, 2), Ok(()));
    assert!(disclaimed(11, 2).is_err());
    assert_eq!(disclaimed(1, 4), Ok(()));
    assert!(disclaimed(1, 5).is_err());
}
