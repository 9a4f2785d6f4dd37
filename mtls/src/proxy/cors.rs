//! Which page of another origin may read an answer, by the policy of its request.

use std::sync::Arc;

use cellway_core::cors::{CorsRules, is_preflight};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use super::report::Report;
use crate::env::Env;
use crate::event::{Event, Sink};
use crate::judge::target;

/// What the answer to one request says to browsers.
#[derive(Debug)]
pub(crate) struct Grant {
    rules: Arc<CorsRules>,
    /// Who may read it.
    origin: Option<HeaderValue>,
}

impl Grant {
    /// By the policy that the request's path has; `None` where that leaves it to the cells, or the
    /// path has two readings, so that no policy is its own.
    pub(super) fn of<E: Env, S: Sink>(report: &Report<E, S>, request: &Parts) -> Option<Box<Self>> {
        let connection = &report.connection;
        let common = &connection.worker.common;
        let live = common.live.load();
        if !live.has_cors(connection.listener) {
            return None;
        }
        let policy = live.policy(connection.listener, target(request)).ok()??;
        let snapshot = common.shared.snapshot();
        let policy = live.policy_in(&snapshot, policy)?;
        let rules = snapshot.policy.auth(policy).cors.clone()?;
        let origin = rules.origin(&request.headers);
        Some(Box::new(Self { rules, origin }))
    }

    /// Writes it into an answer.
    pub(crate) fn write(&self, answer: &mut HeaderMap) {
        self.rules.write(self.origin.as_ref(), answer);
    }

    /// Writes the answer to a preflight, if the request is one.
    pub(super) fn preflight<E: Env, S: Sink>(
        &self,
        report: &Report<E, S>,
        request: &Parts,
    ) -> Option<HeaderMap> {
        if !is_preflight(&request.method, &request.headers) {
            return None;
        }
        let mut answer = HeaderMap::new();
        let covered = self.rules.preflight(&request.headers, &mut answer);
        report.connection.worker.emit(&Event::Preflight {
            listener: &report.connection.name,
            peer: report.connection.origin.address,
            request_id: report.request_id(),
            covered,
        });
        Some(answer)
    }
}
