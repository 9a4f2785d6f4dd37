use super::*;
use crate::registry::{RegistryErrorReason, RegistryFormat, RegistryLimits};
use crate::testing::{START, at};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn body(version: u64, region: &str) -> Bytes {
    format!(
        r#"{{"version":{version},"cells":[{{"id":"a","tier":"t","region":"{region}","state":"active",
            "endpoints":[{{"url":"http://a:1"}}]}}]}}"#
    )
    .into()
}

fn parse(body: &Bytes, previous: Option<&Registry>) -> Result<Parsed, RegistryError> {
    Registry::parse(
        body,
        RegistryFormat::Json,
        previous,
        &RegistryLimits::default(),
    )
}

/// What the source asked for, in a form that a test can compare.
#[derive(PartialEq, Debug)]
enum Did {
    Fetch(Option<String>),
    Parse,
    Publish,
    Save(u64),
    Confirm(u64),
    Applied(u64),
    Restored(u64),
    Refused(RegistryErrorReason),
    Failed(u32),
    Stale,
    Fresh,
    Aging(u64),
    Expired,
    Current,
}

fn drain(source: &mut RegistrySource) -> Vec<Did> {
    let name = |action| match action {
        RegistryAction::Fetch { validator } => Did::Fetch(validator.map(|it| it.to_string())),
        RegistryAction::Parse { .. } => Did::Parse,
        RegistryAction::Changed { .. } => Did::Publish,
        RegistryAction::Save { fetched_at, .. } => Did::Save(fetched_at.as_secs() - START),
        RegistryAction::Confirm { fetched_at } => Did::Confirm(fetched_at.as_secs() - START),
        RegistryAction::Notice(notice) => match notice {
            RegistryNotice::Applied {
                version,
                restored: false,
                ..
            } => Did::Applied(version),
            RegistryNotice::Applied { version, .. } => Did::Restored(version),
            RegistryNotice::Refused(refused) => Did::Refused(refused.reason),
            RegistryNotice::FetchFailed { consecutive, .. } => Did::Failed(consecutive),
            RegistryNotice::Stale => Did::Stale,
            RegistryNotice::Fresh => Did::Fresh,
            RegistryNotice::StatusAging { left } => Did::Aging(left.as_secs()),
            RegistryNotice::StatusExpired => Did::Expired,
            RegistryNotice::StatusCurrent => Did::Current,
        },
    };
    std::iter::from_fn(|| source.poll_output())
        .map(name)
        .collect()
}

fn source_timing() -> RegistryTiming {
    RegistryTiming {
        poll_interval: secs(10),
        retry_min: secs(1),
        retry_max: secs(8),
        stale_after: secs(60),
        identity_max_age: Some(secs(900)),
    }
}

fn source() -> RegistrySource {
    RegistrySource::new(source_timing(), at(0), 7)
}

/// Hands in a document, as a driver does.
fn give(source: &mut RegistrySource, now: Now, body: Bytes) {
    let parsed = parse(&body, source.registry().map(|it| &**it));
    let validator = Some(format!("etag of {}", body.len()).into());
    let document = RegistryFetched::Document {
        parsed,
        body,
        validator,
    };
    source.handle_fetched(now, Ok(document));
}

fn fail(source: &mut RegistrySource, now: Now) {
    let failure = RegistryFetchError {
        problem: FetchProblem::Unreachable,
        detail: "refused".into(),
    };
    source.handle_fetched(now, Err(failure));
}

/// A source that took version 5 at second 0.
fn loaded() -> RegistrySource {
    let mut source = source();
    source.handle_timeout(at(0));
    give(&mut source, at(0), body(5, "eu"));
    let did = drain(&mut source);
    let want = [
        Did::Fetch(None),
        Did::Save(0),
        Did::Publish,
        Did::Applied(5),
    ];
    assert_eq!(did, want);
    source
}

fn version(source: &RegistrySource) -> Option<u64> {
    source.registry().map(|registry| registry.version())
}

/// Goes to the next poll or retry, and answers for when it came.
fn next_fetch(source: &mut RegistrySource) -> (Mono, RegistryWake) {
    let due = source.due.expect("nothing is awaited");
    source.handle_timeout(Now {
        mono: due.0,
        unix: at(0).unix.after(due.0.since_origin()),
    });
    assert!(drain(source).iter().any(|did| matches!(did, Did::Fetch(_))));
    due
}

