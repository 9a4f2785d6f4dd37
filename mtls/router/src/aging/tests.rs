use super::*;

#[test]
fn there_is_something_to_say_twice() {
    let certificate = CertificateDates {
        setting: "trust.bundle".into(),
        position: 0,
        not_before: Unix::from_secs(0),
        not_after: Unix::from_secs(1_000),
    };
    let due = |secs| Said::due(&certificate, Unix::from_secs(secs));
    assert_eq!(
        [899, 900, 999, 1_000].map(due),
        [Said::Nothing, Said::Ending, Said::Ending, Said::Expired]
    );
    let next = |said: Said| said.next(&certificate).map(Unix::as_secs);
    let said = [Said::Nothing, Said::Ending, Said::Expired];
    assert_eq!(said.map(next), [Some(900), Some(1_000), None]);
}
