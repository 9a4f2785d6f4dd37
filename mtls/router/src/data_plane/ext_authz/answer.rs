//! Writes the decision in the form of the caller's check.

use std::collections::BTreeMap;

use cellway_core::Allow;
use cellway_core::headers::HeaderRules;
use cellway_env::Env;
use cellway_envoy::grpc;
use cellway_envoy::{
    Allowed, Bool, CheckResponse, Denied, HeaderValue as Header, HeaderValueOption, HttpResponse,
    HttpStatus, Status, Struct, Value,
};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::Form;
use crate::data_plane::authz::Refused;
use crate::data_plane::proxy::answer::{self, Wants};
use crate::data_plane::proxy::{Answer, Report, ResponseBody};
use crate::health_service::{self, Call};
use crate::observe::event::{Owner, Sink};
use crate::view::View;

/// The answer's header that tells Envoy which headers to remove.
const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// The changes to an allowed request's header.
pub(super) struct Mutations {
    set: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
    metadata: BTreeMap<&'static str, String>,
}

impl Mutations {
    /// The changes that turn a header with the names `before` into the sanitized and stamped one.
    pub(super) fn new(
        before: &[HeaderName],
        after: &HeaderMap,
        view: &View,
        allow: &Allow,
    ) -> Self {
        let rules = view.config.header_rules();
        let own = after.iter().filter(|(name, _)| rules.reserves(name));
        let gone = before.iter().filter(|name| !after.contains_key(*name));
        let mut metadata = BTreeMap::from([
            ("cell", allow.cell.id.to_string()),
            ("reason", allow.reason.as_str().to_owned()),
        ]);
        let tenant = allow.identity.tenant.as_ref();
        metadata.extend(tenant.map(|tenant| ("tenant", tenant.to_string())));
        let placement = allow.placement.as_ref();
        metadata.extend(placement.map(|placement| ("placement", placement.to_string())));
        let failover = allow.failed_over.as_ref();
        metadata.extend(failover.map(|it| ("failover", it.reason.as_str().to_owned())));
        Self {
            set: own
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            remove: gone.cloned().collect(),
            metadata,
        }
    }

    /// The changes as an answer's header: the headers to set, and one header with the names to
    /// remove.
    fn as_headers(&self) -> HeaderMap {
        let mut headers: HeaderMap = self.set.iter().cloned().collect();
        let names: Vec<&str> = self.remove.iter().map(HeaderName::as_str).collect();
        // Header names and commas are always a valid value.
        if let Ok(names) = HeaderValue::try_from(names.join(","))
            && !names.is_empty()
        {
            headers.insert(TO_REMOVE, names);
        }
        headers
    }
}

/// Answers that the request is allowed, with these changes.
pub(super) fn allow<E: Env, S: Sink>(
    report: Report<E, S>,
    rules: &HeaderRules,
    form: Form,
    mutations: Mutations,
) -> Answer<E, S> {
    if form == Form::Http {
        return plain(report, mutations);
    }
    let said = match form {
        Form::Json => Some(mutations.as_headers()),
        Form::Grpc | Form::Http => None,
    };
    let Some(headers) = options(mutations.set) else {
        return unsayable(report, rules, form);
    };
    let explanation = report.explained.field();
    let explanation = explanation.map(|field| {
        // A cache must not give it to clients that have no token.
        let no_store = HeaderValue::from_static("no-store");
        [
            (rules.explanation().clone(), field),
            (CACHE_CONTROL, no_store),
        ]
    });
    let remove = mutations.remove.iter().map(HeaderName::to_string);
    let allowed = Allowed {
        headers,
        headers_to_remove: remove.collect(),
        response_headers_to_add: options(explanation.into_iter().flatten()).unwrap_or_default(),
    };
    let response = CheckResponse {
        status: Some(status(0, "")),
        http_response: Some(HttpResponse::Ok(allowed)),
        dynamic_metadata: Some(metadata(mutations.metadata)),
    };
    send(report, form, &response, (StatusCode::OK, said))
}