#[test]
fn polls_with_jitter_and_only_newer_content_is_applied() {
    let mut source = loaded();
    let mut dues = Vec::new();
    for _ in 0..20 {
        let before = source.good.unwrap().at;
        let (due, wake) = next_fetch(&mut source);
        assert_eq!(wake, RegistryWake::Poll);
        dues.push(due.since(before));
        let now = Now {
            mono: due,
            unix: at(0).unix.after(due.since_origin()),
        };
        source.handle_fetched(now, Ok(RegistryFetched::NotModified));
    }
    assert!(
        dues.iter().all(|due| (secs(9)..=secs(10)).contains(due)),
        "{dues:?}"
    );
    dues.sort();
    dues.dedup();
    assert!(dues.len() > 10, "jitter: {dues:?}");
    assert_eq!(version(&source), Some(5));
}

#[test]
fn one_fetch_at_a_time_with_the_current_validator() {
    let mut source = loaded();
    source.handle_timeout(at(10));
    let [Did::Fetch(Some(validator))] = &*drain(&mut source) else {
        panic!("no fetch");
    };
    assert!(validator.starts_with("etag of "));
    source.handle_timeout(at(30));
    source.handle_refresh(at(30));
    source.handle_timeout(at(30));
    assert_eq!(drain(&mut source), [], "an answer is awaited");
    source.handle_fetched(at(31), Ok(RegistryFetched::NotModified));
    drain(&mut source);
    assert_eq!(
        source.poll_timeout(),
        Some((at(31).mono, RegistryWake::Poll)),
        "the refresh"
    );
}

#[test]
fn a_refused_document_changes_nothing() {
    let rows = [
        (body(4, "eu"), RegistryErrorReason::OlderVersion),
        (body(5, "us"), RegistryErrorReason::SameVersionOtherContent),
        (Bytes::from_static(b"{"), RegistryErrorReason::Invalid),
        (Bytes::from_static(b""), RegistryErrorReason::Empty),
        (
            Bytes::from_static(br#"{"version":6,"cells":[]}"#),
            RegistryErrorReason::Empty,
        ),
    ];
    for (body, reason) in rows {
        let mut source = loaded();
        let expires = source.status_expires_at();
        source.handle_timeout(at(10));
        drain(&mut source);
        let validator = source.validator.clone();
        give(&mut source, at(10), body);
        assert_eq!(drain(&mut source), [Did::Refused(reason)]);
        assert_eq!(version(&source), Some(5));
        assert_eq!(
            source.validator, validator,
            "a refused document's ETag would hide the next"
        );
        assert_eq!(source.status_expires_at(), expires);
        let (due, wake) = source.poll_timeout().unwrap();
        assert_eq!(wake, RegistryWake::Poll);
        assert!(due >= at(19).mono && due <= at(20).mono);
    }
}

#[test]
fn retries_of_a_failing_source_back_off() {
    let mut source = loaded();
    source.handle_timeout(at(10));
    drain(&mut source);
    let mut now = at(10);
    for (consecutive, delay) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (6, 8)] {
        fail(&mut source, now);
        assert_eq!(drain(&mut source), [Did::Failed(consecutive)]);
        let (due, wake) = source.due.unwrap();
        assert_eq!(wake, RegistryWake::Retry);
        let delayed = due.since(now.mono);
        assert!(
            delayed <= secs(delay) && delayed >= secs(delay) * 9 / 10,
            "{delayed:?}"
        );
        next_fetch(&mut source);
        now.mono = due;
    }
    give(&mut source, now, body(6, "eu"));
    assert_eq!(version(&source), Some(6));
    fail(&mut source, now);
    assert!(
        drain(&mut source).contains(&Did::Failed(1)),
        "a good answer ends the row"
    );
}

