//! Checks whether the policy's rules allow this caller to make this request.
//!
//! Runs on every request, with the roles that the tenant allows.

use std::sync::Arc;

use crate::evidence::Evidence;
use crate::explain::Recorder;
use crate::identity::Identity;
use crate::path::Path;
use crate::policy::{AllowedCallers, AuthPolicy, MatchInput, Rule};
use crate::reason::Reason;
use crate::refused::Refused;

const CHECK: &str = "policy.rule";

/// The rule that lets the request pass, if the policy has rules.
///
/// # Errors
/// Why it may not pass, with the rule that denies it, if one matches.
pub(crate) fn check<'a>(
    auth: &'a AuthPolicy,
    evidence: &Evidence<'_>,
    reason: Reason,
    identity: &Identity,
    recorder: &mut impl Recorder,
) -> Result<Option<&'a Arc<str>>, Refused> {
    let Some(rules) = &auth.rules else {
        return Ok(None);
    };
    let Some(rule) = rules.find(asked(evidence)?) else {
        return Err(forbidden("no rule of the policy matches the request"));
    };
    allows(auth, rule, reason, identity)
        .map_err(|refused| refused.with_rule(Arc::clone(&rule.name)))?;
    recorder.pass(CHECK, || format!("{}: {}", rule.name, rule.describe()));
    Ok(Some(&rule.name))
}

/// What rules match. Fails if the cell could read the request differently than the router does.
fn asked<'a>(evidence: &Evidence<'a>) -> Result<MatchInput<'a>, Refused> {
    let ambiguous = |detail| Refused::new("request.reading", Reason::AmbiguousRequest, detail);
    if evidence.credentials.overrides_request {
        return Err(ambiguous(
            "a header names another method, path or content type",
        ));
    }
    Ok(MatchInput {
        method: evidence.method,
        path: Path::of(evidence.path).map_err(|why| ambiguous(why.detail()))?,
        grpc: evidence.credentials.grpc,
    })
}

fn allows(
    auth: &AuthPolicy,
    rule: &Rule,
    reason: Reason,
    identity: &Identity,
) -> Result<(), Refused> {
    let (roles, scopes) = match rule.who() {
        AllowedCallers::Anyone => return Ok(()),
        // Credentials could help, so the answer asks the client for them.
        AllowedCallers::Verified | AllowedCallers::Granted { .. }
            if reason == Reason::Anonymous =>
        {
            let reason = match auth.jwt {
                true => Reason::MissingToken,
                false => Reason::MissingCertificate,
            };
            let detail = "the rule does not allow anonymous callers, and there is no credential";
            return Err(Refused::new(CHECK, reason, detail));
        }
        AllowedCallers::Verified => return Ok(()),
        AllowedCallers::Granted { roles, scopes } => (roles, scopes),
    };
    if !roles.is_empty() && !roles.iter().any(|role| identity.roles.contains(role)) {
        return Err(forbidden(
            "the caller has none of the roles that the rule names",
        ));
    }
    if !scopes.iter().all(|scope| identity.scopes.contains(scope)) {
        return Err(forbidden("the caller lacks a scope that the rule names"));
    }
    Ok(())
}

fn forbidden(detail: &'static str) -> Refused {
    Refused::new(CHECK, Reason::RoleForbidden, detail)
}
