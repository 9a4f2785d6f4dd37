use serde_json::{Value, json};

use super::*;
use crate::explain::Steps;
use crate::identity::Proof;
use crate::testing::{issuer, policy};

fn texts(roles: &[&str]) -> Vec<Text> {
    roles.iter().map(|role| Text::new(role).unwrap()).collect()
}

#[test]
fn explain_says_what_was_cut() {
    for (claimed, allowed, said) in [
        (
            &[][..],
            &[][..],
            "none (the token's claim for roles has no role that can be used)",
        ),
        (
            &["viewer"],
            &[],
            "none (cut: viewer; the tenant has no allowed_roles)",
        ),
        (&["viewer"], &["editor"], "none (cut: viewer)"),
        (&["viewer", "editor"], &["editor"], "editor (cut: viewer)"),
        (
            &["viewer", "editor"],
            &["editor", "viewer"],
            "viewer, editor",
        ),
    ] {
        let identity = Identity {
            roles: texts(claimed),
            names_roles: true,
            proof: token(),
            ..Identity::default()
        };
        let terms = Terms {
            allowed_roles: texts(allowed),
            ..Terms::default()
        };
        let told = told(identity, &terms, json!({ "roles": "roles" }));
        assert_eq!(told, said, "{claimed:?} {allowed:?}");
    }
}

/// Catches: an operator who lists roles in the registry and sees only that there are none.
#[test]
fn explain_says_why_there_are_none() {
    let terms = Terms::default();
    for (claims, proof, said) in [
        (
            json!({}),
            token(),
            "none (the issuer's claims.roles names no claim)",
        ),
        (
            json!({ "roles": "roles" }),
            token(),
            "none (the token has no claim for roles)",
        ),
        (
            json!({ "roles": "roles" }),
            Proof::default(),
            "none (there is no token, and only tokens name roles)",
        ),
    ] {
        let identity = Identity {
            proof,
            ..Identity::default()
        };
        assert_eq!(told(identity, &terms, claims), said);
    }
}

/// What `explain` says of this identity's roles, under an issuer with these claims.
fn told(identity: Identity, terms: &Terms, claims: Value) -> String {
    let policy = policy(json!({
        "issuer": [issuer(json!({ "claims": claims }))],
        "policy": [{ "name": "default", "any_of": ["jwt"] }],
    }));
    let mut steps = Steps(Vec::new());
    grant(&mut Arc::new(identity), terms, &policy, &mut steps);
    steps.0[0].detail.clone()
}

/// A token of the issuer was proved.
fn token() -> Proof {
    let name = issuer(json!({}))["name"].as_str().unwrap().to_owned();
    Proof {
        jwt: Some(Text::new(&name).unwrap()),
        ..Proof::default()
    }
}
