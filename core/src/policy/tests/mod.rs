use serde_json::{Value, json};

use super::*;
use crate::testing::{issuer, policy, specs};

mod speakers;

/// A valid configuration with every table.
fn good() -> Value {
    json!({
        "issuer": [issuer(json!({}))],
        "policy": [{"name": "default", "any_of": ["jwt", "mtls"]}],
        "trust": {
            "bundle": "ca.pem",
            "trust_domains": ["example"],
            "san": ["spiffe://{trust_domain}/tenant/{tenant}"],
        },
    })
}

/// The settings with mistakes after the member at `path` is set to `value`.
fn complaints(path: &str, value: Value) -> Vec<String> {
    let mut tables = good();
    let (parent, member) = path.rsplit_once('/').unwrap();
    let parent = tables.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.insert(member.to_owned(), value);
    match Policy::build(&specs(tables)) {
        Ok(_) => Vec::new(),
        Err(errors) => {
            let plain = |e: &PolicyError| !e.problem.is_empty() && !e.fix.is_empty();
            assert!(errors.iter().all(plain), "{errors:?}");
            errors.into_iter().map(|error| error.setting).collect()
        }
    }
}

/// Each value, set at its path in a valid configuration, is the only mistake, and is reported at
/// that setting.
fn name_their_settings(mistakes: &[(&str, Value, &str)]) {
    for (path, value, setting) in mistakes {
        let found = complaints(path, value.clone());
        assert_eq!(found, [*setting], "{path} = {value}");
    }
}

#[test]
fn mistakes_in_cors() {
    let cors = |cors: Value| json!([{"name": "p", "any_of": ["jwt"], "cors": cors}]);
    let app = "https://app.example";
    for (spec, member) in [
        (json!({}), "origins"),
        (json!({"origins": vec![app; 65]}), "origins"),
        (json!({"origins": ["null"]}), "origins"),
        (json!({"origins": ["app.example"]}), "origins"),
        (json!({"origins": ["https://app.example/"]}), "origins"),
        (json!({"origins": ["https://App.example"]}), "origins"),
        (json!({"origins": ["https://app.example:443"]}), "origins"),
        (json!({"origins": ["https://app.example:port"]}), "origins"),
        (json!({"origins": ["https://*"]}), "origins"),
        (json!({"origins": ["https://a.*.example"]}), "origins"),
        (json!({"origins": ["https://*app.example"]}), "origins"),
        (json!({"origins": ["https://[::g]"]}), "origins"),
        (json!({"origins": ["*", app]}), "origins"),
        (json!({"origins": ["*"], "credentials": true}), "origins"),
        (json!({"origins": [app], "methods": ["TRACE"]}), "methods"),
        (json!({"origins": [app], "methods": ["*"]}), "methods"),
        (json!({"origins": [app], "methods": ["P UT"]}), "methods"),
        (json!({"origins": [app], "headers": ["*"]}), "headers"),
        (json!({"origins": [app], "headers": ["a b"]}), "headers"),
        (json!({"origins": [app], "expose": [""]}), "expose"),
        (
            json!({"origins": [app], "max_age_secs": 86_401}),
            "max_age_secs",
        ),
    ] {
        let setting = format!("policy[0].cors.{member}");
        assert_eq!(
            complaints("/policy", cors(spec.clone())),
            [setting],
            "{spec}"
        );
    }
    for origin in [
        app,
        "http://localhost:3000",
        "https://*.app.example",
        "https://[::1]:8443",
        "capacitor://localhost",
    ] {
        assert!(
            complaints("/policy", cors(json!({"origins": [origin]}))).is_empty(),
            "{origin}"
        );
    }
}

