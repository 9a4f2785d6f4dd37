//! What a client makes of an answer.

use cellway_core::Reason;
use cellway_testbed::Answer as Response;
use http::HeaderValue;
use http::header::RETRY_AFTER;

use super::call;
use super::refusal::{WITHOUT_REASON, is_of_router, reason_in_body};
use crate::fact::Answer;
use crate::scenario::{self, ClientProtocol};
use crate::world::hosts::{ANSWER_TRAILER, TAG};

/// How many lines a stream of a cell has for each second.
const LINES_A_SECOND: u64 = 4;

/// The most interim answers to one request that a router passes on.
const INTERIM_ANSWERS_MAX: u64 = 32;

/// The kind of an answer, by who made it.
pub(super) fn classify(response: &Response) -> Answer {
    if is_of_router(response) {
        let reason = reason_in_body(response);
        return Answer::Router(reason.unwrap_or_else(|| WITHOUT_REASON.to_owned()));
    }
    match response.status.is_success() {
        true => Answer::Ok,
        false => Answer::Cell(response.status.as_u16()),
    }
}

/// Checks that a cell's answer is the whole answer to the request with this tag.
///
/// # Errors
/// What is wrong.
pub(super) fn own_answer(
    spec: &scenario::Client,
    tag: &str,
    response: &Response,
) -> Result<(), String> {
    // A service of the user's answers what it likes, with the tag of its request.
    if let Some(answered) = response.headers.get(TAG) {
        return match answered == tag {
            true => Ok(()),
            false => Err(format!("it is the answer to {}", shown(answered))),
        };
    }
    if let Some(lasts) = spec.stream {
        let lines = response.body.iter().filter(|byte| **byte == b'\n').count() as u64;
        let expected = lasts.as_secs() * LINES_A_SECOND;
        return match lines == expected {
            true => Ok(()),
            false => Err(format!("it ends after {lines} of {expected} lines")),
        };
    }
    let body = match spec.grpc {
        true => call::message(response)?,
        false => response.body.clone(),
    };
    let echo = serde_json::from_slice::<serde_json::Value>(&body);
    let echo = echo.map_err(|_| "it is not the whole answer of a cell".to_owned())?;
    match echo["headers"][TAG].as_str() {
        Some(other) if other != tag => return Err(format!("it is the answer to {other}")),
        Some(_) => {}
        None => return Err("it names no request".to_owned()),
    }
    early_hints(spec, &echo, response)?;
    // Over HTTP/2, cells send a trailer, and it needs no announcement to reach the client.
    let http2 = echo["version"] == "HTTP/2" && spec.protocol == ClientProtocol::Http2;
    match response.trailers.contains_key(ANSWER_TRAILER) {
        false if http2 && spec.via.is_none() => Err("it has lost its trailer".to_owned()),
        true | false => Ok(()),
    }
}

fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Checks that the early hints came that the cell sent before this answer.
///
/// # Errors
/// Some are missing, or there are too many.
fn early_hints(
    spec: &scenario::Client,
    echo: &serde_json::Value,
    response: &Response,
) -> Result<(), String> {
    if spec.protocol != ClientProtocol::Http1 || spec.via.is_some() {
        return Ok(());
    }
    let sent = echo["early_hints"].as_u64().unwrap_or_default();
    let (came, expected) = (response.interim_answers, sent.min(INTERIM_ANSWERS_MAX));
    match u64::from(came) == expected {
        true => Ok(()),
        false => Err(format!(
            "{came} interim answers came before it, of {sent} early hints"
        )),
    }
}

/// Checks that a router's error says what belongs to its reason. For calls, an invariant checks the status.
///
/// # Errors
/// What is wrong.
pub(super) fn own_error(
    spec: &scenario::Client,
    reason: &str,
    response: &Response,
) -> Result<(), String> {
    let Some(known) = Reason::ALL.iter().find(|it| it.as_str() == reason) else {
        return Err(format!("{reason} is no reason of a router"));
    };
    // A policy chooses the status of this one.
    let chosen = *known == Reason::JwksUnreachable;
    let status = known.class().status();
    if !spec.grpc && !chosen && status != Some(response.status) {
        return Err(format!(
            "{reason} has the status {}, expected {status:?}",
            response.status
        ));
    }
    let retried = matches!(
        known,
        Reason::Overloaded | Reason::RateLimited | Reason::CircuitOpen
    );
    match response.headers.contains_key(RETRY_AFTER) {
        false if retried => Err(format!("{reason} doesn't say when to try again")),
        true | false => Ok(()),
    }
}
