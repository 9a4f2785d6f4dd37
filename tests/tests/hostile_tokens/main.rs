//! Hostile tokens and key sets by class: each is refused, and says why. Good ones by every legal
//! spelling: each is taken.
//!
//! The classes are those of public collections of JOSE attacks and of RFC 8725, sections 2 and 3;
//! keys, tokens and changes are our own. A plain verifier made of `jsonwebtoken` is asked the same,
//! and the rows that it takes are marked `!`: they are what strictness is about. Nothing here
//! depends on the day: good tokens end in 2100, bad ones ended in 2001.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets something else has found a bug"
)]

mod claims;
mod forms;
mod good;
mod keys;
mod plain;
mod sets;
mod signatures;

use std::collections::BTreeMap;
use std::fmt::Write;

use cellway_core::Decision;
use cellway_tests::decide::{Core, Request, Sources, at};

use crate::keys::published;

const CONFIG: &str = r#"
    [[issuer]]
    name = "main"
    issuer = "https://idp.example"
    audience = "cellway"
    algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
    claims = { roles = ["realm_access", "roles"], org = "org", workspace = "team", scopes = "scope", tier = "tier" }

    [[policy]]
    name = "token"
    any_of = ["jwt"]
"#;

const REGISTRY: &str = r#"{"version": 1,
    "cells": [{"id": "a", "tier": "std", "region": "eu", "state": "active",
               "endpoints": [{"url": "https://a.internal:443"}]}],
    "tenants": [{"id": "acme", "cell": "a"}]}"#;

/// One token, and the document that the issuer answers with.
struct Row {
    class: &'static str,
    name: String,
    keys: String,
    token: String,
}

impl Row {
    /// A token for the issuer's ordinary set.
    fn new(class: &'static str, name: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            class,
            name: name.into(),
            keys: published(),
            token: token.into(),
        }
    }
}

/// The reason of the decision on each row. Rows with the same keys share a core.
fn reasons<'a>(rows: &'a [Row]) -> Vec<String> {
    let mut cores: BTreeMap<&'a str, Core> = BTreeMap::new();
    let ask = |row: &'a Row| {
        let (keys, token) = (row.keys.as_str(), row.token.as_str());
        let core = cores.entry(keys).or_insert_with(|| {
            let sources = Sources {
                jwks: Some(keys.to_owned()),
                registry: Some(REGISTRY.to_owned()),
            };
            Core::new(CONFIG, sources)
        });
        match core.decide(&Request::to("token").bearer(token), at(1)) {
            (Decision::Allow(allow), _) => allow.reason.as_str().to_owned(),
            (Decision::Deny(deny), _) => format!("{}: {}", deny.reason, deny.detail),
        }
    };
    rows.iter().map(ask).collect()
}

#[test]
fn every_hostile_token_is_refused_with_its_reason() {
    let mut rows = forms::rows();
    rows.extend(signatures::rows());
    rows.extend(claims::rows());
    rows.extend(sets::rows());
    let reasons = reasons(&rows);
    let mut classes: BTreeMap<&str, (String, [usize; 2])> = BTreeMap::new();
    let mut all = [0, 0];
    for (row, reason) in rows.iter().zip(&reasons) {
        let (text, counts) = classes.entry(row.class).or_default();
        let plain = plain::takes(&row.keys, &row.token);
        let mark = if plain { '!' } else { ' ' };
        writeln!(text, "{mark} {:<58} {reason}", row.name).unwrap();
        for counts in [counts, &mut all] {
            counts[0] += 1;
            counts[1] += usize::from(plain);
        }
    }
    let mut text = format!(
        "{} refused; a plain verifier takes {} (null in a name: absent)\n",
        all[0], all[1]
    );
    for (class, (rows, [count, plain])) in classes {
        write!(text, "\n== {class}: {count}, {plain}\n{rows}").unwrap();
    }
    insta::assert_snapshot!("hostile", text);
    let taken = rows
        .iter()
        .zip(&reasons)
        .filter(|(_, reason)| *reason == "verified");
    let taken: Vec<&str> = taken.map(|(row, _)| &*row.name).collect();
    assert!(taken.is_empty(), "{taken:?}");
}

#[test]
fn no_good_token_is_refused() {
    let rows = good::rows();
    let reasons = reasons(&rows);
    let refused = rows
        .iter()
        .zip(&reasons)
        .filter(|(_, reason)| *reason != "verified");
    let refused: Vec<_> = refused.map(|(row, reason)| (&row.name, reason)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let names: Vec<_> = rows.iter().map(|row| &*row.name).collect();
    insta::assert_snapshot!("good", names.join("\n"));
}
