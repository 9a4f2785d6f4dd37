//! Rules are enforced: forbidden requests are refused, and allowed ones pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::in_force::{self, InForce};
use super::{Bounds, Invariant, Passed, SettingsInForce};
use crate::fact::{Answer, Claims, Fact, Published, RoleSettings, Rule, Sent, Who};

/// A request arrives only if its router's rules allow it for its caller. The check uses the rules
/// that the world wrote to the router's disk, the request as its client sent it, and those roles of
/// its token that the registry allows. The cell gets exactly these roles. No caller is refused for
/// lack of a role that it has.
///
/// The simulator evaluates rules, paths and roles with its own code.
#[derive(Debug)]
pub struct RulesKept {
    prefix: String,
    settings: SettingsInForce,
    routers: BTreeMap<String, InForce<Option<Vec<Rule>>>>,
    published: BTreeMap<u64, Arc<Published>>,
    /// Sent and not answered yet, by tag.
    waiting: BTreeMap<String, Arc<Sent>>,
}

/// The caller that rules are checked for.
pub(crate) struct Caller {
    pub(crate) verified: bool,
    pub(crate) roles: BTreeSet<String>,
    pub(crate) scopes: BTreeSet<String>,
}

impl Caller {
    fn of(sent: &Sent, role_settings: &RoleSettings) -> Self {
        let claims = sent.claims.as_deref();
        let none = Claims::default();
        if sent.anonymous {
            return Self {
                verified: false,
                roles: BTreeSet::new(),
                scopes: BTreeSet::new(),
            };
        }
        Self {
            verified: true,
            roles: granted(
                claims.and_then(|claims| claims.roles.as_ref()),
                role_settings,
            ),
            scopes: claims.unwrap_or(&none).scopes.clone(),
        }
    }
}

/// The token's roles that the registry allows, or the default role if the token has no roles claim.
pub(crate) fn granted(
    named: Option<&BTreeSet<String>>,
    role_settings: &RoleSettings,
) -> BTreeSet<String> {
    match named {
        Some(named) => named & &role_settings.allowed_roles,
        None => role_settings.default_role.iter().cloned().collect(),
    }
}

/// What rules look at in a request.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// It is a gRPC call.
    pub(crate) grpc: bool,
}

impl<'a> Asked<'a> {
    fn of(sent: &'a Sent) -> Self {
        Self {
            method: &sent.method,
            path: &sent.path,
            grpc: sent.grpc,
        }
    }
}

/// Whether the first rule that matches the request allows this caller. If no rule matches, it
/// doesn't pass.
pub(crate) fn permit(rules: &[Rule], asked: &Asked<'_>, caller: &Caller) -> bool {
    let fits = |rule: &&Rule| {
        let methods = &rule.methods;
        let method = methods.is_empty() || methods.iter().any(|known| known == asked.method);
        method && (asked.grpc || !rule.grpc) && covers(&rule.path, asked.path)
    };
    match rules.iter().find(fits).map(|rule| &rule.who) {
        None => false,
        Some(Who::Anyone) => true,
        Some(Who::Verified) => caller.verified,
        Some(Who::Granted { roles, scopes }) => {
            let role = roles.is_empty() || roles.iter().any(|role| caller.roles.contains(role));
            let scopes = scopes.iter().all(|scope| caller.scopes.contains(scope));
            caller.verified && role && scopes
        }
    }
}

