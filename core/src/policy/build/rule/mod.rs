//! `[[policy.rule]]`.

use http::Method;

use crate::identity::is_scope;
use crate::path::PathPattern;
use crate::text::Text;

use super::super::rules::{AllowedCallers, RequestMatch, Rule, Rules};
use super::super::{Mode, PolicySpec, PolicySpecs, RuleAllow, RuleSpec};
use super::Errors;

/// The most roles, scopes or methods of a rule.
const LIST_MAX: usize = 64;

/// The policy's rules. `None` if it has none, so that every caller may make every request.
pub(super) fn rules(
    specs: &PolicySpecs,
    spec: &PolicySpec,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) -> Option<Rules> {
    let written = spec.rule.as_ref()?;
    if written.len() > Rules::MAX {
        let problem = format!("there are {} rules", written.len());
        errors.add(at("rule"), problem, format!("write at most {}", Rules::MAX));
        return None;
    }
    if written.is_empty() {
        let fix = "add a [[policy.rule]], or leave the setting out to let every verified caller \
                   ask for anything";
        errors.add(at("rule"), "is empty, so that no request could pass", fix);
    }
    let mut rules: Vec<Rule> = Vec::new();
    let mut kept = Vec::new();
    for (i, rule_spec) in written.iter().enumerate() {
        let at = |member: &str| at(&format!("rule[{i}].{member}"));
        let Some(rule) = rule(i, rule_spec, &at, errors) else {
            continue;
        };
        check_callers(specs, spec, rule_spec, &at, errors);
        let same_name = |other: &Rule| other.name == rule.name;
        if let Some(other) = rules.iter().position(same_name) {
            let problem = format!("is also that of rule[{}]", kept[other]);
            errors.add(at("name"), problem, "write another one");
        }
        let before = rules.iter().position(|other| other.what.covers(&rule.what));
        if let Some(before) = before {
            let problem = format!(
                "never applies: rule[{}] matches every request that it matches",
                kept[before]
            );
            let member = if rule_spec.grpc.is_some() {
                "grpc"
            } else {
                "path"
            };
            errors.add(at(member), problem, "put the narrower rule first");
        }
        kept.push(i);
        rules.push(rule);
    }
    Some(Rules(rules))
}

fn rule(
    i: usize,
    spec: &RuleSpec,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) -> Option<Rule> {
    let name = match &spec.name {
        Some(name) => errors.text(&at("name"), name)?.as_str().into(),
        None => format!("rule[{i}]").into(),
    };
    let what = what(spec, at, errors);
    let who = who(spec, at, errors);
    Some(Rule {
        name,
        what: what?,
        who: who?,
    })
}

fn what(spec: &RuleSpec, at: &dyn Fn(&str) -> String, errors: &mut Errors) -> Option<RequestMatch> {
    const FIX: &str = "write a path such as \"/orders/{id}\", \"/orders/*\" or \"/orders/**\"";
    match (&spec.path, &spec.grpc) {
        (Some(path), None) => {
            let methods = methods(spec.methods.as_deref(), at, errors);
            let path = pattern(path, &at("path"), FIX, errors)?;
            Some(RequestMatch::Http { methods, path })
        }
        (None, Some(method)) => {
            if spec.methods.is_some() {
                let problem = "is set, and so is grpc, whose calls are all POST";
                errors.add(at("methods"), problem, "remove it");
            }
            grpc(method, &at("grpc"), errors)
        }
        (None, None) => {
            let fix = "write a path, or grpc = \"package.Service/Method\"";
            errors.add(at("path"), "is missing", fix);
            None
        }
        (Some(_), Some(_)) => {
            errors.add(at("grpc"), "is set, and so is path", "write two rules");
            None
        }
    }
}

/// A pattern for paths.
fn pattern(text: &str, setting: &str, fix: &str, errors: &mut Errors) -> Option<PathPattern> {
    match PathPattern::new(text) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            errors.add(setting, format!("{text:?} {why}"), fix);
            None
        }
    }
}

