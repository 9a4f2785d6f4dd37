//! What a client makes of an answer.

use cellway_testbed::Answer as Response;

use crate::fact::Answer;
use crate::scenario;
use crate::world::hosts::TAG;

/// How many lines a stream of a cell has for each second.
const LINES_A_SECOND: u64 = 4;

/// The kind of an answer, by who made it.
pub(super) fn classify(response: &Response) -> Answer {
    let owner = response.headers.get("x-cellway-owner");
    if owner.is_some_and(|owner| owner == "router") {
        let body = serde_json::from_slice::<serde_json::Value>(&response.body);
        let reason = body
            .ok()
            .and_then(|body| Some(body["error"]["reason"].as_str()?.to_owned()));
        return Answer::Router(reason.unwrap_or_else(|| "without_a_reason".to_owned()));
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
    if let Some(lasts) = spec.stream {
        let lines = response.body.iter().filter(|byte| **byte == b'\n').count() as u64;
        let expected = lasts.as_secs() * LINES_A_SECOND;
        return match lines == expected {
            true => Ok(()),
            false => Err(format!("it ends after {lines} of {expected} lines")),
        };
    }
    let echo = serde_json::from_slice::<serde_json::Value>(&response.body);
    let echo = echo.map_err(|_| "it is not the whole answer of a cell".to_owned())?;
    match echo["headers"][TAG].as_str() {
        Some(other) if other != tag => Err(format!("it is the answer to {other}")),
        Some(_) => Ok(()),
        None => Err("it names no request".to_owned()),
    }
}
