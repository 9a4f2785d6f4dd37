use super::*;

fn read(values: &[&str]) -> Option<Duration> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(GRPC_TIMEOUT, HeaderValue::from_str(value).unwrap());
    }
    grpc_timeout(&headers)
}

#[test]
fn reads_every_unit_and_nothing_else() {
    for (text, nanos) in [
        ("1H", 3_600_000_000_000),
        ("2M", 120_000_000_000),
        ("3S", 3_000_000_000),
        ("4m", 4_000_000),
        ("5u", 5_000),
        ("6n", 6),
        ("0m", 0),
        ("00000001S", 1_000_000_000),
    ] {
        let expected = Some(Duration::from_nanos(nanos));
        assert_eq!(read(&[text]), expected, "{text}");
    }
    assert!(read(&["99999999H"]).is_some());
    for bad in [
        "",
        "S",
        "1",
        "1s",
        "-1S",
        "+1S",
        "1 S",
        "1.5S",
        "000000001S",
        "1h",
        "S1",
    ] {
        assert_eq!(read(&[bad]), None, "{bad:?}");
    }
    assert_eq!(read(&[]), None);
    assert_eq!(read(&["1S", "1S"]), None);
}

/// Catches: more digits than allowed, and a deadline that grows on the way.
#[test]
fn what_is_written_is_read_and_never_longer() {
    for exponent in 0..64 {
        for nanos in [1_u64 << exponent, (1 << exponent) - 1, (1 << exponent) + 1] {
            let time = Duration::from_nanos(nanos);
            let value = grpc_timeout_value(time);
            let again = read(&[value.to_str().unwrap()]).unwrap();
            assert!(again <= time, "{time:?} {value:?}");
            // Seven digits are left at least, so little is lost.
            let lost = (time - again).as_secs_f64();
            assert!(lost <= time.as_secs_f64() / 1e4, "{time:?} {value:?}");
        }
    }
    assert_eq!(grpc_timeout_value(Duration::MAX), "99999999H");
}