#[test]
fn mistakes_in_an_issuers_name_and_algorithms() {
    name_their_settings(&[
        ("/issuer", json!([]), "issuer"),
        ("/issuer/0/name", json!(""), "issuer[0].name"),
        ("/issuer/0/issuer", json!(""), "issuer[0].issuer"),
        ("/issuer/0/audience", json!([]), "issuer[0].audience"),
        ("/issuer/0/audience", json!(""), "issuer[0].audience"),
        ("/issuer/0/algorithms", json!([]), "issuer[0].algorithms"),
        (
            "/issuer/0/algorithms",
            json!(["none"]),
            "issuer[0].algorithms",
        ),
        (
            "/issuer/0/algorithms",
            json!(["RS256", "HS256"]),
            "issuer[0].algorithms",
        ),
        (
            "/issuer/0/algorithms",
            json!(["rs256"]),
            "issuer[0].algorithms",
        ),
        ("/issuer/0/types", json!([]), "issuer[0].types"),
        ("/issuer/0/types", json!(["CBA+JWT"]), "issuer[0].types"),
        (
            "/issuer/0/types",
            json!(["application/cellway-envelope+jwt"]),
            "issuer[0].types",
        ),
        (
            "/issuer/0/leeway_exp_secs",
            json!(61),
            "issuer[0].leeway_exp_secs",
        ),
        (
            "/issuer/0/leeway_nbf_secs",
            json!(61),
            "issuer[0].leeway_nbf_secs",
        ),
    ]);
}

#[test]
fn mistakes_in_an_issuers_claims_and_keys() {
    name_their_settings(&[
        (
            "/issuer/0/claims",
            json!({"tenant": ""}),
            "issuer[0].claims.tenant",
        ),
        (
            "/issuer/0/claims",
            json!({"roles": ""}),
            "issuer[0].claims.roles",
        ),
        (
            "/issuer/0/jwks_uri",
            json!("http://idp.example/jwks"),
            "issuer[0].jwks_uri",
        ),
        (
            "/issuer/0/jwks_uri",
            json!("https://user@idp.example/"),
            "issuer[0].jwks_uri",
        ),
        (
            "/issuer/0/jwks_uri",
            json!("idp.example"),
            "issuer[0].jwks_uri",
        ),
        ("/issuer/0/jwks_file", json!(""), "issuer[0].jwks_file"),
        ("/issuer/0/issuer", json!("idp"), "issuer[0].jwks_uri"),
        ("/issuer/0/tenants", json!([]), "issuer[0].tenants"),
        ("/issuer/0/tenants", json!("all"), "issuer[0].tenants"),
        (
            "/issuer/0/keys",
            json!({"cooldown_secs": 0}),
            "issuer[0].keys.cooldown_secs",
        ),
        (
            "/issuer/0/keys",
            json!({"wait_max_ms": 60_000}),
            "issuer[0].keys.wait_max_ms",
        ),
    ]);
}

#[test]
fn mistakes_in_a_policy() {
    name_their_settings(&[
        (
            "/issuer/0/keys",
            json!({"retry_min_secs": 61}),
            "issuer[0].keys.retry_max_secs",
        ),
        ("/policy", json!([]), "policy"),
        ("/policy/0/name", json!(""), "policy[0].name"),
        ("/policy/0/any_of", json!(null), "policy[0].any_of"),
        ("/policy/0/any_of", json!([]), "policy[0].any_of"),
        (
            "/policy/0/any_of",
            json!(["jwt", "jwt"]),
            "policy[0].any_of",
        ),
        ("/policy/0/all_of", json!(["jwt"]), "policy[0].all_of"),
        (
            "/policy/0/jwks_unreachable_status",
            json!(500),
            "policy[0].jwks_unreachable_status",
        ),
        ("/policy/0/issuers", json!([]), "policy[0].issuers"),
        ("/policy/0/issuers", json!(["other"]), "policy[0].issuers"),
    ]);
}

#[test]
fn mistakes_in_trust_and_headers() {
    name_their_settings(&[
        (
            "/policy/0/mode",
            json!("permissive"),
            "policy[0].anonymous_placement",
        ),
        ("/trust/bundle", json!(null), "trust.bundle"),
        ("/trust/bundle", json!(""), "trust.bundle"),
        ("/trust/san", json!([]), "trust.san"),
        (
            "/trust/san",
            json!(["spiffe://other/{tenant}"]),
            "trust.san[0]",
        ),
        (
            "/headers",
            json!({"prefix": "bad prefix"}),
            "headers.prefix",
        ),
    ]);
    assert_eq!(complaints("/trust/bundle", json!("ca.pem")), [""; 0]);
}

