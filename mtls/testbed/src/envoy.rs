//! The part of an Envoy that `ext_authz` needs: it asks a router about each request, and forwards
//! the request to a cell only if the router allows it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_env::Env;
use cellway_envoy::grpc;
use cellway_envoy::{
    Attributes, CheckRequest, CheckResponse, HeaderMap as Fields, HeaderValue as Field,
    HeaderValueOption, HttpRequest, HttpResponse, Request as Asked,
};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request as Incoming, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming as IncomingBody;

use super::body::Buffered;
use super::client::{Client, Request};
use super::serve::{self, Handler, Peer};
use super::{Answer, ServerTls};

/// gRPC's name of the method.
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The most bytes of a forwarded request's body.
const BODY_LEN_MAX: usize = 1 << 20;

/// Fields that concern one connection and aren't forwarded. Trailers aren't forwarded either: by
/// default, an Envoy drops them towards HTTP/1.1.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// What came of asking a router about a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckOutcome {
    /// The request is allowed, with this id and for this cell.
    Allowed {
        /// The router's id of the request.
        request_id: String,
        /// The cell's id.
        cell: String,
    },
    /// The request is denied.
    Denied,
    /// No valid answer came in time.
    Error,
}

/// An Envoy with `failure_mode_allow: false`, a route that follows the header with the cell's id,
/// and no client certificates.
#[derive(Clone)]
pub struct Envoy<E: Env>(Arc<Inner<E>>);

struct Inner<E: Env> {
    env: E,
    prefix: String,
    authorizer: Client<E>,
    cells: Cells<E>,
    sink: Sink,
}

/// Finds a cell by its id.
type Cells<E> = Box<dyn Fn(&str) -> Option<Client<E>> + Send + Sync>;

/// Receives the router's answer about a request with these headers.
type Sink = Box<dyn Fn(&HeaderMap, &CheckOutcome) + Send + Sync>;

/// What the Envoy does with a request.
enum Action {
    Forward {
        set: Vec<HeaderValueOption>,
        remove: Vec<String>,
    },
    Respond(Response<Buffered>),
}

impl<E: Env> Envoy<E> {
    /// Creates an Envoy that asks `authorizer`, finds each cell by its id in `cells`, and reports
    /// the answers about each request to `sink`. `prefix` is the prefix of the router's headers.
    pub fn new(
        env: E,
        prefix: &str,
        authorizer: Client<E>,
        cells: impl Fn(&str) -> Option<Client<E>> + Send + Sync + 'static,
        sink: impl Fn(&HeaderMap, &CheckOutcome) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            env,
            prefix: prefix.to_owned(),
            authorizer,
            cells: Box::new(cells),
            sink: Box::new(sink),
        }))
    }

    /// Serves until the listener fails.
    ///
    /// # Errors
    /// What the listener's `accept` returned.
    pub async fn serve(&self, listener: E::Listener, tls: ServerTls) -> std::io::Result<()> {
        serve::serve(self.0.env.clone(), listener, tls, self.clone()).await
    }

    async fn ask(&self, head: &Parts) -> Option<CheckResponse> {
        let mut request = Request::get(CHECK);
        request.method = Method::POST;
        request.body = grpc::write(&question(head));
        let kind = HeaderValue::from_static("application/grpc");
        let request = request.header(header::CONTENT_TYPE, kind);
        let answer = self.0.authorizer.send(request).await.ok()?;
        let status = answer.trailers.get("grpc-status");
        if answer.status != StatusCode::OK || status.is_none_or(|status| status != "0") {
            return None;
        }
        grpc::read(&answer.body).ok()
    }

    /// Reads the answer as an Envoy does: the request is allowed only with status 0 and a message
    /// that says how to forward it.
    fn interpret(&self, response: Option<CheckResponse>) -> (CheckOutcome, Action) {
        let error = || {
            let forbidden = Buffered::empty(StatusCode::FORBIDDEN);
            (CheckOutcome::Error, Action::Respond(forbidden))
        };
        let Some(response) = response else {
            return error();
        };
        let code = response.status.map(|status| status.code);
        match (code, response.http_response) {
            (Some(0), Some(HttpResponse::Ok(allowed))) => {
                let of =
                    |name: &str| set_value(&allowed.headers, &format!("{}{name}", self.0.prefix));
                let (Some(request_id), Some(cell)) = (of("request-id"), of("cell")) else {
                    return error();
                };
                let forward = Action::Forward {
                    set: allowed.headers,
                    remove: allowed.headers_to_remove,
                };
                (CheckOutcome::Allowed { request_id, cell }, forward)
            }
            (Some(1..), Some(HttpResponse::Denied(denied))) => {
                let status = denied
                    .status
                    .and_then(|status| u16::try_from(status.code).ok());
                let status = status.and_then(|status| StatusCode::from_u16(status).ok());
                let mut response = Response::new(Buffered::whole(denied.body.into()));
                *response.status_mut() = status.unwrap_or(StatusCode::FORBIDDEN);
                set_all(response.headers_mut(), &denied.headers);
                (CheckOutcome::Denied, Action::Respond(response))
            }
            _ => error(),
        }
    }

    async fn forward(
        &self,
        head: Parts,
        body: Bytes,
        set: &[HeaderValueOption],
        remove: &[String],
    ) -> Response<Buffered> {
        let unavailable = || Buffered::empty(StatusCode::SERVICE_UNAVAILABLE);
        let mut headers = head.headers;
        for name in HOP_BY_HOP {
            headers.remove(name);
        }
        for name in remove {
            headers.remove(name.as_str());
        }
        set_all(&mut headers, set);
        // The header as it is now selects the route.
        let cell = headers.get(format!("{}cell", self.0.prefix));
        let cell = cell.and_then(|cell| cell.to_str().ok());
        let Some(client) = cell.and_then(|cell| (self.0.cells)(cell)) else {
            return unavailable();
        };
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request {
            method: head.method,
            path: path.to_owned(),
            headers,
            body,
            pause: Duration::ZERO,
            unfinished: false,
            breaks_off: None,
            stops_reading: false,
            trailers: HeaderMap::new(),
        };
        match client.send(request).await {
            Ok(answer) => self.answer_of(answer),
            Err(_) => unavailable(),
        }
    }

    /// The cell's answer, without the router's headers.
    fn answer_of(&self, answer: Answer) -> Response<Buffered> {
        let mut response = Response::new(Buffered::whole(answer.body));
        *response.status_mut() = answer.status;
        let kept = answer.headers.into_iter().filter_map(|(name, value)| {
            let name = name?;
            let own = name.as_str().starts_with(&self.0.prefix) || HOP_BY_HOP.contains(&name);
            (!own).then_some((name, value))
        });
        response.headers_mut().extend(kept);
        response
    }
}

