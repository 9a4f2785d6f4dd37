use super::*;

#[test]
fn spans() {
    let millis = |text| Span::parse(text).map(|span| span.0.as_millis());
    assert_eq!(millis("250ms"), Some(250));
    assert_eq!(millis("5 s"), Some(5000));
    assert_eq!(millis("2min"), Some(120_000));
    assert_eq!(millis("87600h"), Some(315_360_000_000));
    let endless = "99999999999999999999s";
    for wrong in ["", "5", "s", "-1s", "1.5s", "5m", "87601h", endless] {
        assert_eq!(millis(wrong), None, "{wrong:?}");
    }
}

#[test]
fn rates() {
    let micros = |text| Rate::parse(text).map(|rate| rate.interval.as_micros());
    assert_eq!(micros("5/s"), Some(200_000));
    assert_eq!(micros("30/min"), Some(2_000_000));
    for wrong in ["5", "0/s", "1001/s", "a/s", "5/d"] {
        assert_eq!(micros(wrong), None, "{wrong:?}");
    }
}