#[test]
fn every_mistake_is_reported_at_once() {
    let tables = json!({
        "issuer": [{"name": "a"}, {"name": "a", "issuer": "https://b.example", "audience": "x"}],
        "policy": [
            {"name": "p", "mode": "disabled"},
            {"name": "p", "all_of": ["mtls"]},
        ],
        "trust": {"trust_domains": ["Example"]},
    });
    let errors = Policy::build(&specs(tables)).unwrap_err();
    let settings: Vec<&str> = errors.iter().map(|e| &*e.setting).collect();
    let expected = [
        "issuer[0].issuer",
        "issuer[0].audience",
        "issuer[0].tenants",
        "issuer[1].name",
        "issuer[1].tenants",
        "trust.trust_domains[0]",
        "policy[0].allow_insecure",
        "policy[0].insecure_identity",
        "policy[1].name",
        "trust.bundle",
        "trust.san",
    ];
    assert_eq!(settings, expected);
    let shown = errors[0].to_string();
    assert!(
        shown.starts_with("issuer[0].issuer: is missing; "),
        "{shown}"
    );
}

#[test]
fn unknown_members_are_refused() {
    for table in [
        json!({"issuers": []}),
        json!({"issuer": [{"name": "a", "audiences": "x"}]}),
        json!({"policy": [{"name": "a", "modes": "required"}]}),
        json!({"policy": [{"name": "a", "mode": "Required"}]}),
        json!({"policy": [{"name": "a", "any_of": ["header"]}]}),
        json!({"trust": {"crl": "x"}}),
    ] {
        assert!(
            serde_json::from_value::<PolicySpecs>(table.clone()).is_err(),
            "{table}"
        );
    }
}

#[test]
fn disabled_needs_two_settings() {
    let disabled = |extra: Value| {
        let mut tables = json!({"policy": [{"name": "open", "mode": "disabled"}]});
        let policy = tables["policy"][0].as_object_mut().unwrap();
        policy.extend(extra.as_object().unwrap().clone());
        Policy::build(&specs(tables))
    };
    assert_eq!(disabled(json!({})).unwrap_err().len(), 2);
    assert_eq!(
        disabled(json!({"allow_insecure": true})).unwrap_err().len(),
        1
    );
    let unverified_identity =
        json!({"allow_insecure": true, "insecure_identity": {"tenant": "dev"}});
    let policy = disabled(unverified_identity).unwrap();
    let auth = policy.auth(policy.policy_id("open").unwrap());
    assert_eq!(
        auth.unverified_identity.tenant.as_ref().unwrap().as_str(),
        "dev"
    );
    assert_eq!(policy.policy_id("other"), None);
}

#[test]
fn keys_come_from_where_the_configuration_says() {
    let location = |extra: Value| {
        let tables = json!({
            "issuer": [issuer(extra)],
            "policy": [{"name": "default", "any_of": ["jwt"]}],
        });
        policy(tables).issuers[0].keys.clone()
    };
    let discovery = KeysLocation::Discovery {
        document: "https://idp.example/.well-known/openid-configuration".into(),
        fallback: "https://idp.example/.well-known/jwks.json".into(),
    };
    assert_eq!(location(json!({})), discovery);
    assert_eq!(
        location(json!({"issuer": "https://idp.example/"})),
        discovery
    );
    let uri = "http://127.0.0.1:8080/jwks";
    assert_eq!(
        location(json!({"jwks_uri": uri})),
        KeysLocation::Uri(uri.into())
    );
    assert_eq!(
        location(json!({"jwks_file": "k.json"})),
        KeysLocation::File("k.json".into())
    );
}

#[test]
fn the_fingerprint_covers_all_that_verification_uses() {
    let fingerprint = |change: fn(&mut Value)| {
        let mut tables = good();
        change(&mut tables);
        *policy(tables).fingerprint()
    };
    let same = fingerprint(|_| ());
    assert_eq!(fingerprint(|_| ()), same);
    assert_eq!(
        fingerprint(|t| t["headers"] = json!({"prefix": "x-edge-"})),
        same
    );
    assert_ne!(
        fingerprint(|t| t["issuer"][0]["audience"] = json!("other")),
        same
    );
    assert_ne!(
        fingerprint(|t| t["issuer"][0]["claims"] = json!({"tenant": "t"})),
        same
    );
}

