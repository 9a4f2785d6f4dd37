use http::HeaderValue;

use super::*;

#[test]
fn only_a_sound_traceparent_names_a_trace() {
    let of = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("traceparent", HeaderValue::from_str(value).unwrap());
        }
        trace_id(&headers).map(str::to_owned)
    };
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(of(&[good]).as_deref(), Some(trace));
    for bad in [
        "",
        "00",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-alice",
        "00-alice-00f067aa0ba902b7-01",
    ] {
        assert_eq!(of(&[bad]), None, "{bad}");
    }
    assert_eq!(of(&[good, good]), None);
}

#[test]
fn made_up_methods_have_one_name() {
    assert_eq!(method(&Method::GET), "GET");
    assert_eq!(method(&Method::from_bytes(b"ALICE").unwrap()), "other");
}
