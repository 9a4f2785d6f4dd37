use super::*;

const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Version 00 with something wrong, which no receiver may use.
const BAD: [&str; 8] = [
    "",
    "00",
    "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-alice",
    "00-alice-00f067aa0ba902b7-01",
    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
];

fn headers(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
    }
    headers.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
    headers
}

#[test]
fn only_a_sound_traceparent_names_a_trace() {
    let of = |values: &[&str]| trace_id_of(&headers(values)).map(str::to_owned);
    assert_eq!(of(&[GOOD]).as_deref(), GOOD.split('-').nth(1));
    let higher = GOOD.replacen("00", "01", 1);
    for bad in BAD.into_iter().chain([higher.as_str()]) {
        assert_eq!(of(&[bad]), None, "{bad}");
    }
    assert_eq!(of(&[GOOD, GOOD]), None);
}

/// Catches: a bad field that is passed on, a good one that is lost, and state without a trace.
#[test]
fn what_no_receiver_may_use_is_removed() {
    let higher = GOOD.replacen("00", "cc", 1);
    let longer = format!("{higher}-more");
    for good in [GOOD, &higher, &longer] {
        let mut kept = headers(&[good]);
        assert!(clean(&mut kept), "{good}");
        assert_eq!(kept, headers(&[good]));
    }
    let glued = format!("{higher}more");
    let lists: Vec<Vec<&str>> = BAD.iter().map(|bad| vec![*bad]).collect();
    for bad in lists
        .into_iter()
        .chain([vec![], vec![GOOD, GOOD], vec![&glued]])
    {
        let mut removed = headers(&bad);
        assert!(!clean(&mut removed), "{bad:?}");
        assert!(removed.is_empty(), "{bad:?}: {removed:?}");
    }
}

#[test]
fn a_new_trace_is_valid_and_sampled() {
    let random = std::array::from_fn(|i| i as u8);
    let value = start(random).unwrap();
    assert_eq!(
        value,
        "00-000102030405060708090a0b0c0d0e0f-1011121314151617-01"
    );
    assert!(trace_id(&value).is_some());
    assert_eq!(start([0; 24]), None);
}

/// Catches: a context with another trace than the header's, and a header that changes on its way.
#[test]
fn a_context_is_read_and_written() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let context = |value: &'static str| {
        let headers = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(value))]);
        TraceContext::of(&headers)
    };
    let read = context(good).unwrap();
    assert!(read.is_sampled());
    assert_eq!(read.header().unwrap(), good);
    let child = read.with_span([0x11; 8]).unwrap();
    assert_eq!(
        child.header().unwrap(),
        "00-0af7651916cd43dd8448eb211c80319c-1111111111111111-01"
    );
    assert_eq!(read.with_span([0; 8]), None);
    let later = context("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more").unwrap();
    assert_eq!(later.header(), read.header());
    let unsampled = context("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").unwrap();
    assert!(!unsampled.is_sampled());
    for bad in [
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
    ] {
        assert_eq!(context(bad), None, "{bad}");
    }
}
