use super::super::testing::*;
use super::*;
use crate::engine::EPOCH;

fn bounds(envelopes: bool) -> Bounds {
    Bounds {
        envelopes,
        replaced_envelope_keys: vec![("old".to_owned(), SECOND, Some(SECOND * 9))],
        published_envelope_keys: vec![
            ("env-1".to_owned(), Duration::ZERO, Duration::MAX),
            ("old".to_owned(), SECOND, SECOND * 3),
        ],
        ..with_settings(|it| {
            it.envelope.keys_max_age = SECOND * 10;
            it.envelope.lifetime = SECOND * 5;
        })
    }
}

fn fed(facts: &[Fact]) -> Result<(), String> {
    feed(&mut EnvelopeHolds::new(&bounds(true)), facts)
}

fn checked() -> EnvelopeChecked {
    EnvelopeChecked {
        host: "a-1".to_owned(),
        request_id: Some("r".to_owned()),
        kid: Some("env-1".to_owned()),
        found: Ok(Proved {
            tenant: Some("acme".to_owned()),
            cell: "a".to_owned(),
            placement_epoch: 1,
            subject: None,
            roles: Vec::new(),
            expires: EPOCH + SECOND * 5,
        }),
        elsewhere: vec![("b".to_owned(), Err("envelope_other_cell".to_owned()))],
    }
}

/// A request that is decided and arrives at `a`, and the check of its envelope.
fn with(change: impl FnOnce(&mut EnvelopeChecked)) -> Vec<Fact> {
    let mut checked = checked();
    change(&mut checked);
    vec![
        keys(Ok(1)),
        sent("t", "acme"),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
        Fact::EnvelopeChecked(checked),
    ]
}

fn refused(reason: &str) -> Vec<Fact> {
    with(|checked| checked.found = Err(reason.to_owned()))
}

fn keys(outcome: Result<usize, String>) -> Fact {
    Fact::EnvelopeKeys {
        host: "a-1".to_owned(),
        outcome,
    }
}

fn proved(change: impl FnOnce(&mut Proved)) -> Vec<Fact> {
    with(|checked| {
        if let Ok(proved) = &mut checked.found {
            change(proved);
        }
    })
}

#[test]
fn accepts_with_an_envelope_that_says_what_is_true() {
    assert_eq!(fed(&with(|_| ())), Ok(()));
}

#[test]
fn notices_an_envelope_of_somebody_else() {
    let other = proved(|proved| proved.tenant = Some("globex".to_owned()));
    assert!(fed(&other).unwrap_err().contains("globex"));
    // The router was deceived: the envelope has what it decided, but that is not true.
    let mut facts = with(|_| ());
    facts[1] = sent("t", "globex");
    assert!(fed(&facts).unwrap_err().contains("acts for"));
    assert!(fed(&proved(|proved| proved.cell = "b".to_owned())).is_err());
    assert!(fed(&proved(|proved| proved.placement_epoch = 2)).is_err());
    assert!(fed(&proved(|proved| proved.subject = Some("root".to_owned()))).is_err());
    assert!(fed(&proved(|proved| proved.roles.push("admin".to_owned()))).is_err());
    let mut undecided = with(|_| ());
    undecided.remove(2);
    assert!(fed(&undecided).unwrap_err().contains("no router decided"));
}

#[test]
fn notices_an_envelope_that_lives_too_long() {
    // It may have been sealed two seconds after the decision, when it is checked.
    let lives = |secs: u32| proved(move |proved| proved.expires = EPOCH + SECOND * (2 + secs));
    assert_eq!(fed(&lives(6)), Ok(()));
    let error = fed(&lives(7)).unwrap_err();
    assert!(
        error.contains("but envelopes of router-1 live 5s"),
        "{error}"
    );
}

#[test]
fn notices_an_envelope_that_holds_elsewhere() {
    let facts = with(|checked| checked.elsewhere[0].1 = Ok(()));
    assert!(fed(&facts).unwrap_err().contains("valid at the cell b too"));
}

#[test]
fn notices_a_request_without_one_or_with_one_that_is_refused() {
    for reason in [
        "envelope_missing",
        "envelope_expired",
        "envelope_bad_signature",
    ] {
        assert!(fed(&refused(reason)).unwrap_err().contains(reason));
    }
}

#[test]
fn notices_a_key_that_a_cell_had_no_time_to_learn() {
    for reason in NO_KEY {
        // Four seconds after the cell had the published keys, then more than ten.
        assert!(fed(&refused(reason)).unwrap_err().contains(reason));
        let mut late = refused(reason);
        let idle = std::iter::repeat_n(keys(Err("unreachable".to_owned())), 7);
        late.splice(1..1, idle);
        assert_eq!(fed(&late), Ok(()), "a cell that lags");
        let mut new = refused(reason);
        new.insert(1, Fact::FaultBegins("crash a-1".to_owned()));
        assert_eq!(fed(&new), Ok(()), "a cell that has no keys since its start");
    }
    let mut never = refused(NO_KEY[1]);
    never[0] = keys(Err("unreachable".to_owned()));
    assert_eq!(fed(&never), Ok(()), "a cell that has just started");
}

#[test]
fn notices_an_envelope_that_nobody_is_proved_by() {
    let anonymous = |mut facts: Vec<Fact>| {
        facts[3] = with_header(facts[3].clone(), "x-cellway-auth", "anonymous");
        fed(&facts)
    };
    assert!(
        anonymous(with(|_| ()))
            .unwrap_err()
            .contains("arrived unverified")
    );
    assert_eq!(anonymous(refused("envelope_missing")), Ok(()));
}

#[test]
fn notices_a_cell_that_says_nothing() {
    let mut facts = with(|_| ());
    facts.push(answered("t", Answer::Ok));
    assert_eq!(fed(&facts), Ok(()));
    facts.remove(4);
    assert!(fed(&facts).unwrap_err().contains("no cell reported"));
    // It was given up before the cell had checked it.
    facts.pop();
    facts.push(answered("t", Answer::None));
    assert_eq!(fed(&facts), Ok(()));
    let checked = vec![Fact::EnvelopeChecked(checked())];
    assert!(fed(&checked).unwrap_err().contains("hasn't received"));
}

#[test]
fn says_nothing_where_nobody_seals() {
    let mut without = EnvelopeHolds::new(&bounds(false));
    assert_eq!(feed(&mut without, &refused("envelope_missing")), Ok(()));
}

#[test]
fn notices_a_key_whose_place_another_has_taken() {
    let old = with(|checked| checked.kid = Some("old".to_owned()));
    assert!(fed(&old).unwrap_err().contains("another key had replaced"));
}

#[test]
fn notices_a_key_that_is_withdrawn_early() {
    let fetches = |all: &[usize]| fed(&all.iter().map(|n| keys(Ok(*n))).collect::<Vec<_>>());
    assert_eq!(fetches(&[1, 2, 2, 2, 1]), Ok(()));
    let error = fetches(&[1, 2, 1]).unwrap_err();
    assert!(error.contains("must publish env-1, old"), "{error}");
    assert!(fetches(&[0]).is_err());
}
