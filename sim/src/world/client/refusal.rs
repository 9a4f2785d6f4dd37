//! Which answers a router made, and why.

use cellway_testbed::Answer as Response;

/// The reason of a router's error that has none.
pub(super) const WITHOUT_REASON: &str = "without_a_reason";

/// Whether a router says that it made the answer.
pub(super) fn is_of_router(response: &Response) -> bool {
    let owner = response.headers.get("x-cellway-owner");
    owner.is_some_and(|owner| owner == "router")
}

/// The reason in a router's error.
pub(super) fn reason_in_body(response: &Response) -> Option<String> {
    let body = serde_json::from_slice::<serde_json::Value>(&response.body);
    Some(body.ok()?["error"]["reason"].as_str()?.to_owned())
}
