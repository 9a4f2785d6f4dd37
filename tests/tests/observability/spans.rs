//! Spans of requests in sampled traces, as a collector gets them.
#![expect(
    clippy::disallowed_methods,
    reason = "tests run on tokio alone and spawn what plays the collector"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cellway_testbed::{Answer, Protocol, Request, Signer};
use cellway_tests::wire::Message;
use cellway_tests::world::{Host, Running, World, until};
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A collector that keeps the bodies of what it gets.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Vec<u8>>>>);

impl Collector {
    /// Starts to listen. Without `answers`, it takes requests and never answers.
    async fn start(answers: bool) -> (Self, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let collector = Self::default();
        let bodies = Arc::clone(&collector.0);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let bodies = Arc::clone(&bodies);
                tokio::spawn(async move {
                    let body = read(&mut stream).await;
                    match answers {
                        true => {
                            bodies.lock().unwrap().push(body);
                            let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                            stream.write_all(ok).await.unwrap();
                        }
                        false => std::future::pending().await,
                    }
                });
            }
        });
        (collector, port)
    }

    /// All spans so far, in the order in which they began.
    fn spans(&self) -> Vec<Span> {
        let bodies = self.0.lock().unwrap();
        let mut spans: Vec<_> = bodies.iter().flat_map(|body| spans(body)).collect();
        spans.sort_by_key(|span| span.began);
        spans
    }
}

/// Reads one request, and returns its body.
async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        let Some(end) = bytes.windows(4).position(|at| at == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8(bytes[..end].to_ascii_lowercase()).unwrap();
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        assert!(
            head.contains("content-type: application/x-protobuf"),
            "{head}"
        );
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        while bytes.len() < end + 4 + length {
            stream.read_buf(&mut bytes).await.unwrap();
        }
        return bytes.split_off(end + 4);
    }
}

struct Span {
    trace: String,
    id: String,
    parent: String,
    began: u64,
    /// Whether it says how long the handshake took.
    handshake: bool,
    shown: Value,
}

/// The spans of an `ExportTraceServiceRequest`.
fn spans(body: &[u8]) -> Vec<Span> {
    let resource_spans = Message::parse(body).message(1).unwrap();
    let resource = attributes(&resource_spans.message(1).unwrap(), 1);
    assert_eq!(resource["service.name"], "edge");
    let scope_spans = resource_spans.message(2).unwrap();
    assert_eq!(scope_spans.message(1).unwrap().text(1), "cellway");
    scope_spans.messages(2).iter().map(span).collect()
}

fn span(span: &Message) -> Span {
    let hex = |field| -> String {
        let bytes = span.all(field).concat();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let (began, ended) = (span.number(7), span.number(8));
    assert!(began <= ended && ended - began < 60_000_000_000);
    let mut attributes = attributes(span, 9);
    assert_eq!(
        attributes
            .remove("cellway.request_id")
            .unwrap()
            .as_str()
            .unwrap()
            .len(),
        32
    );
    let handshake = attributes.contains_key("cellway.tls_us");
    // How long a phase took differs from run to run.
    attributes.retain(|name, _| !name.ends_with("_us"));
    if let Some(endpoint) = attributes.get_mut("cellway.endpoint") {
        *endpoint = json!("[endpoint]");
    }
    let status = span.message(15).unwrap_or_default();
    Span {
        trace: hex(1),
        id: hex(2),
        parent: hex(4),
        began,
        handshake,
        shown: json!({
            "name": span.text(5), "kind": span.number(6), "attributes": attributes,
            "status": [status.number(3), status.text(2)],
        }),
    }
}

fn attributes(message: &Message, field: u32) -> Map<String, Value> {
    let pairs = message.messages(field);
    let pair = |pair: &Message| {
        let value = pair.message(2).unwrap();
        let value = match value.text_or_none(1) {
            Some(text) => json!(text),
            None => json!(value.number(3)),
        };
        (pair.text(1), value)
    };
    pairs.iter().map(pair).collect()
}

async fn world(port: u16, more: &str) -> (World, Running) {
    let world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
    let url = format!("http://127.0.0.1:{port}/v1/traces");
    let trace = format!("[trace]\notlp_url = \"{url}\"\nservice = \"edge\"\n{more}");
    let router = world.with(&trace).await;
    (world, router)
}

async fn send(world: &World, router: &Running, tenant: &str, trace: Option<&str>) -> Answer {
    let client = router.client(Protocol::Http2, &[&world.authorities.servers], None);
    client.send(request(world, tenant, trace)).await.unwrap()
}

fn request(world: &World, tenant: &str, trace: Option<&str>) -> Request {
    let request = Request::get("/orders?secret=1").bearer(&world.token_of(tenant));
    match trace {
        None => request,
        Some(value) => request.header(
            HeaderName::from_static("traceparent"),
            HeaderValue::from_str(value).unwrap(),
        ),
    }
}

/// The `traceparent` that the cell got with its last request.
fn passed_on(world: &World) -> Option<String> {
    let (received, _) = world.seen.since().pop()?;
    let mut headers = received.headers.into_iter();
    headers
        .find(|(name, _)| name == "traceparent")
        .map(|(_, value)| value)
}

/// Catches: a span in the wrong place of its trace, a span of a request that is not sampled, and one
/// that is missing for a denial.
#[tokio::test]
async fn spans_are_reported_of_sampled_requests() {
    let (collector, port) = Collector::start(true).await;
    let (world, router) = world(port, "").await;
    let sampled = format!("00-{TRACE}-{CALLER}-01");
    let unsampled = format!("00-{TRACE}-{CALLER}-00");
    assert_eq!(
        send(&world, &router, "acme", Some(&sampled)).await.status,
        200
    );
    let own = passed_on(&world).unwrap();
    assert_eq!(
        send(&world, &router, "acme", Some(&unsampled)).await.status,
        200
    );
    assert_eq!(passed_on(&world), Some(unsampled));
    assert_eq!(send(&world, &router, "acme", None).await.status, 200);
    assert_eq!(passed_on(&world), None);
    assert_eq!(
        send(&world, &router, "wayne", Some(&sampled)).await.status,
        403
    );
    until("both spans are there", async || {
        collector.spans().len() == 2
    })
    .await;
    let spans = collector.spans();
    for span in &spans {
        assert_eq!((&*span.trace, &*span.parent), (TRACE, CALLER));
    }
    assert_eq!(own, format!("00-{TRACE}-{}-01", spans[0].id));
    assert_ne!(spans[0].id, spans[1].id);
    let shown: Vec<_> = spans.iter().map(|span| &span.shown).collect();
    insta::assert_json_snapshot!(shown);
    until("they are counted", async || {
        router.metric("cellway_spans_total").await == ["cellway_spans_total{result=\"sent\"} 2"]
    })
    .await;
}

/// Catches: a trace whose first span is missing, and spans that are lost at the end.
#[tokio::test]
async fn a_started_trace_has_a_root_and_a_drain_sends_what_is_left() {
    let (collector, port) = Collector::start(true).await;
    let (world, router) = world(port, "start_one_in = 1\n").await;
    assert_eq!(send(&world, &router, "acme", None).await.status, 200);
    let own = passed_on(&world).unwrap();
    router.handle.drain(Duration::from_secs(5)).await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].parent, "");
    assert_eq!(own, format!("00-{}-{}-01", spans[0].trace, spans[0].id));
}