#[test]
fn revocation_lists_stand_beside_a_bundle() {
    let settings = |change: fn(&mut Value)| {
        let mut tables = good();
        change(&mut tables["trust"]);
        let errors = Policy::build(&specs(tables)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.setting).collect::<Vec<_>>()
    };
    let bundle = settings(|trust| trust["crl"] = json!(["a.crl"]));
    assert_eq!(bundle, [""; 0]);
    assert_eq!(settings(|t| t["crl"] = json!([""])), ["trust.crl"]);
    assert_eq!(settings(|t| t["crl"] = json!(vec!["a"; 65])), ["trust.crl"]);
}

#[test]
fn a_trust_domain_may_have_a_bundle_of_its_own() {
    let tables = |bundle: Value, domains: Value, san: &str| {
        let mut tables = good();
        tables["trust"] = json!({"bundle": bundle, "trust_domains": domains, "san": [san]});
        let errors = Policy::build(&specs(tables)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.setting).collect::<Vec<_>>()
    };
    let none = Value::Null;
    let one = json!([{"name": "a", "bundle": "a.pem"}]);
    let uri = "spiffe://{trust_domain}/{tenant}";
    assert_eq!(tables(none.clone(), one.clone(), uri), [""; 0]);
    let both = json!([
        {"name": "a", "bundle": "a.pem", "tenants": ["x"]},
        {"name": "b", "tenants": ["y"]},
    ]);
    assert_eq!(tables(json!("all.pem"), both.clone(), uri), [""; 0]);
    assert_eq!(tables(none.clone(), both.clone(), uri), ["trust.bundle"]);
    let other = "spiffe://b/{tenant}";
    assert_eq!(tables(json!("all.pem"), both, other), ["trust.san"]);
    let dns = "{tenant}.clients.example";
    let refused = ["trust.san", "trust.bundle"];
    assert_eq!(
        tables(none, one, dns),
        refused,
        "DNS names are nobody's then"
    );
    let empty = json!([{"name": "a", "bundle": ""}]);
    let refused = tables(json!("all.pem"), empty, uri);
    assert_eq!(refused, ["trust.trust_domains[0].bundle"]);
}

#[test]
fn several_trust_domains_must_be_bound() {
    let tables = |domains: Value, san: &str| {
        let mut tables = good();
        tables["trust"]["trust_domains"] = domains;
        tables["trust"]["san"] = json!([san]);
        let errors = Policy::build(&specs(tables)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.setting).collect::<Vec<_>>()
    };
    let uri = "spiffe://{trust_domain}/{tenant}";
    let dns = "{tenant}.clients.example";
    assert_eq!(tables(json!(["a"]), dns), [""; 0]);
    let missing = [
        "trust.trust_domains[0].tenants",
        "trust.trust_domains[1].tenants",
    ];
    assert_eq!(tables(json!(["a", "b"]), uri), missing);
    let bound = json!([{"name": "a", "tenants": "registry"}, {"name": "b", "tenants": ["x"]}]);
    assert_eq!(tables(bound.clone(), uri), [""; 0]);
    assert_eq!(tables(bound.clone(), dns), ["trust.san"]);
    let (any, own) = (
        "spiffe://{trust_domain}/cell/{cell}",
        "spiffe://a/cell/{cell}",
    );
    assert_eq!(tables(json!(["a"]), any), [""; 0]);
    assert_eq!(
        tables(bound.clone(), any),
        ["trust.san"],
        "b's cell would pass for a's"
    );
    assert_eq!(tables(bound, own), [""; 0]);
    let twice = json!([{"name": "a", "tenants": ["x"]}, {"name": "a", "tenants": ["x"]}]);
    assert_eq!(tables(twice, uri), ["trust.trust_domains[1]"]);
}