/// Answers that the request is denied, with the answer for its client.
pub(super) fn deny<E: Env, S: Sink>(
    mut report: Report<E, S>,
    rules: &HeaderRules,
    form: Form,
    refused: &Refused,
    wants: &Wants,
) -> Answer<E, S> {
    if form == Form::Http {
        return answer::from_router(report, rules, refused, wants);
    }
    report.refused(refused);
    let mut headers = HeaderMap::new();
    answer::say_why(&report, rules, refused, &mut headers);
    let body = if wants.grpc {
        // Envoy makes `grpc-status` from the status and `grpc-message` from the body.
        refused.reason.as_str().to_owned()
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        String::from_utf8_lossy(&answer::json(&report, refused)).into_owned()
    };
    let said = (form == Form::Json).then(|| headers.clone());
    let headers = headers
        .into_iter()
        .filter_map(|(name, value)| Some((name?, value)));
    let Some(headers) = options(headers) else {
        return unsayable(report, rules, form);
    };
    // Use the class, which a policy may change, and not the reason's own class, as the proxy path
    // does.
    let (reason, class) = (refused.reason, refused.class);
    let code = class.grpc_status().unwrap_or(2);
    let http = class.status().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let denied = Denied {
        status: Some(HttpStatus {
            code: http.as_u16().into(),
        }),
        headers,
        body,
    };
    let response = CheckResponse {
        status: Some(status(code.into(), reason.as_str())),
        http_response: Some(HttpResponse::Denied(denied)),
        dynamic_metadata: Some(metadata(BTreeMap::from([(
            "reason",
            reason.as_str().to_owned(),
        )]))),
    };
    send(report, form, &response, (http, said))
}

/// Answers a call of the health service.
pub(super) fn health<E: Env, S: Sink>(
    report: Report<E, S>,
    call: Call,
    body: &[u8],
) -> Answer<E, S> {
    let readiness = report.connection.worker.readiness.clone();
    let (head, body) = health_service::answer(call, body, readiness).into_parts();
    let (report, mut response) = begun(report, head.status);
    response.headers_mut().extend(head.headers);
    response.map(|()| ResponseBody::health(report, body))
}

/// In Envoy's plain form, the answer's own header fields are the fields to set.
fn plain<E: Env, S: Sink>(report: Report<E, S>, mutations: Mutations) -> Answer<E, S> {
    let (report, mut response) = begun(report, StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.extend(mutations.as_headers());
    response.map(|()| ResponseBody::router(report, bytes::Bytes::new()))
}

/// Answers with the message. In JSON the decision is also in the status, and the headers to set are
/// also in the answer's header (`said`), so that the client need not read the body.
fn send<E: Env, S: Sink>(
    report: Report<E, S>,
    form: Form,
    check: &CheckResponse,
    said: (StatusCode, Option<HeaderMap>),
) -> Answer<E, S> {
    let (status, said) = said;
    let status = match form {
        Form::Grpc => StatusCode::OK,
        Form::Json | Form::Http => status,
    };
    let (report, mut response) = begun(report, status);
    let headers = response.headers_mut();
    headers.extend(said.unwrap_or_default());
    match form {
        Form::Grpc => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            let message = grpc::write(check);
            response.map(|()| ResponseBody::grpc(report, message))
        }
        Form::Json | Form::Http => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            // This always serializes, because it has only texts. An empty body would allow nothing.
            let text = serde_json::to_vec(check).unwrap_or_default();
            headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
            response.map(|()| ResponseBody::router(report, text.into()))
        }
    }
}

/// Starts an answer with this status. It must not be cached.
fn begun<E: Env, S: Sink>(
    mut report: Report<E, S>,
    status: StatusCode,
) -> (Report<E, S>, Response<()>) {
    let now = report.answered(status, Owner::Router);
    let mut response = Response::new(());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(DATE, report.connection.worker.date.at(now.unix));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (report, response)
}

/// The check's form can't express the decision. A part of the decision must not be sent.
fn unsayable<E: Env, S: Sink>(
    report: Report<E, S>,
    rules: &HeaderRules,
    form: Form,
) -> Answer<E, S> {
    let refused = Refused::new(
        cellway_core::Reason::Overloaded,
        "a header to set isn't UTF-8",
    );
    answer::from_router(report, rules, &refused, &form.wants())
}

/// `None` if a value isn't UTF-8, because protobuf strings must be.
fn options(
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Option<Vec<HeaderValueOption>> {
    let option = |(name, value): (HeaderName, HeaderValue)| {
        let value = std::str::from_utf8(value.as_bytes()).ok()?.to_owned();
        Some(HeaderValueOption {
            header: Some(Header {
                key: name.to_string(),
                value,
                raw_value: Vec::new(),
            }),
            append: Some(Bool { value: false }),
            keep_empty_value: true,
        })
    };
    headers.into_iter().map(option).collect()
}

fn status(code: i32, message: &str) -> Status {
    Status {
        code,
        message: message.to_owned(),
    }
}

fn metadata(texts: BTreeMap<&'static str, String>) -> Struct {
    let value = |text| Value { text: Some(text) };
    let fields = texts.into_iter();
    Struct {
        fields: fields
            .map(|(name, text)| (name.to_owned(), value(text)))
            .collect(),
    }
}
