//! Asks the router in each form, and reads what it says in one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Answer, Client, Credential, Protocol, Request};
use cellway_tests::world::{Running, World};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use cellway_tests::wire::{Message, field, number};

/// A request as its client sent it.
#[derive(Clone)]
pub(crate) struct Sent {
    pub headers: Vec<(&'static str, String)>,
    pub certificate: Option<Credential>,
    pub path: &'static str,
}

/// Where the client is.
pub(crate) const ADDRESS: (&str, u16) = ("203.0.113.9", 4711);

pub(crate) const PATH: &str = "/orders?page=2";

/// Where a `CheckRequest` is taken as JSON, and a header alone.
pub(crate) const CHECK: &str = "/ext_authz/v3/check";

/// What an Envoy of the plain form may put before the path.
pub(crate) const PREFIXES: [&str; 2] = ["/ext_authz/v3/http", CHECK];

/// What is expected to happen to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It arrives with these headers, sorted.
    Arrives(Vec<(String, String)>),
    /// Its client gets this: status, headers that say why, sorted, and the page.
    Refused(u16, Vec<(String, String)>, String),
}

/// About one connection, or different each time.
const NOT_COMPARED: [&str; 10] = [
    // An Envoy says itself from whom a request came.
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "host",
    "content-length",
    "transfer-encoding",
    "x-cellway-request-id",
    "date",
    "connection",
];

fn compared(headers: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut headers: Vec<_> = headers
        .into_iter()
        .filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str()))
        .collect();
    headers.sort();
    headers
}

fn pairs(answer: &Answer) -> Vec<(String, String)> {
    let pair = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    answer.headers.iter().map(pair).collect()
}

/// The page without the request's id.
fn page(body: &[u8]) -> String {
    let Ok(mut page) = serde_json::from_slice::<Value>(body) else {
        return String::from_utf8_lossy(body).into_owned();
    };
    page["error"]["request_id"].take();
    page.to_string()
}

fn refused(status: u16, headers: Vec<(String, String)>, body: &[u8]) -> Verdict {
    Verdict::Refused(status, compared(headers), page(body))
}

/// What Envoy makes of a request's headers.
fn arrives(sent: &Sent, remove: &[String], set: &[(String, String)]) -> Verdict {
    let kept = sent.headers.iter().filter(|(name, _)| {
        let gone = |other: &String| other.eq_ignore_ascii_case(name);
        !remove.iter().any(gone) && !set.iter().any(|(other, _)| gone(other))
    });
    let kept = kept.map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    Verdict::Arrives(compared(kept.chain(set.iter().cloned())))
}

fn headers(request: Request, sent: &Sent) -> Request {
    sent.headers.iter().fold(request, |request, (name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.header(name, HeaderValue::from_str(value).unwrap())
    })
}

/// By the proxy path.
pub(crate) async fn proxied(world: &World, router: &Running, sent: &Sent) -> Verdict {
    let ca = &world.authorities.servers;
    let client = router.client(Protocol::Http1, &[ca], sent.certificate.as_ref());
    world.seen.since();
    let answer = client
        .send(headers(Request::get(sent.path), sent))
        .await
        .unwrap();
    match world.seen.since().pop() {
        Some((received, _)) => {
            assert_eq!(received.path, sent.path);
            Verdict::Arrives(compared(received.headers))
        }
        None => refused(answer.status.as_u16(), pairs(&answer), &answer.body),
    }
}

fn encoded(credential: &Credential) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    credential.pem().bytes().map(escape).collect()
}

/// The headers as Envoy joins them.
fn joined(sent: &Sent) -> Vec<(String, String)> {
    let mut joined: Vec<(String, String)> = Vec::new();
    for (name, value) in &sent.headers {
        let name = name.to_ascii_lowercase();
        match joined.iter_mut().find(|(other, _)| *other == name) {
            Some((_, all)) => *all = format!("{all},{value}"),
            None => joined.push((name, value.clone())),
        }
    }
    joined
}

