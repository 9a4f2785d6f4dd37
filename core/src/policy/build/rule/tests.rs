use serde_json::{Value, json};

use super::super::super::{Policy, PolicyError};
use crate::testing::{issuer, specs};

/// The mistakes in these rules, in a policy with these other members.
fn complaints(rules: &Value, more: &Value) -> Vec<PolicyError> {
    let mut policy = json!({"name": "default", "any_of": ["jwt"], "rule": rules});
    let members = policy.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    let tables = json!({
        "issuer": [issuer(json!({"claims": {"scopes": "scope"}}))],
        "policy": [policy],
    });
    Policy::build(&specs(tables)).err().unwrap_or_default()
}

/// The mistakes, as `setting: problem`.
fn said(rules: &Value) -> Vec<String> {
    let said = complaints(rules, &json!({}));
    let one = |error: PolicyError| {
        assert!(!error.fix.is_empty(), "{error}");
        format!("{}: {}", error.setting, error.problem)
    };
    said.into_iter().map(one).collect()
}

#[test]
fn valid_rules_are_accepted() {
    let rules = json!([
        {"name": "health", "path": "/healthz", "methods": ["GET"], "allow": "verified"},
        {"path": "/orders/{id}", "methods": ["GET"], "roles": ["viewer", "editor"]},
        {"path": "/orders/{id}", "roles": ["editor"], "scopes": ["orders:write"]},
        {"grpc": "orders.v1.Orders/List", "roles": ["viewer"]},
        {"grpc": "orders.v1.Orders/*", "roles": ["editor"]},
        {"path": "/**", "roles": ["admin"]},
    ]);
    assert_eq!(said(&rules), [""; 0]);
}

/// A rule that is second in its policy, with this member changed.
fn with(member: &str, value: Value) -> Value {
    let mut rule = json!({"path": "/a", "roles": ["r"]});
    rule[member] = value;
    json!([{"path": "/first", "allow": "verified"}, rule])
}

/// The same without this member.
fn without(member: &str) -> Value {
    let mut rules = with("name", json!("n"));
    rules[1].as_object_mut().unwrap().remove(member);
    rules
}

/// Each of these rules has one mistake, which names the member and begins with this problem.
fn assert_mistakes(rows: &[(Value, &str, &str)]) {
    for (rules, member, problem) in rows {
        let said = said(rules);
        let wanted = format!("policy[0].rule[1].{member}: {problem}");
        assert!(
            matches!(&*said, [one] if one.starts_with(&wanted)),
            "{wanted}: {said:?}"
        );
    }
}

#[test]
fn mistakes_in_what_a_rule_matches_name_their_setting() {
    let path = |path: &str| with("path", json!(path));
    let methods = |methods: Value| with("methods", methods);
    assert_mistakes(&[
        (with("name", json!("")), "name", "is empty"),
        (path("a"), "path", "\"a\" doesn't begin with a slash"),
        (path("/a//b"), "path", "\"/a//b\" has an empty segment"),
        (path("/%61"), "path", "\"/%61\" has an encoded character"),
        (path("/first"), "path", "never applies: rule[0] matches"),
        (without("path"), "path", "is missing"),
        (
            with("grpc", json!("a.B/C")),
            "grpc",
            "is set, and so is path",
        ),
        (methods(json!([])), "methods", "is empty or too long"),
        (
            methods(json!(["get"])),
            "methods",
            "\"get\" is not an HTTP method",
        ),
        (
            methods(json!(["GET POST"])),
            "methods",
            "\"GET POST\" is not an HTTP method",
        ),
    ]);
}

#[test]
fn mistakes_in_the_callers_of_a_rule_name_their_setting() {
    assert_mistakes(&[
        (with("roles", json!([])), "roles", "is empty or too long"),
        (
            with("roles", json!(["a,b"])),
            "roles",
            "may hold visible ASCII",
        ),
        (
            without("roles"),
            "allow",
            "is missing, and so are roles and scopes",
        ),
        (
            with("allow", json!("verified")),
            "allow",
            "is set, and so are roles or scopes",
        ),
        (
            with("scopes", json!(["a b"])),
            "scopes",
            "\"a b\" is not a scope",
        ),
    ]);
}