/// `package.Service/Method` or `package.Service/*`, as a path (gRPC over HTTP/2, "Requests").
fn grpc(text: &str, setting: &str, errors: &mut Errors) -> Option<RequestMatch> {
    const FIX: &str = "write \"package.Service/Method\", or \"package.Service/*\" for all methods";
    let is_name = |name: &str| {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.bytes().all(fine)
    };
    let named = text.split_once('/').is_some_and(|(service, method)| {
        service.split('.').all(is_name) && (method == "*" || is_name(method))
    });
    if !named {
        errors.add(setting, format!("{text:?} is not a gRPC method"), FIX);
        return None;
    }
    pattern(&format!("/{text}"), setting, FIX, errors).map(RequestMatch::Grpc)
}

fn methods(
    names: Option<&[String]>,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) -> Vec<Method> {
    const FIX: &str = "name methods such as \"GET\", or leave the setting out for all";
    let Some(names) = names else {
        return Vec::new();
    };
    if names.is_empty() || names.len() > LIST_MAX {
        errors.add(at("methods"), "is empty or too long", FIX);
    }
    let mut methods = Vec::new();
    for name in names {
        let upper = name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        match Method::from_bytes(name.as_bytes()) {
            Ok(method) if upper => methods.push(method),
            _ => errors.add(
                at("methods"),
                format!("{name:?} is not an HTTP method"),
                FIX,
            ),
        }
    }
    methods
}

fn who(
    spec: &RuleSpec,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) -> Option<AllowedCallers> {
    let open = match spec.allow {
        Some(RuleAllow::Anyone) => Some(AllowedCallers::Anyone),
        Some(RuleAllow::Verified) => Some(AllowedCallers::Verified),
        None => None,
    };
    if spec.roles.is_none() && spec.scopes.is_none() {
        if open.is_none() {
            let fix = "name roles or scopes, or write allow = \"verified\" for every verified \
                       caller, or allow = \"anyone\"";
            errors.add(at("allow"), "is missing, and so are roles and scopes", fix);
        }
        return open;
    }
    if open.is_some() {
        errors.add(
            at("allow"),
            "is set, and so are roles or scopes",
            "remove it",
        );
    }
    for (member, list) in [("roles", &spec.roles), ("scopes", &spec.scopes)] {
        if let Some(list) = list
            && (list.is_empty() || list.len() > LIST_MAX)
        {
            let fix = "name some, or leave the setting out";
            errors.add(at(member), "is empty or too long", fix);
        }
    }
    let roles = spec.roles.iter().flatten();
    let roles: Vec<Text> = roles
        .filter_map(|role| errors.text(&at("roles"), role))
        .collect();
    let mut scopes: Vec<Box<str>> = Vec::new();
    for scope in spec.scopes.iter().flatten() {
        match is_scope(scope) {
            true => scopes.push(scope.as_str().into()),
            false => {
                let problem = format!("{scope:?} is not a scope");
                errors.add(at("scopes"), problem, "name one scope in each string");
            }
        }
    }
    Some(AllowedCallers::Granted { roles, scopes })
}

/// Checks that some caller can meet the rule.
fn check_callers(
    specs: &PolicySpecs,
    policy: &PolicySpec,
    spec: &RuleSpec,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) {
    if spec.allow == Some(RuleAllow::Anyone) && policy.mode == Mode::Required {
        let problem =
            "is \"anyone\", and no request passes without credentials: mode is \"required\"";
        let fix = "write allow = \"verified\", or mode = \"permissive\"";
        errors.add(at("allow"), problem, fix);
    }
    let accepted = |name: &String| policy.issuers.as_ref().is_none_or(|it| it.contains(name));
    let named = |issuer: &super::super::IssuerSpec| {
        accepted(&issuer.name) && issuer.claims.scopes.is_some()
    };
    let disabled = policy.mode == Mode::Disabled;
    if spec.scopes.is_some() && !disabled && !specs.issuer.iter().any(named) {
        let problem = "asks for scopes, and no issuer of the policy says which claim has them";
        let fix = "write claims = { scopes = \"scope\" } in its [[issuer]]";
        errors.add(at("scopes"), problem, fix);
    }
}

#[cfg(test)]
mod tests;
