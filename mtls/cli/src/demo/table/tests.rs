use cellway_core::Reason;
use http::{HeaderMap, Version};
use serde_json::json;

use super::*;

fn caller(name: &'static str, expected: Expected) -> Caller {
    Caller::new(name, expected)
}

fn answer(status: u16, body: &Value) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        version: Version::HTTP_11,
        interim_answers: 0,
        headers: HeaderMap::new(),
        body: body.to_string().into(),
        trailers: HeaderMap::new(),
        latency: Duration::from_micros(1234),
    }
}

fn echo(cell: &str, tenant: &str) -> Value {
    json!({
        "cell": cell,
        "headers": { "x-cellway-auth": "verified", "x-cellway-tenant": tenant },
    })
}

fn denial(reason: &str) -> Value {
    json!({ "error": { "reason": reason, "owner": "router" } })
}

const ACME: Expected = Expected::served("acme", &["a", "b"]);
const EXPIRED: Expected = Expected::refused(Reason::ExpiredToken);

#[test]
fn a_row_is_as_expected_in_every_part_or_it_is_not() {
    for (expected, status, body, sound) in [
        (ACME, 200, echo("a", "acme"), true),
        (ACME, 200, echo("b", "acme"), true),
        (ACME, 200, echo("c", "acme"), false),
        (ACME, 200, echo("a", "globex"), false),
        (ACME, 500, echo("a", "acme"), false),
        (ACME, 401, denial("expired_token"), false),
        (EXPIRED, 401, denial("expired_token"), true),
        (EXPIRED, 401, denial("missing_token"), false),
        (EXPIRED, 403, denial("expired_token"), false),
        (EXPIRED, 200, echo("a", "acme"), false),
        (EXPIRED, 401, json!("not what a router says"), false),
    ] {
        let answer = answer(status, &body);
        let row = Row::new(&caller("x", expected), Ok(&answer));
        assert_eq!(row.as_expected(), sound, "{expected:?} {status} {body}");
    }
}

#[test]
fn columns_line_up() {
    let served = answer(200, &echo("standard-eu", "acme"));
    let denied = answer(401, &denial("expired_token"));
    let rows = [
        Row::new(
            &caller("acme", Expected::served("acme", &["standard-eu"])),
            Ok(&served),
        ),
        Row::new(&caller("expired", EXPIRED), Ok(&denied)),
        Row::new(&caller("wrong", ACME), Ok(&denied)),
    ];
    assert_eq!(
        render(&rows),
        "\
CALLER   DECISION   REASON         CELL         LATENCY
acme     allow 200  verified       standard-eu   1.2 ms
expired  deny 401   expired_token  -             1.2 ms
wrong    deny 401   expired_token  -             1.2 ms
  ^ expected 200 verified, acme served by a or b
"
    );
}