#[test]
fn mistakes_in_grpc_rules_name_their_setting() {
    for method in [
        "Orders", "orders/", "/a.B/C", "a.B/C/D", "a..B/C", "a.B/**", "a.B/{m}",
    ] {
        let said = said(&json!([{"grpc": method, "roles": ["r"]}]));
        let wanted = format!("policy[0].rule[0].grpc: {method:?} is not a gRPC method");
        assert_eq!(said, [wanted]);
    }
    let grpc = json!([{"grpc": "a.B/C", "methods": ["POST"], "roles": ["r"]}]);
    assert!(said(&grpc)[0].starts_with("policy[0].rule[0].methods: is set, and so is grpc"));
}

#[test]
fn mistakes_in_the_list_of_rules_name_their_setting() {
    assert!(said(&json!([]))[0].starts_with("policy[0].rule: is empty"));
    let named = json!({"name": "n", "path": "/a", "roles": ["r"]});
    let other = json!({"name": "n", "path": "/b", "roles": ["r"]});
    assert_eq!(
        said(&json!([named, other])),
        ["policy[0].rule[1].name: is also that of rule[0]"]
    );
    let many: Vec<_> = (0..257)
        .map(|n| json!({"path": format!("/{n}"), "roles": ["r"]}))
        .collect();
    assert_eq!(said(&json!(many)), ["policy[0].rule: there are 257 rules"]);
}

#[test]
fn a_rule_that_never_applies_is_a_mistake() {
    let rule = |methods: &[&str], path: &str| match methods {
        [] => json!({"path": path, "roles": ["r"]}),
        methods => json!({"methods": methods, "path": path, "roles": ["r"]}),
    };
    let grpc = |method: &str| json!({"grpc": method, "roles": ["r"]});
    for (first, second, covered) in [
        (rule(&[], "/**"), rule(&[], "/admin/**"), true),
        (rule(&["GET"], "/**"), rule(&["HEAD", "GET"], "/a"), true),
        (rule(&["GET"], "/**"), rule(&["GET", "POST"], "/a"), false),
        (rule(&["GET"], "/**"), rule(&[], "/a"), false),
        (rule(&[], "/a/{id}"), rule(&[], "/a/b"), true),
        (rule(&[], "/a/{id}"), rule(&[], "/a/"), false),
        (rule(&[], "/a/b"), rule(&[], "/a/{id}"), false),
        (rule(&[], "/a/*"), rule(&[], "/a/**"), false),
        (rule(&["POST"], "/**"), grpc("a.B/C"), true),
        (rule(&["GET"], "/**"), grpc("a.B/C"), false),
        (grpc("a.B/*"), grpc("a.B/C"), true),
        (grpc("a.B/C"), grpc("a.B/*"), false),
        (grpc("a.B/C"), rule(&["POST"], "/a.B/C"), false),
    ] {
        let said = said(&json!([first, second]));
        assert_eq!(!said.is_empty(), covered, "{first} {second}: {said:?}");
    }
}

#[test]
fn a_rule_that_nobody_can_meet_is_a_mistake() {
    let anyone = json!([{"path": "/a", "allow": "anyone"}]);
    let required = complaints(&anyone, &json!({}));
    assert_eq!(required[0].setting, "policy[0].rule[0].allow");
    let permissive = json!({"mode": "permissive", "anonymous_placement": "lobby"});
    assert_eq!(complaints(&anyone, &permissive), []);

    let scoped = json!([{"path": "/a", "scopes": ["read"]}]);
    assert_eq!(complaints(&scoped, &json!({})), []);
    let tables = json!({
        "issuer": [issuer(json!({}))],
        "policy": [{"name": "default", "any_of": ["jwt"], "rule": scoped}],
    });
    let errors = Policy::build(&specs(tables)).unwrap_err();
    assert_eq!(errors[0].setting, "policy[0].rule[0].scopes");
}
