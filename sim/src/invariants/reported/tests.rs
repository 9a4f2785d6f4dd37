use cellway_core::Reason;

use super::super::testing::*;
use super::*;

/// A request with this answer, whose end the router reports so, before and after the client.
fn fed(answer: &Answer, change: impl Fn(&mut Responded)) -> Result<(), String> {
    fed_after(&[], answer, change)
}

fn fed_after(
    before: &[Fact],
    answer: &Answer,
    change: impl Fn(&mut Responded),
) -> Result<(), String> {
    let Fact::Responded(mut reported) = responded("r") else {
        unreachable!("it is a report");
    };
    change(&mut reported);
    let traced = traced("t", "r");
    let [end, got] = [Fact::Responded(reported), answered("t", answer.clone())];
    let later = before.iter().cloned();
    let first = later
        .clone()
        .chain([end.clone(), traced.clone(), got.clone()]);
    let second = later.chain([traced, got, end]);
    let results = [first.collect::<Vec<_>>(), second.collect()]
        .map(|facts| feed(&mut ReportedTruly::default(), &facts));
    assert_eq!(results[0], results[1], "the order must not matter");
    results[0].clone()
}

fn overloaded() -> Answer {
    Answer::Router("overloaded".to_owned())
}

#[test]
fn a_true_report_passes() {
    assert_eq!(fed(&Answer::Ok, |_| ()), Ok(()));
    assert_eq!(fed(&Answer::Cell(500), |it| it.status = Some(500)), Ok(()));
    assert_eq!(
        fed(&overloaded(), |it| it.reason = Some(Reason::Overloaded)),
        Ok(())
    );
    // What a client didn't get whole, it can't compare.
    assert_eq!(
        fed(&Answer::None, |it| it.reason = Some(Reason::CellReset)),
        Ok(())
    );
}

#[test]
fn notices_another_reason_or_status() {
    let error = fed(&Answer::Ok, |it| it.reason = Some(Reason::CellReset)).unwrap_err();
    assert!(
        error.contains("answered ok, but router-1 reports the reason"),
        "{error}"
    );
    assert!(fed(&overloaded(), |_| ()).is_err());
    let error = fed(&Answer::Cell(500), |_| ()).unwrap_err();
    assert!(error.contains("reports the status 200"), "{error}");
}

#[test]
fn notices_another_reason_than_was_decided() {
    let overload = |it: &mut Responded| it.reason = Some(Reason::Overloaded);
    let revoked = [denied("r", Reason::Revoked)];
    let error = fed_after(&revoked, &overloaded(), overload).unwrap_err();
    assert!(error.contains("but router-1 decided revoked"), "{error}");
    let same = [denied("r", Reason::Overloaded)];
    assert_eq!(fed_after(&same, &overloaded(), overload), Ok(()));
}