#[test]
fn becomes_stale_then_distrusts_status_and_recovers() {
    let mut source = loaded();
    assert_eq!(source.status_expires_at(), Some(at(900).mono));
    source.handle_timeout(at(10));
    fail(&mut source, at(59));
    assert!(!source.is_stale());
    source.due = None;
    assert_eq!(
        source.poll_timeout(),
        Some((at(60).mono, RegistryWake::Stale))
    );
    drain(&mut source);
    source.handle_timeout(at(60));
    assert!(source.is_stale());
    assert_eq!(drain(&mut source), [Did::Publish, Did::Stale]);
    source.handle_timeout(at(61));
    assert_eq!(drain(&mut source), [], "said once");
    assert_eq!(version(&source), Some(5), "it still places");
    source.handle_fetched(at(1_000), Ok(RegistryFetched::NotModified));
    assert!(!source.is_stale());
    assert_eq!(
        drain(&mut source),
        [Did::Fresh, Did::Confirm(1_000), Did::Publish]
    );
    assert_eq!(source.status_expires_at(), Some(at(1_900).mono));
}

#[test]
fn status_never_expires_without_a_maximum_age() {
    let mut source = loaded();
    source.timing.identity_max_age = None;
    assert_eq!(source.status_expires_at(), None);
}

/// Half of the time is a warning and the end is an error, each reported once, and the source must
/// ask to be woken for both.
#[test]
fn says_when_status_gets_old_and_when_it_is_too_old() {
    let mut source = loaded();
    source.due = None;
    source.handle_timeout(at(60));
    assert_eq!(drain(&mut source), [Did::Publish, Did::Stale]);
    for (second, said) in [(450, Did::Aging(450)), (900, Did::Expired)] {
        let wake = Some((at(second).mono, RegistryWake::Status));
        assert_eq!(source.poll_timeout(), wake);
        source.handle_timeout(at(second - 1));
        assert_eq!(drain(&mut source), [], "not yet");
        source.handle_timeout(at(second));
        assert_eq!(drain(&mut source), [said]);
        source.handle_timeout(at(second + 1));
        assert_eq!(drain(&mut source), [], "said once");
    }
    assert_eq!(source.poll_timeout(), None);
    source.handle_fetched(at(1_000), Ok(RegistryFetched::NotModified));
    let did = drain(&mut source);
    assert_eq!(did[..2], [Did::Fresh, Did::Current]);
    assert!(source.status_ages_at() == Some(at(1_450).mono));
}

#[test]
fn a_reload_can_give_old_status_more_time_or_less() {
    let mut source = loaded();
    source.due = None;
    source.handle_timeout(at(901));
    drain(&mut source);
    let timing = |max_age| RegistryTiming {
        identity_max_age: Some(secs(max_age)),
        ..source_timing()
    };
    source.handle_timing(at(902), timing(86_400));
    assert_eq!(drain(&mut source), [Did::Current, Did::Publish]);
    assert_eq!(source.status_expires_at(), Some(at(86_400).mono));
    source.handle_timing(at(903), timing(86_400));
    assert_eq!(drain(&mut source), [], "the same again");
    source.handle_timing(at(904), timing(1_000));
    assert_eq!(drain(&mut source), [Did::Aging(96), Did::Publish]);
    source.handle_timing(at(905), timing(905));
    assert_eq!(drain(&mut source), [Did::Expired, Did::Publish]);
}

#[test]
fn the_time_of_an_unchanged_document_is_saved_rarely() {
    let mut source = loaded();
    for (second, confirms) in [
        (30, false),
        (59, false),
        (60, true),
        (119, false),
        (120, true),
    ] {
        source.handle_fetched(at(second), Ok(RegistryFetched::NotModified));
        let confirmed = drain(&mut source).contains(&Did::Confirm(second));
        assert_eq!(confirmed, confirms, "at {second}");
    }
}

/// Catches: a restart that takes most of a short limit away, because the saved time is old.
#[test]
fn with_a_short_limit_the_time_is_saved_more_often() {
    let timing = |max_age| RegistryTiming {
        identity_max_age: max_age,
        ..source_timing()
    };
    for (max_age, between) in [
        (Some(secs(30)), 3),
        (Some(secs(599)), 60),
        (Some(secs(86_400)), 60),
        (None, 60),
    ] {
        let mut source = loaded();
        source.handle_timing(at(0), timing(max_age));
        let confirmed = (1..=between).filter(|second| {
            source.handle_fetched(at(*second), Ok(RegistryFetched::NotModified));
            drain(&mut source).contains(&Did::Confirm(*second))
        });
        assert_eq!(confirmed.collect::<Vec<_>>(), [between], "{max_age:?}");
    }
}

