//! CORS: which pages of other origins may read an answer, by the policy of its request.

use std::sync::Arc;

use cellway_core::cors::{CorsRules, is_preflight};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::active_config::ActiveConfig;
use crate::data_plane::target;

/// The CORS fields of the answer to one request.
#[derive(Debug)]
pub(crate) struct Grant {
    rules: Arc<CorsRules>,
    /// The origin that may read the answer.
    origin: Option<HeaderValue>,
}

impl Grant {
    /// Reads the policy of the request's path. `None` if that policy leaves CORS to the cells, or
    /// if the path is ambiguous and so has no policy.
    pub(super) fn of(config: &ActiveConfig, listener: usize, request: &Parts) -> Option<Box<Self>> {
        if !config.has_cors(listener) {
            return None;
        }
        let target = target::path_and_query(request);
        let routed = config.routed(listener, target).ok()?;
        let rules = config.settings.policy.auth(routed.policy).cors.clone()?;
        let origin = rules.origin(&request.headers);
        Some(Box::new(Self { rules, origin }))
    }

    pub(crate) fn write(&self, answer: &mut HeaderMap) {
        self.rules.write(self.origin.as_ref(), answer);
    }

    /// The fields of the answer to a preflight, if the request is one.
    /// Also says whether the policy allows what the browser asks for.
    pub(super) fn preflight(&self, request: &Parts) -> Option<(HeaderMap, bool)> {
        if !is_preflight(&request.method, &request.headers) {
            return None;
        }
        let mut answer = HeaderMap::new();
        let covered = self.rules.preflight(&request.headers, &mut answer);
        Some((answer, covered))
    }
}