/// A `CheckRequest`; with `raw`, of an Envoy with `encode_raw_headers`.
pub(crate) fn question(sent: &Sent, raw: bool) -> Vec<u8> {
    let mut http = Vec::new();
    http.extend(field(1, "17"));
    http.extend(field(2, "GET"));
    if raw {
        let pseudo = [
            (":method", "GET".to_owned()),
            (":path", sent.path.to_owned()),
        ];
        let fields = pseudo
            .iter()
            .chain(&sent.headers)
            .flat_map(|(name, value)| {
                let name = name.to_ascii_lowercase();
                field(1, [field(1, name), field(3, value)].concat())
            });
        http.extend(field(13, fields.collect::<Vec<u8>>()));
    } else {
        for (name, value) in joined(sent) {
            http.extend(field(3, [field(1, name), field(2, value)].concat()));
        }
    }
    http.extend(field(4, sent.path));
    http.extend(field(5, "shop.example"));
    http.extend(field(10, "HTTP/1.1"));
    let certificate = sent.certificate.as_ref().map(encoded);
    let socket = [
        number(1, 0),
        field(2, ADDRESS.0),
        number(3, ADDRESS.1.into()),
    ]
    .concat();
    let source = [
        field(1, field(1, socket)),
        field(5, certificate.unwrap_or_default()),
    ]
    .concat();
    let attributes = [
        field(
            1,
            [field(4, "spiffe://clients.test/tenant/forged"), source].concat(),
        ),
        field(4, field(2, http)),
        field(10, [field(1, "key"), field(2, "value")].concat()),
    ];
    field(1, attributes.concat())
}

/// A message with its prefix.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

/// The call of `Check` with this body.
pub(crate) fn check(body: Bytes) -> Request {
    let mut request = Request::get("/envoy.service.auth.v3.Authorization/Check");
    request.method = Method::POST;
    request.body = body;
    let kind = HeaderValue::from_static("application/grpc");
    request.header(http::header::CONTENT_TYPE, kind)
}

/// Calls `Check` with this body.
pub(crate) async fn call(client: &Client<TokioEnv>, body: Bytes) -> Answer {
    client.send(check(body)).await.unwrap()
}

/// By gRPC.
pub(crate) async fn grpc(client: &Client<TokioEnv>, sent: &Sent, raw: bool) -> Verdict {
    let answer = call(client, framed(&question(sent, raw))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.trailers["grpc-status"], "0", "{:?}", answer.headers);
    let message = &answer.body[5..];
    assert_eq!(answer.body[..5], framed(message)[..5]);
    let response = Message::parse(message);
    let code = response.message(1).unwrap().number(1);
    assert!(response.message(4).unwrap().all(1).len() <= 4);
    match (response.message(2), response.message(3)) {
        (Some(denied), None) => {
            assert!([7, 13, 14, 16].contains(&code), "{code}");
            let status = denied.message(1).unwrap().number(1);
            let headers = options(&denied);
            refused(status as u16, headers, denied.text(3).as_bytes())
        }
        (None, Some(allowed)) => {
            assert_eq!(code, 0);
            let remove = allowed.all(5).into_iter();
            let remove: Vec<_> = remove
                .map(|name| String::from_utf8(name.to_vec()).unwrap())
                .collect();
            arrives(sent, &remove, &options(&allowed))
        }
        both => panic!("{both:?}"),
    }
}

fn options(message: &Message) -> Vec<(String, String)> {
    let option = |option: &Message| {
        let append = option.message(2).expect("it says whether to append");
        assert_eq!(append.number(1), 0, "it replaces what was there");
        let header = option.message(1).unwrap();
        (header.text(1), header.text(2))
    };
    message.messages(2).iter().map(option).collect()
}