#[test]
fn not_modified_of_nothing_is_a_failure() {
    let mut source = source();
    source.handle_timeout(at(0));
    source.handle_fetched(at(0), Ok(RegistryFetched::NotModified));
    assert_eq!(drain(&mut source), [Did::Fetch(None), Did::Failed(1)]);
    assert!(source.good.is_none());
}

#[test]
fn a_saved_document_is_as_old_as_its_last_good_fetch() {
    // (age at the start, stale at once, when its status expires)
    for (age, stale, expires) in [
        (0, false, 900),
        (59, false, 841),
        (60, true, 840),
        (901, true, 0),
    ] {
        let mut source = source();
        let fetched_at = Unix::from_secs(START - age);
        source.handle_restored(at(0), parse(&body(3, "eu"), None), fetched_at);
        assert_eq!(version(&source), Some(3));
        assert_eq!(source.is_stale(), stale, "{age}");
        assert_eq!(source.status_expires_at(), Some(at(expires).mono), "{age}");
        assert!(drain(&mut source).contains(&Did::Restored(3)));
        source.handle_timeout(at(0));
        assert_eq!(
            drain(&mut source),
            [Did::Fetch(None)],
            "it asks for the whole document"
        );
    }
}

#[test]
fn a_saved_document_from_the_future_counts_as_old() {
    let mut source = source();
    let ahead = Unix::from_secs(START + 3_600);
    source.handle_restored(at(0), parse(&body(3, "eu"), None), ahead);
    assert!(source.is_stale());
    assert_eq!(source.status_expires_at(), Some(at(0).mono));
}

#[test]
fn a_bad_saved_document_is_ignored() {
    let mut source = source();
    let broken = parse(&Bytes::from_static(b"{"), None);
    source.handle_restored(at(0), broken, Unix::from_secs(START));
    assert_eq!(
        drain(&mut source),
        [Did::Refused(RegistryErrorReason::Invalid)]
    );
    source.handle_timeout(at(0));
    give(&mut source, at(0), body(1, "eu"));
    assert_eq!(version(&source), Some(1));
}

#[test]
fn a_saved_document_never_replaces_a_fetched_one() {
    let mut source = loaded();
    source.handle_restored(at(1), parse(&body(9, "us"), None), Unix::from_secs(START));
    assert_eq!(version(&source), Some(5));
    assert_eq!(drain(&mut source), []);
}

/// The fetched document was parsed against nothing, and meanwhile the kept one came in: were it
/// applied as it is, a rollback would pass unseen.
#[test]
fn a_document_is_parsed_again_if_the_registry_was_replaced() {
    let mut source = source();
    source.handle_timeout(at(0));
    let old = body(2, "eu");
    let parsed = parse(&old, None);
    source.handle_restored(at(0), parse(&body(3, "eu"), None), Unix::from_secs(START));
    drain(&mut source);
    let document = RegistryFetched::Document {
        parsed,
        body: old.clone(),
        validator: None,
    };
    source.handle_fetched(at(0), Ok(document));
    assert_eq!(drain(&mut source), [Did::Parse]);
    source.handle_timeout(at(30));
    assert_eq!(drain(&mut source), [], "the answer is still awaited");
    give(&mut source, at(31), old);
    assert_eq!(
        drain(&mut source),
        [Did::Refused(RegistryErrorReason::OlderVersion)]
    );
    assert_eq!(version(&source), Some(3));
}

/// A source that sends too much has answered: it is asked again at the usual interval, and what is
/// current stays. Catches: a document over the limit that counts as a source that is down.
#[test]
fn a_document_over_the_limit_is_refused_as_oversized() {
    let mut source = loaded();
    source.handle_timeout(at(10));
    assert!(matches!(drain(&mut source)[..], [Did::Fetch(Some(_))]));
    source.handle_fetched(at(10), Ok(RegistryFetched::TooLarge { limit: 64 }));
    let did = drain(&mut source);
    assert_eq!(did, [Did::Refused(RegistryErrorReason::Oversized)]);
    assert_eq!(version(&source), Some(5));
    let (due, wake) = source.poll_timeout().unwrap();
    assert_eq!(wake, RegistryWake::Poll);
    assert!(due > at(18).mono, "not as after a failure: {due:?}");
}
