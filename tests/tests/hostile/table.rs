//! Sending a row's request, and writing down what became of it.

use cellway_testbed::{Answer, ClientError, Credential, Protocol, Request};
use cellway_tests::world::{Exchange, Running, World, reason};
use http::header::WWW_AUTHENTICATE;

/// What the router stamps is shown without this.
const PREFIX: &str = "x-cellway-";
/// Different in each run, or about the connection only.
const NOT_SHOWN: [&str; 5] = [
    "host",
    "content-length",
    "transfer-encoding",
    "te",
    "x-cellway-request-id",
];

pub(crate) struct Table<'a> {
    pub world: &'a World,
    pub router: &'a Running,
    lines: Vec<String>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(world: &'a World, router: &'a Running) -> Self {
        let lines = Vec::new();
        Self {
            world,
            router,
            lines,
        }
    }

    pub(crate) fn text(&self) -> String {
        self.lines.join("\n")
    }

    pub(crate) fn section(&mut self, name: &str) {
        if !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        self.lines.push(format!("== {name}"));
    }

    /// A request without a client certificate, over both protocols.
    pub(crate) async fn ask(&mut self, what: &str, request: Request) {
        self.both(what, None, request).await;
    }

    /// A request over HTTP/1.1 and over HTTP/2: one line if both come to the same.
    pub(crate) async fn both(
        &mut self,
        what: &str,
        credential: Option<&Credential>,
        request: Request,
    ) {
        let h1 = self.send(Protocol::Http1, credential, request.clone());
        let h1 = h1.await;
        let h2 = self.send(Protocol::Http2, credential, request).await;
        if h1 == h2 {
            self.row(what, "h1 h2", &h1);
        } else {
            self.row(what, "h1", &h1);
            self.row(what, "h2", &h2);
        }
    }

    /// A request over one protocol.
    pub(crate) async fn one(&mut self, what: &str, protocol: Protocol, request: Request) {
        let outcome = self.send(protocol, None, request).await;
        let name = match protocol {
            Protocol::Http1 => "h1",
            Protocol::Http2 => "h2",
        };
        self.row(what, name, &outcome);
    }

    pub(crate) fn row(&mut self, what: &str, protocols: &str, outcome: &str) {
        let line = format!("{what:<44} {protocols:<6} {outcome}");
        self.lines.push(line.trim_end().to_owned());
    }

    /// What the metrics say.
    pub(crate) async fn counted(&mut self, metric: &str) {
        let samples = self.router.metric(metric).await;
        self.lines.extend(samples);
    }

    async fn send(
        &self,
        protocol: Protocol,
        credential: Option<&Credential>,
        request: Request,
    ) -> String {
        let ca = &self.world.authorities.servers;
        let client = self.router.client(protocol, &[ca], credential);
        let refused = self.router.events.count("tls_refused");
        let said = match client.send(request).await {
            Ok(answer) => said(&answer),
            Err(ClientError::Http(_)) if credential.is_none() => "no answer".to_owned(),
            // In TLS 1.3 the client is done before the server has looked at its certificate, so
            // the refusal meets whatever the client does next.
            Err(_) => {
                let line = self.router.events.after("tls_refused", refused).await;
                format!("no TLS: {}", line["reason"].as_str().unwrap())
            }
        };
        format!("{said:<56} {}", self.received())
    }

    /// What reached the cell since the last row.
    pub(crate) fn received(&self) -> String {
        let seen: Vec<String> = self.world.seen.since().iter().map(shown).collect();
        match seen.is_empty() {
            true => "-".to_owned(),
            false => seen.join(" AND "),
        }
    }
}

/// Status, reason, owner and challenge of an answer.
fn said(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    let Some(owner) = answer.headers.get("x-cellway-owner") else {
        // hyper answers what it can't read.
        assert!(answer.body.is_empty(), "{:?}", answer.body);
        return format!("{status} - -");
    };
    if owner == "cell" {
        assert!(!answer.headers.contains_key(WWW_AUTHENTICATE));
        return format!("{status} cell");
    }
    let challenge = answer.headers.get(WWW_AUTHENTICATE);
    let challenge = challenge.map_or("-", |value| value.to_str().unwrap());
    let challenge = challenge.split(", error_description").next().unwrap();
    let challenge = challenge
        .replace(" realm=\"cellway\"", "")
        .replace(", error=\"", " ")
        .replace('"', "");
    format!("{status} router {} [{challenge}]", reason(answer))
}

fn shown((received, ended): &Exchange) -> String {
    let mut words = vec![format!("{} {}", received.method, received.path)];
    words.extend(fields(&received.headers));
    let ended = ended.as_ref().expect("the cell answered after the end");
    if ended.body_bytes > 0 {
        words.push(format!("body={}", ended.body_bytes));
    }
    if !ended.trailers.is_empty() {
        words.push("trailers:".to_owned());
        words.extend(fields(&ended.trailers));
    }
    words.join(" ")
}

/// The order of different names means nothing, and the two protocols have orders of their own.
fn fields(all: &[(String, String)]) -> Vec<String> {
    let mut fields: Vec<String> = all.iter().filter_map(field).collect();
    fields.sort();
    fields
}

/// A field that isn't empty, which what the router doesn't know is.
fn field((name, value): &(String, String)) -> Option<String> {
    let name_shown = name.strip_prefix(PREFIX).unwrap_or(name);
    let hidden = NOT_SHOWN.contains(&name.as_str()) || value.is_empty();
    let hidden = hidden || is_of_the_way(name, value);
    (!hidden).then(|| format!("{name_shown}={value}"))
}

/// What the router itself says of a request's way. A client's own value would be shown.
fn is_of_the_way(name: &str, value: &str) -> bool {
    match name {
        "x-forwarded-for" => value == "127.0.0.1",
        "x-forwarded-proto" => value == "https",
        "x-forwarded-host" => value == "a" || value.starts_with("127.0.0.1:"),
        "forwarded" => value.starts_with("for=127.0.0.1;proto=https;host=\""),
        _ => false,
    }
}
