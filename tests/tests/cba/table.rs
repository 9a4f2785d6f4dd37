//! Each mode and each case, to be read and reviewed.

use std::fmt::Write;

use cellway_core::cba::Claimed;
use cellway_core::{Decision, Reason};
use cellway_testbed::San;
use cellway_tests::decide::{Core, EPOCH, Request, Sources, at, token};
use serde_json::json;

use crate::cases;

fn config(cba: &str) -> String {
    format!(
        r#"
        [[issuer]]
        name = "main"
        issuer = "https://idp.example"
        audience = "cellway"

        [[policy]]
        name = "default"
        any_of = ["jwt", "mtls"]

        [trust]
        bundle = "clients.pem"
        trust_domains = ["example"]
        san = ["spiffe://{{trust_domain}}/tenant/{{tenant}}", "spiffe://{{trust_domain}}/cell/{{cell}}"]

        [cba]
        {cba}
        "#
    )
}

fn core(cba: &str) -> Core {
    let endpoint = json!({"url": "https://cell.internal:443"});
    let mut cells = cases::callers(&endpoint);
    cells.push(
        json!({"id": "a", "tier": "standard", "region": "eu", "state": "active",
                      "endpoints": [endpoint]}),
    );
    let registry = json!({"version": 1, "cells": cells,
                          "tenants": [{"id": "acme", "cell": "a"}]});
    let sources = Sources::of(registry.to_string());
    Core::new(&config(cba), sources)
}

/// `ada` of `acme`, showing these authorizations.
fn call(shown: &[String]) -> Request {
    let request = Request::to("default").bearer(&token("acme"));
    let bound =
        |request: Request, shown: &String| request.header("cell-bound-authorization", shown);
    shown.iter().fold(request, bound)
}

fn uri(path: &str) -> San {
    San::Uri(format!("spiffe://example/{path}"))
}

fn line(core: &mut Core, what: &str, request: &Request) -> String {
    let (decision, _) = core.decide(request, at(0));
    let bound = decision.cell_bound();
    let source = bound.and_then(|bound| bound.source.as_ref());
    let source = source.map_or("-", |source| source.as_str());
    let (said, detail) = match &decision {
        Decision::Deny(deny) => {
            let status = deny.class.status().map_or(0, |status| status.as_u16());
            (format!("deny {status} {}", deny.reason), deny.detail)
        }
        Decision::Allow(_) => match bound.and_then(|bound| bound.refused.as_ref()) {
            Some(refused) => (format!("allow, counts {}", refused.reason), refused.detail),
            None if bound.is_some() => ("allow, counts verified".to_owned(), ""),
            None => ("allow".to_owned(), ""),
        },
    };
    format!("{what:32} {said:40} source {source:12} {detail}")
        .trim_end()
        .to_owned()
}

fn page(modes: &[&str], rows: &[(String, Request)]) -> String {
    let mut page = String::new();
    for cba in modes {
        writeln!(page, "-- {cba}").unwrap();
        let mut core = core(cba);
        for (what, request) in rows {
            writeln!(page, "{}", line(&mut core, what, request)).unwrap();
        }
    }
    page
}

const MODES: [&str; 4] = [
    r#"mode = "off""#,
    r#"mode = "monitor""#,
    r#"mode = "enforce""#,
    r#"mode = "require""#,
];

#[test]
fn modes_and_authorizations() {
    let mut rows = vec![("none".to_owned(), call(&[]))];
    for case in cases::all(EPOCH) {
        rows.push((case.what.to_owned(), call(&case.shown)));
    }
    insta::assert_snapshot!(page(&MODES, &rows));
}

#[test]
fn modes_and_certificates() {
    let good = cases::good("1", EPOCH).sign(&cases::key()).unwrap();
    let mut rows = Vec::new();
    for (whose, path) in [
        ("its cell's certificate", "cell/b"),
        ("another cell's certificate", "cell/draining"),
        ("a tenant's certificate", "tenant/acme"),
    ] {
        let sans = [uri(path)];
        let shown = [good.clone()];
        rows.push((format!("{whose}, none"), call(&[]).certificate(&sans)));
        rows.push((whose.to_owned(), call(&shown).certificate(&sans)));
    }
    insta::assert_snapshot!(page(&MODES, &rows));
}

#[test]
fn pins() {
    let good = cases::good("1", EPOCH).sign(&cases::key()).unwrap();
    let pinned = cases::good("1", EPOCH).with("aud", "b");
    let pinned = pinned.sign(&cases::key()).unwrap();
    let rows = [
        ("none".to_owned(), call(&[])),
        ("for the cell decided".to_owned(), call(&[good])),
        ("for `b`".to_owned(), call(&[pinned])),
    ];
    let pins = [r#"destination = "a""#, r#"destination = "b""#];
    insta::assert_snapshot!(page(&pins, &rows));
}

/// What the driver finds once the decision is made. Catches: one that can't be remembered and passes.
#[test]
fn what_was_used_or_cannot_be_remembered_is_denied_and_in_monitor_counted() {
    let request = call(&[cases::good("1", EPOCH).sign(&cases::key()).unwrap()]);
    for (claimed, reason, status) in [
        (Claimed::Again, Reason::CbaReplayed, 403),
        (Claimed::Forgotten, Reason::CbaExpired, 403),
        (Claimed::Full, Reason::Overloaded, 503),
    ] {
        for (mode, denied) in [("monitor", false), ("enforce", true), ("require", true)] {
            let mut core = core(&format!("mode = \"{mode}\"\none_use = true"));
            let (decision, _) = core.decide(&request, at(0));
            assert!(decision.cell_bound().unwrap().claim.is_some(), "{mode}");
            let decision = decision.claimed(claimed);
            let bound = decision.cell_bound().unwrap();
            assert_eq!(bound.refused.as_ref().unwrap().reason, reason, "{mode}");
            assert_eq!(bound.denies().is_some(), denied, "{mode}");
            let Decision::Deny(deny) = decision else {
                assert!(!denied, "{mode}");
                continue;
            };
            assert!(denied, "{mode}");
            assert_eq!(deny.class.status().unwrap(), status);
            assert_eq!(deny.retry_after.is_some(), status == 503);
        }
        let mut core = core("one_use = true");
        let (decision, _) = core.decide(&request, at(0));
        let same = decision.clone().claimed(Claimed::First);
        assert_eq!(same, decision);
    }
}
