//! Rules are enforced: forbidden requests are refused, and allowed ones pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::in_force::{self, InForce};
use super::journal::{Journal, Passed};
use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Answer, Claims, Fact, Published, Rule, Sent, Terms, Who};

/// A request arrives only if its router's rules allow it for its caller. The check uses the rules
/// that the world wrote to the router's disk, the request as its client sent it, and those roles of
/// its token that the registry allows. The cell gets exactly these roles. No caller is refused for
/// lack of a role that it has.
///
/// The simulator evaluates rules, paths and roles with its own code.
#[derive(Debug)]
pub struct RulesKept {
    prefix: String,
    journal: Journal,
    settings: SettingsInForce,
    routers: BTreeMap<String, InForce<Option<Vec<Rule>>>>,
    published: BTreeMap<u64, Published>,
    /// Sent and not answered yet, by tag.
    waiting: BTreeMap<String, Sent>,
}

/// The caller that rules are checked for.
pub(crate) struct Caller {
    pub(crate) verified: bool,
    pub(crate) roles: BTreeSet<String>,
    pub(crate) scopes: BTreeSet<String>,
}

impl Caller {
    fn of(sent: &Sent, terms: &Terms) -> Self {
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
            roles: granted(claims.and_then(|claims| claims.roles.as_ref()), terms),
            scopes: claims.unwrap_or(&none).scopes.clone(),
        }
    }
}

/// The token's roles that the registry allows, or the default role if the token has no roles claim.
pub(crate) fn granted(named: Option<&BTreeSet<String>>, terms: &Terms) -> BTreeSet<String> {
    match named {
        Some(named) => named & &terms.allowed_roles,
        None => terms.default_role.iter().cloned().collect(),
    }
}