/// Catches: a handshake that a later request claims, because the first one has no span.
#[tokio::test]
async fn only_the_first_request_of_a_connection_has_the_handshake() {
    let (collector, port) = Collector::start(true).await;
    let (world, router) = world(port, "").await;
    let sampled = format!("00-{TRACE}-{CALLER}-01");
    let client = router.client(Protocol::Http2, &[&world.authorities.servers], None);
    for traces in [[None, Some(&*sampled)], [Some(&*sampled), None]] {
        let mut connection = client.connect().await.unwrap();
        for trace in traces {
            let sent = connection.send(request(&world, "acme", trace)).await;
            assert_eq!(sent.unwrap().status, 200);
        }
    }
    until("both spans are there", async || {
        collector.spans().len() == 2
    })
    .await;
    let handshakes: Vec<_> = collector.spans().iter().map(|it| it.handshake).collect();
    assert_eq!(handshakes, [false, true]);
}

/// Catches: a span of a denied request in a trace that no line of the log names.
#[tokio::test]
async fn a_denial_names_the_trace_that_the_router_started() {
    let (collector, port) = Collector::start(true).await;
    let (world, router) = world(port, "start_one_in = 1\n").await;
    assert_eq!(send(&world, &router, "wayne", None).await.status, 403);
    until("the span is there", async || collector.spans().len() == 1).await;
    let denied = router.events.of("authz_deny");
    assert_eq!(denied[0]["trace_id"], collector.spans()[0].trace);
}

/// Catches: a request that waits for a collector, and lost spans that nobody counts.
#[tokio::test]
async fn a_collector_that_is_down_or_hangs_costs_only_spans() {
    let closed = Host::reserve();
    let (_hanging, hanging) = Collector::start(false).await;
    let short = "[fetch]\ntotal_timeout_ms = 1000\n";
    for port in [closed.address().port(), hanging] {
        let world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
        let url = format!("http://127.0.0.1:{port}/v1/traces");
        let trace = format!("[trace]\notlp_url = \"{url}\"\nstart_one_in = 1\n");
        let config = world.config().replace("[fetch]\n", short);
        world.configure(&(config + &trace));
        let router = world.router().await;
        for _ in 0..20 {
            assert_eq!(send(&world, &router, "acme", None).await.status, 200);
        }
        until("the spans are counted as lost", async || {
            let counted = router.metric("cellway_spans_total").await;
            counted == ["cellway_spans_total{result=\"not_sent\"} 20"]
        })
        .await;
        assert!(router.events.count("spans_lost") > 0);
    }
}

/// Catches: spans that a reload loses in silence.
#[tokio::test]
async fn spans_that_wait_when_a_reload_ends_them_are_counted() {
    let (_hanging, port) = Collector::start(false).await;
    let world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
    let short = "[fetch]\ntotal_timeout_ms = 3000\n";
    let config = world.config().replace("[fetch]\n", short);
    let url = format!("http://127.0.0.1:{port}/v1/traces");
    let trace = format!("[trace]\notlp_url = \"{url}\"\nstart_one_in = 1\n");
    world.configure(&(config.clone() + &trace));
    let router = world.router().await;
    assert_eq!(send(&world, &router, "acme", None).await.status, 200);
    world.configure(&config);
    router.reload().await;
    until("the span is counted", async || {
        let counted = router.metric("cellway_spans_total").await;
        counted == ["cellway_spans_total{result=\"not_sent\"} 1"]
    })
    .await;
}