/// Whether a rule's path pattern matches a request's path.
fn covers(pattern: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        if wanted == "**" {
            return true;
        }
        let any = wanted == "*" || wanted.starts_with('{');
        match segments.next() {
            Some(segment) if any && !segment.is_empty() => {}
            Some(segment) if !any && decoded(segment) == wanted => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

/// A segment, percent-decoded.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = match (first, after) {
            (b'%', [a, b, ..]) => std::str::from_utf8(&[*a, *b])
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        bytes.push(hex.unwrap_or(*first));
        rest = if hex.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl RulesKept {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            prefix: bounds.header_prefix.clone(),
            settings: bounds.settings.clone(),
            routers: BTreeMap::new(),
            published: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Checks a refusal: the router's rules must not allow the request. Says nothing if the rules have
    /// changed during the run.
    fn refused(&self, sent: &Sent) -> Result<(), String> {
        let rules = self.routers.get(&sent.to);
        let rules: Vec<_> = rules
            .into_iter()
            .flat_map(|all| all.at(Duration::ZERO))
            .collect();
        let ([Some(rules)], Some(said)) = (&rules[..], self.published.values().last()) else {
            return Ok(());
        };
        let none = RoleSettings::default();
        let caller = Caller::of(sent, said.role_settings.get(&sent.tenant).unwrap_or(&none));
        match sent.good && permit(rules, &Asked::of(sent), &caller) {
            true => Err(format!(
                "{} was refused, but the rules allow {} {} to {}",
                sent.tag,
                sent.method,
                sent.path,
                who(&caller)
            )),
            false => Ok(()),
        }
    }
}

impl Invariant for RulesKept {
    fn name(&self) -> &'static str {
        "rules_kept"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Configured(said) => {
                let until = self.settings.read_by(&said.router, at);
                in_force::configured(&mut self.routers, &said.router, said.rules.clone(), until);
            }
            Fact::Published(said) => {
                self.published.insert(said.version, said.clone());
            }
            Fact::Sent(sent) => {
                self.waiting.insert(sent.tag.clone(), sent.clone());
            }
            Fact::Answered { tag, answer } => {
                let sent = self.waiting.remove(tag);
                let forbidden = Answer::Router("role_forbidden".to_owned());
                if let Some(sent) = sent.filter(|_| *answer == forbidden) {
                    return self.refused(&sent);
                }
            }
            _ => in_force::reloaded(&mut self.routers, at, fact),
        }
        Ok(())
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        check(&self.prefix, &self.routers, &self.published, passed)
    }
}

fn check(
    prefix: &str,
    routers: &BTreeMap<String, InForce<Option<Vec<Rule>>>>,
    published: &BTreeMap<u64, Arc<Published>>,
    passed: &Passed<'_>,
) -> Result<(), String> {
    let (sent, router) = (passed.sent, &passed.decided.life.router);
    let version = passed.decided.registry_version.unwrap_or_default();
    let none = RoleSettings::default();
    let role_settings = published
        .get(&version)
        .and_then(|said| said.role_settings.get(&sent.tenant));
    let caller = Caller::of(sent, role_settings.unwrap_or(&none));
    let stamped = passed
        .arrived
        .header(&format!("{prefix}roles"))
        .unwrap_or_default();
    let stamped = stamped.split(',').filter(|role| !role.is_empty());
    let stamped: BTreeSet<String> = stamped.map(str::to_owned).collect();
    if stamped != caller.roles {
        return Err(format!(
            "{} arrived with the roles {stamped:?}, but its caller has {:?}",
            sent.tag, caller.roles
        ));
    }
    let mut lists = routers
        .get(router)
        .into_iter()
        .flat_map(|lists| lists.at(passed.decided_at))
        .peekable();
    let allows = |rules: &Option<Vec<Rule>>| match rules {
        None => true,
        Some(rules) => permit(rules, &Asked::of(sent), &caller),
    };
    match lists.peek().is_none() || lists.any(allows) {
        true => Ok(()),
        false => Err(format!(
            "{router} forwarded {} with {} {}, but no rule allows this to {}",
            sent.tag,
            sent.method,
            sent.path,
            who(&caller)
        )),
    }
}

fn who(caller: &Caller) -> String {
    let Caller { roles, scopes, .. } = caller;
    match caller.verified {
        true => format!("a caller with the roles {roles:?} and the scopes {scopes:?}"),
        false => "an anonymous caller".to_owned(),
    }
}

#[cfg(test)]
mod tests;
