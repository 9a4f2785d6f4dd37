//! One decision.

use cellway_core::policy::Policy;
use cellway_core::{Allow, Decision, Deny, Reason, Text};
use cellway_router::explain::Rehearsed;
use serde::{Deserialize, Serialize};

use super::text::COLUMNS;

/// One decision: who asked for what, and what became of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Row {
    /// The caller's name in the file of cases.
    pub caller: String,
    /// The request's name.
    pub request: String,
    /// The listener that got it.
    pub listener: String,
    /// `allow`, `deny`, `answer` (the router answers it itself, before any decision), or `tls` (the
    /// handshake fails).
    pub decision: String,
    /// The status of a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The reason, as metrics and logs name it.
    pub reason: String,
    /// Which check failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The tenant that was proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The roles that the tenant allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// The cell that would serve the request, if `cell` serves it because that one can't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_over_from: Option<String>,
    /// The placement that chose the cell. `None` if the tenant has a cell of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<String>,
    /// The policy that applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The policy's rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What is wrong with the cell-bound authorization, although the request passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitored: Option<String>,
}

impl Row {
    pub(crate) fn new(
        [caller, request, listener]: [&str; 3],
        rehearsed: &Rehearsed,
        policies: &Policy,
    ) -> Self {
        let row = |decision: &str, reason: &str| Self {
            caller: caller.to_owned(),
            request: request.to_owned(),
            listener: listener.to_owned(),
            decision: decision.to_owned(),
            status: None,
            reason: reason.to_owned(),
            detail: None,
            tenant: None,
            roles: Vec::new(),
            cell: None,
            failed_over_from: None,
            placement: None,
            policy: None,
            rule: None,
            monitored: None,
        };
        match rehearsed {
            Rehearsed::Handshake(why) => row("tls", why.as_str()),
            Rehearsed::Answered { what } => row("answer", what),
            Rehearsed::Decided { policy, decision } => {
                let decided = Self {
                    policy: Some(policies.auth(*policy).name.to_string()),
                    rule: decision.rule().map(str::to_owned),
                    ..row("", decision.reason().as_str())
                };
                match decision {
                    Decision::Allow(allow) => decided.allowed(allow),
                    Decision::Deny(deny) => decided.denied(deny),
                }
            }
        }
    }

    fn allowed(self, allow: &Allow) -> Self {
        let bound = allow.cell_bound.as_ref();
        let refused = bound.and_then(|bound| bound.refused.as_ref());
        let failed_over = allow.failed_over.as_ref();
        let assigned = failed_over.and_then(|failed_over| failed_over.cells.first());
        Self {
            decision: "allow".to_owned(),
            tenant: owned(allow.identity.tenant.as_ref()),
            roles: allow.identity.roles.iter().map(Text::to_string).collect(),
            cell: Some(allow.cell.id.to_string()),
            failed_over_from: assigned.map(|cell| cell.id.to_string()),
            placement: owned(allow.placement.as_ref()),
            monitored: refused.map(|refused| refused.reason.to_string()),
            ..self
        }
    }

    fn denied(self, deny: &Deny) -> Self {
        Self {
            decision: "deny".to_owned(),
            status: deny.class.status().map(|status| status.as_u16()),
            detail: Some(deny.detail.to_owned()),
            tenant: owned(deny.tenant.as_ref()),
            ..self
        }
    }

    /// The same request, which was allowed and then can't be forwarded.
    pub(crate) fn refused(self, reason: Reason) -> Self {
        Self {
            decision: "deny".to_owned(),
            status: reason.status().map(|status| status.as_u16()),
            reason: reason.to_string(),
            ..self
        }
    }

    /// The columns of the text form.
    pub(super) fn columns(&self) -> [String; COLUMNS] {
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let decision = match self.status {
            Some(status) => format!("{} {status}", self.decision),
            None => self.decision.clone(),
        };
        let cell = match (&self.failed_over_from, &self.placement) {
            (Some(assigned), _) => format!("{} (for {assigned})", or_none(&self.cell)),
            (None, Some(placement)) => format!("{} ({placement})", or_none(&self.cell)),
            (None, None) => or_none(&self.cell),
        };
        [
            self.caller.clone(),
            self.request.clone(),
            decision,
            self.reason.clone(),
            or_none(&self.tenant),
            cell,
            or_none(&self.policy),
            or_none(&self.rule),
        ]
    }

    /// A line of JSON.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn owned(text: Option<&Text>) -> Option<String> {
    text.map(Text::to_string)
}
