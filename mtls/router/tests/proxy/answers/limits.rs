//! How large an answer's header and trailers may be.

use cellway_testbed::Protocol;
use http::Method;
use http::header::HeaderName;

use super::{End, Step, ask, before, broken, does, head, refused, says, trailers, whole};
use crate::world::{plain, plain_endpoint, registry, start};

/// Catches: headers that are refused although they fit, and trailers that are dropped silently.
#[tokio::test]
async fn headers_and_trailers_up_to_the_limit_pass_and_are_never_cut() {
    let value = |kib: usize| "v".repeat(kib << 10);
    let ok = |last| Step::Data(b"ok", last);
    for kib in [17, 60] {
        let value = value(kib);
        let own = [("x-own", &*value)];
        let steps = vec![head(&own, false), ok(false), trailers(&own)];
        let world = before("h2c", does(steps).await).await;
        for (protocol, answer) in ask(&world, Method::GET).await {
            let answer = answer.unwrap();
            assert_eq!(answer.headers["x-own"], value, "{kib} KiB, {protocol:?}");
            if protocol == Protocol::Http2 {
                assert_eq!(answer.trailers["x-own"], value, "{kib} KiB");
            }
        }
    }
    for kib in [65, 200, 400, 900, 1_100, 2_000] {
        let value = value(kib);
        let world = before(
            "h2c",
            does(vec![head(&[("x-own", &value)], false), ok(true)]).await,
        )
        .await;
        refused(&world, &format!("a header of {kib} KiB")).await;
        let last = trailers(&[("grpc-status", "0"), ("x-own", &value)]);
        let world = before("h2c", does(vec![head(&[], false), ok(false), last]).await).await;
        broken(&world, &format!("trailers of {kib} KiB")).await;
    }
}

#[tokio::test]
async fn as_many_fields_pass_as_the_settings_say() {
    let names: Vec<String> = (0..102).map(|n| format!("x-own-{n}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (&**name, "1")).collect();
    let text = |count: usize| {
        let lines = names[..count].iter().map(|name| format!("{name}: 1\r\n"));
        format!(
            "HTTP/1.1 200 OK\r\n{}content-length: 2\r\n\r\nok",
            lines.collect::<String>()
        )
    };
    let h1 = says(text(99).as_bytes(), End::Open).await;
    let h2 = does(vec![head(&fields[..100], false), Step::Data(b"ok", true)]).await;
    for (scheme, port) in [("http", h1), ("h2c", h2)] {
        for (protocol, answer) in ask(&before(scheme, port).await, Method::GET).await {
            let answer = answer.unwrap();
            let own = |name: &&HeaderName| name.as_str().starts_with("x-own-");
            let count = answer.headers.keys().filter(own).count();
            assert!(count >= 99, "{scheme}, {protocol:?}: {count}");
        }
    }
    let h1 = says(text(100).as_bytes(), End::Open).await;
    let h2 = does(vec![head(&fields[..101], false), Step::Data(b"ok", true)]).await;
    for (scheme, port) in [("http", h1), ("h2c", h2)] {
        refused(&before(scheme, port).await, scheme).await;
        let mut settings = plain(registry(plain_endpoint(scheme, port)));
        settings.upstream.answers.header_fields_max = 101;
        let world = start(settings).await;
        whole(
            &world,
            scheme,
            Method::GET,
            "ok",
            (scheme == "http").then_some("2"),
        )
        .await;
    }
}
