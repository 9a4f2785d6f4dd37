use super::*;
use crate::json;

fn read(claim: DateClaim, value: &str) -> Result<Option<u64>, JwsError> {
    let text = format!(r#"{{"exp":{value},"nbf":{value},"iat":{value}}}"#);
    claim.read(&json::strict_object(text.as_bytes()).unwrap())
}

#[test]
fn fractions_are_rounded_to_the_stricter_side() {
    use DateClaim::*;
    for (value, exp, others) in [
        ("0", 0, 0),
        ("-0", 0, 0),
        ("7", 7, 7),
        ("7.0", 7, 7),
        ("7.000001", 7, 8),
        ("7.999999", 7, 8),
        ("1.8e9", 1_800_000_000, 1_800_000_000),
        ("253402300799", DATE_MAX_SECS, DATE_MAX_SECS),
    ] {
        assert_eq!(read(Exp, value), Ok(Some(exp)), "{value}");
        assert_eq!(read(Nbf, value), Ok(Some(others)), "{value}");
        assert_eq!(read(Iat, value), Ok(Some(others)), "{value}");
    }
    let none = json::strict_object(b"{}").unwrap();
    assert_eq!(Exp.read(&none), Ok(None));
    assert_eq!(read(Exp, "null"), Ok(None));
}

#[test]
fn invalid_dates_are_refused() {
    for value in [
        "true",
        r#""1800000000""#,
        "[1800000000]",
        "{}",
        "-1",
        "-0.5",
        "-1e300",
        "253402300800",
        "253402300799.5e1",
        "1800000000000",
        "18446744073709551615",
        "18446744073709551616",
        "1e308",
    ] {
        for claim in [DateClaim::Exp, DateClaim::Nbf, DateClaim::Iat] {
            let refused = read(claim, value);
            assert!(
                matches!(refused, Err(JwsError::Malformed(_))),
                "{claim:?} {value}: {refused:?}"
            );
        }
    }
}