/// Whether the first rule that matches the request allows this caller. If no rule matches, it
/// doesn't pass.
pub(crate) fn permit(rules: &[Rule], method: &str, path: &str, caller: &Caller) -> bool {
    let fits = |rule: &&Rule| {
        let methods = &rule.methods;
        let method = methods.is_empty() || methods.iter().any(|known| known == method);
        method && covers(&rule.path, path)
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
            journal: Journal::new(&bounds.header_prefix),
            settings: bounds.settings.clone(),
            routers: BTreeMap::new(),
            published: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Checks that a client wasn't refused a request that its router's rules allow, if the rules
    /// haven't changed so far.
    fn refused(&self, sent: &Sent) -> Result<(), String> {
        let rules = self.routers.get(&sent.to);
        let rules: Vec<_> = rules
            .into_iter()
            .flat_map(|all| all.at(Duration::ZERO))
            .collect();
        let ([Some(rules)], Some(said)) = (&rules[..], self.published.values().last()) else {
            return Ok(());
        };
        let none = Terms::default();
        let caller = Caller::of(sent, said.terms.get(&sent.tenant).unwrap_or(&none));
        match sent.good && permit(rules, &sent.method, &sent.path, &caller) {
            true => Err(format!(
                "{} was refused {} {}, which the rules allow {}",
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
            Fact::Configured { router, rules, .. } => {
                let until = self.settings.read_by(router, at);
                in_force::configured(&mut self.routers, router, rules.clone(), until);
            }
            Fact::Published(said) => {
                self.published.insert(said.version, (**said).clone());
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
        match self.journal.passed(at, fact) {
            Some(passed) => judge(&self.prefix, &self.routers, &self.published, &passed),
            None => Ok(()),
        }
    }
}

fn judge(
    prefix: &str,
    routers: &BTreeMap<String, InForce<Option<Vec<Rule>>>>,
    published: &BTreeMap<u64, Published>,
    passed: &Passed<'_>,
) -> Result<(), String> {
    let (sent, router) = (passed.sent, &passed.decided.life.router);
    let version = passed.decided.registry_version.unwrap_or_default();
    let none = Terms::default();
    let terms = published
        .get(&version)
        .and_then(|said| said.terms.get(&sent.tenant));
    let caller = Caller::of(sent, terms.unwrap_or(&none));
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
        Some(rules) => permit(rules, &sent.method, &sent.path, &caller),
    };
    match lists.peek().is_none() || lists.any(allows) {
        true => Ok(()),
        false => Err(format!(
            "{} passed {router} with {} {}, which no rule allows {}",
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
mod tests {
    use super::super::testing::*;
    use super::*;

    fn rule(methods: &[&str], path: &str, roles: &[&str]) -> Rule {
        let list = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        Rule {
            methods: list(methods),
            path: path.to_owned(),
            who: Who::Granted {
                roles: list(roles),
                scopes: Vec::new(),
            },
        }
    }

    fn configured(rules: &[Rule]) -> Fact {
        Fact::Configured {
            router: "router-1".to_owned(),
            anonymous: None,
            cell_bound: crate::fact::CellBoundRules {
                enforced: true,
                once: false,
            },
            signers: BTreeSet::new(),
            rules: Some(rules.to_vec()),
        }
    }

    /// `acme` allows the role `editor`, and its default role is `viewer`.
    fn registry() -> Fact {
        let terms = Terms {
            allowed_roles: ["editor".to_owned()].into(),
            default_role: Some("viewer".to_owned()),
        };
        Fact::Published(Box::new(Published {
            terms: [("acme".to_owned(), terms)].into(),
            ..saying(1, &[("acme", "a")])
        }))
    }

    fn with_roles(roles: Option<&[&str]>) -> Fact {
        let Fact::Sent(mut sent) = sent("t", "acme") else {
            panic!("not sent")
        };
        let roles = roles.map(|all| all.iter().map(|role| (*role).to_owned()).collect());
        if let Some(claims) = &mut sent.claims {
            claims.roles = roles;
        }
        Fact::Sent(sent)
    }

    fn fed(facts: &[Fact]) -> Result<(), String> {
        let bounds = Bounds {
            header_prefix: "x-cellway-".to_owned(),
            ..Bounds::default()
        };
        feed(&mut RulesKept::new(&bounds), facts)
    }

    /// A `POST` of `/orders` arrives with this stamp.
    fn passing(rules: &[Rule], roles: Option<&[&str]>, stamp: &str) -> Result<(), String> {
        let arrival = with_header(arrived("a", "t", "r"), "x-cellway-roles", stamp);
        fed(&[
            configured(rules),
            registry(),
            with_roles(roles),
            allowed("r", "a", 1),
            arrival,
        ])
    }

    #[test]
    fn content_with_what_a_rule_allows() {
        let rules = [rule(&["POST"], "/orders", &["editor"])];
        assert_eq!(passing(&rules, Some(&["editor", "root"]), "editor"), Ok(()));
        let rules = [rule(&[], "/orders/**", &["viewer"])];
        assert_eq!(passing(&rules, None, "viewer"), Ok(()));
    }

    #[test]
    fn notices_what_no_rule_allows() {
        for rules in [
            rule(&["POST"], "/orders", &["viewer"]),
            rule(&["GET"], "/orders", &["editor"]),
            rule(&["POST"], "/orders/{id}", &["editor"]),
        ] {
            let why = passing(&[rules], Some(&["editor"]), "editor").unwrap_err();
            assert!(why.contains("no rule allows"), "{why}");
        }
        // The first that matches decides.
        let rules = [
            rule(&[], "/orders", &["root"]),
            rule(&[], "/**", &["editor"]),
        ];
        passing(&rules, Some(&["editor"]), "editor").unwrap_err();
    }

    #[test]
    fn notices_roles_that_do_not_count() {
        let rules = [rule(&["POST"], "/orders", &["editor", "root"])];
        let why = passing(&rules, Some(&["editor", "root"]), "editor,root").unwrap_err();
        assert!(why.contains("its caller has"), "{why}");
        // If no role of the token is allowed, the caller has none, not the default role.
        passing(&rules, Some(&["root"]), "viewer").unwrap_err();
    }

    #[test]
    fn notices_a_refusal_of_what_is_allowed() {
        let forbidden = || answered("t", Answer::Router("role_forbidden".to_owned()));
        let rules = [rule(&["POST"], "/orders", &["editor"])];
        let facts = |roles| {
            [
                configured(&rules),
                registry(),
                with_roles(roles),
                forbidden(),
            ]
        };
        assert!(
            fed(&facts(Some(&["editor"])))
                .unwrap_err()
                .contains("was refused")
        );
        assert_eq!(fed(&facts(None)), Ok(()));
    }

    #[test]
    fn paths_are_compared_by_segments() {
        for (pattern, path, fits) in [
            ("/orders", "/orders?page=2", true),
            ("/orders", "/%6frders", true),
            ("/orders", "/orders/", false),
            ("/orders/**", "/orders", true),
            ("/orders/**", "/orders/7/lines", true),
            ("/orders/{id}", "/orders/7", true),
            ("/orders/*", "/orders/", false),
            ("/orders/*", "/orders/7/lines", false),
            ("/**", "/", true),
        ] {
            assert_eq!(covers(pattern, path), fits, "{pattern} {path}");
        }
    }
}
