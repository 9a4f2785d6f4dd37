//! The spans that the router reports of requests in sampled traces.
//!
//! A worker encodes a span when its request is over, and puts it into the queue. The
//! [exporter](crate::control_plane) sends what is there. A full queue loses the span: no request
//! ever waits for a collector.

mod protobuf;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cellway_core::trace::TraceContext;
use cellway_core::{Now, Text};
use http::Version;
use tokio::sync::{Notify, mpsc};

use self::protobuf::Message;
use crate::build;
use crate::observe::asked;
use crate::observe::event::{Exchange, Owner, Phase};

/// The most spans that wait to be sent.
pub(crate) const QUEUE_MAX: usize = 2048;
/// The most bytes of a path in a span.
const PATH_BYTES_MAX: usize = 1024;

/// An encoded span.
pub(crate) type Encoded = Box<[u8]>;

/// The router's own place in a trace, for one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnSpan {
    /// The trace, and the router's span in it.
    pub(crate) context: TraceContext,
    /// The caller's span. `None` if the router starts the trace.
    pub(crate) parent: Option<[u8; 8]>,
}

/// What a span says about its request.
pub(crate) struct Served<'a> {
    pub(crate) exchange: Exchange<'a>,
    pub(crate) listener: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) began: Now,
    pub(crate) duration: Duration,
    /// `None` if the client went away before the answer.
    pub(crate) status: Option<u16>,
    pub(crate) owner: Owner,
    /// The router's reason, if it made the answer or cut it short.
    pub(crate) reason: Option<&'static str>,
    pub(crate) cell: Option<&'a Text>,
    pub(crate) complete: bool,
}

/// The spans that wait to be sent.
#[derive(Debug)]
pub(crate) struct Spans {
    queue: mpsc::Sender<Encoded>,
    lost: AtomicU64,
    /// Notified when the router has drained, and when all spans were sent then.
    closing: Notify,
    flushed: Notify,
}

impl Spans {
    /// An empty queue, and its other end.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Encoded>) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let spans = Self {
            queue,
            lost: AtomicU64::new(0),
            closing: Notify::new(),
            flushed: Notify::new(),
        };
        (spans, waiting)
    }

    /// Adds a span. It is lost if the queue is full.
    pub(crate) fn push(&self, span: OwnSpan, served: &Served<'_>) {
        match self.queue.try_reserve() {
            Ok(place) => place.send(encode(span, served)),
            Err(_) => {
                self.lost.fetch_add(1, Relaxed);
            }
        }
    }

    /// How many spans were lost since the last call.
    pub(crate) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Relaxed)
    }

    /// Says that no spans follow.
    pub(crate) fn close(&self) {
        self.closing.notify_one();
    }

    /// Waits until all spans are sent or lost. [Close](Self::close) first.
    pub(crate) async fn flushed(&self) {
        self.flushed.notified().await;
    }

    /// Waits until no spans follow.
    pub(crate) async fn closing(&self) {
        self.closing.notified().await;
    }

    /// Says that all spans were sent or lost.
    pub(crate) fn is_flushed(&self) {
        self.flushed.notify_one();
    }
}

/// The `ExportTraceServiceRequest` with these spans.
pub(crate) fn export(service: &str, spans: &[Encoded]) -> Vec<u8> {
    let mut resource = Message::default();
    resource.message(1, &text("service.name", service));
    resource.message(1, &text("service.version", build::VERSION));
    let mut scope = Message::default();
    scope.text(1, "cellway");
    scope.text(2, build::VERSION);
    let mut scope_spans = Message::default();
    scope_spans.message(1, &scope);
    for span in spans {
        scope_spans.bytes(2, span);
    }
    let mut resource_spans = Message::default();
    resource_spans.message(1, &resource);
    resource_spans.message(2, &scope_spans);
    let mut request = Message::default();
    request.message(1, &resource_spans);
    request.finish()
}

/// A `Span` of OpenTelemetry's protocol (`opentelemetry/proto/trace/v1/trace.proto`). The attributes
/// have the names of its conventions for HTTP servers, or begin with `cellway.`.
fn encode(span: OwnSpan, served: &Served<'_>) -> Encoded {
    const KIND_SERVER: u64 = 2;
    const STATUS_ERROR: u64 = 2;
    let OwnSpan { context, parent } = span;
    let began = served.began.unix.since_epoch();
    let mut message = Message::default();
    message.bytes(1, &context.trace);
    message.bytes(2, &context.span);
    if let Some(parent) = parent {
        message.bytes(4, &parent);
    }
    message.text(5, method(&served.exchange).unwrap_or("HTTP"));
    message.number(6, KIND_SERVER);
    message.fixed64(7, nanos(began));
    message.fixed64(8, nanos(began + served.duration));
    attributes(&mut message, served);
    let failed = served.status.is_none_or(|status| status >= 500) || !served.complete;
    if failed {
        let mut status = Message::default();
        if let Some(reason) = served.reason {
            status.text(2, reason);
        }
        status.number(3, STATUS_ERROR);
        message.message(15, &status);
    }
    message.finish().into()
}

/// The method, if it is a standard one. A client can invent any number of others, of any length.
fn method(exchange: &Exchange<'_>) -> Option<&'static str> {
    let method = asked::method(exchange.method);
    (method != asked::OTHER_METHOD).then_some(method)
}

fn attributes(message: &mut Message, served: &Served<'_>) {
    let exchange = &served.exchange;
    let version = |version| match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    let mut end = exchange.path.len().min(PATH_BYTES_MAX);
    while !exchange.path.is_char_boundary(end) {
        end -= 1;
    }
    let path = &exchange.path[..end];
    let texts = [
        (
            "http.request.method",
            Some(method(exchange).unwrap_or("_OTHER")),
        ),
        ("url.path", Some(path)),
        ("http.route", exchange.applied.and_then(|it| it.route)),
        ("network.protocol.version", Some(version(exchange.version))),
        ("error.type", served.reason),
        ("cellway.listener", Some(served.listener)),
        ("cellway.request_id", Some(served.request_id)),
        ("cellway.owner", Some(served.owner.as_str())),
        ("cellway.cell", served.cell.map(Text::as_str)),
        ("cellway.tenant", exchange.tenant.map(Text::as_str)),
        ("cellway.endpoint", exchange.endpoint),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            message.message(9, &text(name, value));
        }
    }
    let phases = [
        ("cellway.decide_us", Phase::Decide),
        ("cellway.keys_us", Phase::Keys),
        ("cellway.queue_us", Phase::Queue),
        ("cellway.connect_us", Phase::Connect),
        ("cellway.cell_us", Phase::Cell),
    ];
    let phases = phases.map(|(name, phase)| (name, micros(exchange.phases.of(phase))));
    let numbers = [
        (
            "http.response.status_code",
            served.status.map_or(0, u64::from),
        ),
        ("cellway.attempts", u64::from(exchange.attempts)),
        ("cellway.tls_us", exchange.tls.map_or(0, micros)),
    ];
    for (name, value) in numbers.into_iter().chain(phases) {
        if value > 0 {
            message.message(9, &number(name, value));
        }
    }
}

/// A `KeyValue` with a text.
fn text(name: &str, value: &str) -> Message {
    let mut any = Message::default();
    any.text(1, value);
    key_value(name, &any)
}

/// A `KeyValue` with a number.
fn number(name: &str, value: u64) -> Message {
    let mut any = Message::default();
    any.number(3, value);
    key_value(name, &any)
}

fn key_value(name: &str, value: &Message) -> Message {
    let mut pair = Message::default();
    pair.text(1, name);
    pair.message(2, value);
    pair
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