impl<E: Env> Handler for Envoy<E> {
    async fn answer(&self, _: &Peer, request: Incoming<IncomingBody>) -> Response<Buffered> {
        let (head, body) = request.into_parts();
        let (outcome, action) = self.interpret(self.ask(&head).await);
        (self.0.sink)(&head.headers, &outcome);
        match action {
            Action::Respond(response) => response,
            Action::Forward { set, remove } => {
                match Limited::new(body, BODY_LEN_MAX).collect().await {
                    Ok(body) => self.forward(head, body.to_bytes(), &set, &remove).await,
                    Err(_) => Buffered::empty(StatusCode::PAYLOAD_TOO_LARGE),
                }
            }
        }
    }
}

/// The check request for this head, as with `encode_raw_headers`.
fn question(head: &Parts) -> CheckRequest {
    let field = |(name, value): (&HeaderName, &HeaderValue)| Field {
        key: name.to_string(),
        value: String::new(),
        raw_value: value.as_bytes().to_vec(),
    };
    let fields = head.headers.iter();
    let fields = fields.filter(|(name, _)| !HOP_BY_HOP.contains(name));
    let host = head.uri.authority().map(ToString::to_string);
    let http = HttpRequest {
        method: head.method.to_string(),
        path: head
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned(),
        host: host.unwrap_or_else(|| "cell".to_owned()),
        protocol: "HTTP/2".to_owned(),
        header_map: Some(Fields {
            headers: fields.map(field).collect(),
        }),
        ..HttpRequest::default()
    };
    CheckRequest {
        attributes: Some(Attributes {
            source: None,
            request: Some(Asked { http: Some(http) }),
        }),
    }
}

fn set_value(set: &[HeaderValueOption], name: &str) -> Option<String> {
    let mut headers = set.iter().filter_map(|option| option.header.as_ref());
    let found = headers.find(|header| header.key == name)?;
    Some(found.value.clone())
}

fn set_all(headers: &mut HeaderMap, set: &[HeaderValueOption]) {
    for header in set.iter().filter_map(|option| option.header.as_ref()) {
        let name = HeaderName::try_from(&header.key);
        let value = HeaderValue::try_from(&header.value);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
}
