//! How cells tell a router's health checks from requests.

/// Whether this user agent is a router that checks the health of an endpoint.
pub(super) fn is_checker(agent: &str) -> bool {
    agent.ends_with("(health check)")
}