/// A `CheckRequest` as JSON; snake case and raw values, or camel case and joined ones.
fn json_question(sent: &Sent, raw: bool) -> Value {
    let certificate = sent.certificate.as_ref().map(encoded).unwrap_or_default();
    let mut http = json!({"method": "GET", "path": sent.path, "host": "shop.example", "size": "-1",
                          "protocol": "HTTP/1.1"});
    if raw {
        let fields = sent
            .headers
            .iter()
            .map(|(name, value)| json!({"key": name, "raw_value": STANDARD.encode(value)}));
        http["header_map"] = json!({"headers": fields.collect::<Vec<_>>()});
    } else {
        let fields = joined(sent).into_iter();
        let fields = fields.map(|(name, value)| (name, Value::from(value)));
        http["headers"] = Value::Object(fields.collect());
    }
    let (ip, port) = ADDRESS;
    let address = match raw {
        true => json!({"socket_address": {"address": ip, "port_value": port}}),
        false => json!({"socketAddress": {"address": ip, "portValue": port}}),
    };
    json!({"attributes": {
        "source": {"address": address, "certificate": certificate,
                   "principal": "spiffe://clients.test/tenant/forged"},
        "request": {"time": "2030-01-01T00:00:00Z", "http": http},
        "contextExtensions": {"key": "value"},
    }})
}

/// Posts this as JSON.
pub(crate) async fn post(client: &Client<TokioEnv>, body: impl Into<Bytes>) -> Answer {
    let mut request = Request::get(CHECK);
    request.method = Method::POST;
    request.body = body.into();
    client.send(request).await.unwrap()
}

/// By JSON. Status and header of the answer must say the same as its body.
pub(crate) async fn json(client: &Client<TokioEnv>, sent: &Sent, raw: bool) -> Verdict {
    let answer = post(client, json_question(sent, raw).to_string()).await;
    let verdict = in_body(sent, &answer);
    match &verdict {
        Verdict::Arrives(_) => assert_eq!(in_header(sent, &answer), verdict),
        Verdict::Refused(status, headers, _) => {
            assert_eq!(answer.status, *status);
            assert_eq!(&compared(pairs(&answer)), headers);
        }
    }
    verdict
}

/// What the `CheckResponse` says.
fn in_body(sent: &Sent, answer: &Answer) -> Verdict {
    let response: Value = serde_json::from_slice(&answer.body).unwrap();
    let options = |value: &Value| -> Vec<(String, String)> {
        let option = |option: &Value| {
            assert_eq!(option["append"], false);
            let text = |name: &str| option["header"][name].as_str().unwrap().to_owned();
            (text("key"), text("value"))
        };
        value.as_array().unwrap().iter().map(option).collect()
    };
    if let Some(denied) = response.get("deniedResponse") {
        assert_ne!(response["status"]["code"], 0);
        let status = denied["status"]["code"].as_u64().unwrap();
        let body = denied["body"].as_str().unwrap();
        return refused(status as u16, options(&denied["headers"]), body.as_bytes());
    }
    assert_eq!(response["status"]["code"], 0);
    let allowed = &response["okResponse"];
    let remove = allowed["headersToRemove"].as_array().unwrap().iter();
    let remove: Vec<_> = remove
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    arrives(sent, &remove, &options(&allowed["headers"]))
}

/// By Envoy's plain form, under this prefix.
pub(crate) async fn plain(client: &Client<TokioEnv>, sent: &Sent, prefix: &str) -> Verdict {
    let path = format!("{prefix}{}", sent.path);
    let answer = client.send(headers(Request::get(&path), sent)).await;
    in_header(sent, &answer.unwrap())
}

/// By the header alone, without method and path.
pub(crate) async fn bare(client: &Client<TokioEnv>, sent: &Sent) -> Verdict {
    let mut request = headers(Request::get(CHECK), sent);
    request.method = Method::POST;
    in_header(sent, &client.send(request).await.unwrap())
}

/// What status and header say.
fn in_header(sent: &Sent, answer: &Answer) -> Verdict {
    if answer.status != 200 {
        return refused(answer.status.as_u16(), pairs(answer), &answer.body);
    }
    let remove = answer.headers.get("x-envoy-auth-headers-to-remove");
    let remove = remove.map_or("", |names| names.to_str().unwrap());
    let remove: Vec<_> = remove.split(',').map(str::to_owned).collect();
    let set = pairs(answer).into_iter();
    let set: Vec<_> = set
        .filter(|(name, _)| name.starts_with("x-cellway-"))
        .collect();
    arrives(sent, &remove, &set)
}
