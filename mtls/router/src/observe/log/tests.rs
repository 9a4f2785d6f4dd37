use std::sync::{Arc, OnceLock};

use cellway_core::control::{Control, ControlSettings};
use cellway_core::identify::Hint;
use cellway_core::policy::{Mode, Policy, PolicySpecs};
use cellway_core::registry::Registry;
use cellway_core::{Challenge, Decision, Deny, LeftOut, Reason, Snapshot, Text, Unix};

use super::*;
use crate::config::LogTable;
use crate::explain::{Question, explain};
use crate::observe::event::SealOutcome;
use crate::observe::event::{Asked, Schemes};
use crate::settings::EnvelopeForm;
use crate::settings::Output;

pub(super) const AT: Unix = Unix::from_secs(1_800_000_000);

pub(super) fn denial(reason: Reason, tenant: Option<&str>) -> Decision {
    Decision::Deny(Deny {
        reason,
        class: reason.class(),
        detail: "`exp` has passed",
        rule: None,
        tenant: tenant.map(|tenant| Text::new(tenant).unwrap()),
        subject: None,
        left_out: LeftOut::default(),
        challenge: Challenge::Bearer,
        retry_after: None,
        cell_bound: None,
    })
}

/// A request with two credentials. The token has all the claims that are shown.
pub(super) fn asked() -> &'static Asked<'static> {
    static POLICY: OnceLock<Text> = OnceLock::new();
    static ASKED: OnceLock<Asked<'static>> = OnceLock::new();
    ASKED.get_or_init(|| Asked {
        policy: POLICY.get_or_init(|| Text::new("default").unwrap()),
        method: "GET",
        schemes: Schemes {
            authorization: true,
            certificate: true,
            ..Schemes::default()
        },
        hint: Hint {
            issuer: None,
            kid: Some("key-1".into()),
        },
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
    })
}

fn decided(decision: &Decision) -> Event<'_> {
    Event::Decided {
        listener: "public",
        peer: Some(([203, 0, 113, 9], 4711).into()),
        request_id: "r1",
        mode: Mode::Required,
        asked: asked(),
        decision,
        forwards: true,
        registry_version: Some(3),
        waited: false,
    }
}

#[test]
fn a_request_without_the_envelope_it_needs_is_told_at_the_default_level() {
    let cell = Text::new("eu-1").unwrap();
    let line = |outcome, kid| {
        let event = Event::Envelope {
            listener: "public",
            request_id: "r1",
            cell: &cell,
            form: EnvelopeForm::Hmac,
            outcome,
            kid,
        };
        render(AT, &event, Level::Info, &Subjects::Off)
    };
    assert_eq!(line(SealOutcome::Sealed, Some("k1")), None);
    assert_eq!(
        line(SealOutcome::NoKey, None).unwrap(),
        "{\"ts\":\"2027-01-15T08:00:00.000Z\",\"level\":\"warn\",\"event\":\"envelope_failed\",\
         \"listener\":\"public\",\"request_id\":\"r1\",\"cell\":\"eu-1\",\"form\":\"hmac\",\
         \"outcome\":\"no_key\"}\n"
    );
}

#[test]
fn each_denial_is_one_line_with_its_reason() {
    let line = render(
        AT,
        &decided(&denial(Reason::ExpiredToken, Some("acme"))),
        Level::Info,
        &Subjects::Off,
    );
    assert_eq!(
        line.unwrap(),
        "{\"ts\":\"2027-01-15T08:00:00.000Z\",\"level\":\"info\",\"event\":\"authz_deny\",\
         \"listener\":\"public\",\"peer\":\"203.0.113.9:4711\",\"policy\":\"default\",\"request_id\":\"r1\",\
         \"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"method\":\"GET\",\
         \"mode\":\"required\",\
         \"reason\":\"expired_token\",\"status\":401,\
         \"detail\":\"`exp` has passed\",\"tenant\":\"acme\",\
         \"kid\":\"key-1\",\"credentials\":[\"authorization\",\"certificate\"],\
         \"registry_version\":3,\"waited\":false}\n"
    );
    for reason in Reason::ALL
        .iter()
        .filter(|reason| reason.status().is_some())
    {
        let line = render(
            AT,
            &decided(&denial(*reason, None)),
            Level::Info,
            &Subjects::Off,
        )
        .unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["event"], "authz_deny");
        assert_eq!(line["reason"], reason.as_str());
    }
}

/// The decision of a `disabled` policy whose configured subject is alice.
pub(super) fn allowance() -> Decision {
    let specs: PolicySpecs = serde_json::from_value(serde_json::json!({
        "policy": [{ "name": "default", "mode": "disabled", "allow_insecure": true,
                     "insecure_identity": { "tenant": "acme", "subject": "alice@acme.example" } }],
    }))
    .unwrap();
    let policy = Arc::new(Policy::build(&specs).unwrap());
    let id = policy.policy_id("default").unwrap();
    let registry = Registry::from_json(
        r#"{"version": 1,
            "cells": [{"id": "a", "tier": "std", "region": "eu", "state": "active",
                       "endpoints": [{"url": "https://a.internal:443"}]}],
            "tenants": [{"id": "acme", "cell": "a"}]}"#,
    );
    let now = Now::default();
    let control = Control::new(policy, ControlSettings::default(), now, 0);
    let mut snapshot = Snapshot::clone(control.snapshot());
    snapshot.registry = Some(Arc::new(registry.unwrap()));
    let question = Question {
        policy: id,
        method: &http::Method::GET,
        authority: "",
        path: "/",
        grpc: false,
        authorization: None,
        tenant_choice: None,
        cell_bound: None,
        routing_key: None,
        routing_key_signature: None,
        peer: None,
    };
    explain(&snapshot, &question, now).decision
}

#[test]
fn an_allowance_never_names_the_subject() {
    let decision = allowance();
    assert_eq!(
        render(AT, &decided(&decision), Level::Info, &Subjects::Off),
        None
    );
    let line = render(AT, &decided(&decision), Level::Debug, &Subjects::Off).unwrap();
    assert!(line.contains("\"event\":\"authz_allow\""), "{line}");
    assert!(line.contains("\"tenant\":\"acme\""), "{line}");
    assert!(!line.contains("alice"), "{line}");
    assert!(!line.contains("subject"), "{line}");
}

#[test]
fn a_subject_is_hashed_under_a_key_unless_it_is_asked_for() {
    let decision = allowance();
    let line = |subjects| {
        let line = render(AT, &decided(&decision), Level::Debug, &subjects).unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap()
    };
    let raw = line(Subjects::Raw);
    assert_eq!(raw["subject"], "alice@acme.example");
    let hashed = line(Subjects::with_key(&[1; 32]));
    // The first half of HMAC-SHA256, computed by another implementation.
    assert_eq!(hashed["subject_hash"], "a9f036e21bc790b0444905d06c6dccae");
    assert!(hashed["subject"].is_null());
    let other = line(Subjects::with_key(&[2; 32]));
    assert_ne!(other["subject_hash"], hashed["subject_hash"]);
}

#[test]
fn a_denial_shows_whom_it_had_proved() {
    let Decision::Allow(allow) = allowance() else {
        panic!("not allowed");
    };
    let Decision::Deny(deny) = denial(Reason::TenantSuspended, Some("acme")) else {
        unreachable!("it is a denial");
    };
    let denied = Decision::Deny(Deny {
        subject: allow.identity.subject.clone(),
        ..deny
    });
    let line = |subjects| render(AT, &decided(&denied), Level::Info, &subjects).unwrap();
    assert!(line(Subjects::Raw).contains("\"subject\":\"alice@acme.example\""));
    assert!(!line(Subjects::with_key(&[1; 32])).contains("alice"));
}

/// Catches: a hash that can't be computed from the subject as the issuer writes it, and a denial
/// that doesn't say that a role was left out.
#[test]
fn a_subject_is_shown_as_its_issuer_writes_it() {
    let Decision::Deny(deny) = denial(Reason::RoleForbidden, Some("acme")) else {
        unreachable!("it is a denial");
    };
    let denied = |subject: &str| {
        Decision::Deny(Deny {
            subject: Some(Text::encode(subject).unwrap()),
            left_out: LeftOut {
                roles: 2,
                org: true,
                ..LeftOut::default()
            },
            ..deny.clone()
        })
    };
    let line =
        |subject, subjects| render(AT, &decided(&denied(subject)), Level::Info, &subjects).unwrap();
    let shown = line("CN=Ada,OU=100%", Subjects::Raw);
    assert!(shown.contains("\"subject\":\"CN=Ada,OU=100%\""), "{shown}");
    assert!(shown.contains("\"left_out\":\"2 roles, 1 org\""), "{shown}");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[1; 32]);
    let hash = aws_lc_rs::hmac::sign(&key, "CN=Ada,OU=100%".as_bytes());
    let hash: String = hash.as_ref()[..16]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let hashed = line("CN=Ada,OU=100%", Subjects::with_key(&[1; 32]));
    assert!(hashed.contains(&hash), "{hash} in {hashed}");
}

#[test]
fn a_level_lets_through_what_is_as_severe() {
    let refused = Event::ReloadRefused { error: "bad" };
    let draining = Event::Draining {
        delay: std::time::Duration::ZERO,
        deadline: std::time::Duration::from_secs(1),
    };
    let lines = |level| {
        [&refused, &draining].map(|event| render(AT, event, level, &Subjects::Off).is_some())
    };
    assert_eq!(lines(Level::Error), [true, false]);
    assert_eq!(lines(Level::Warn), [true, false]);
    assert_eq!(lines(Level::Info), [true, true]);
}

/// Catches: an operator who is sent to a setting that has nothing to do with the failure.
#[tokio::test]
async fn an_output_that_cannot_be_opened_is_named_by_its_setting() {
    let env = crate::testing::Host::new();
    let open = |to| match to {
        Output::Stderr => Ok(Box::new(std::io::sink()) as Box<dyn std::io::Write + Send>),
        Output::Stdout => Err(std::io::ErrorKind::StorageFull.into()),
    };
    let table = |to, access_to| {
        let mut table = LogTable {
            to,
            ..LogTable::default()
        };
        table.access.to = access_to;
        table
    };
    let (good, bad) = (Output::Stderr, Output::Stdout);
    let (control, _flush) = LogControl::start(&env, table(good, None), open)
        .await
        .unwrap();
    for (settings, named) in [
        (table(bad, None), "log.to"),
        (table(bad, Some(good)), "log.to"),
        (table(good, Some(bad)), "log.access.to"),
    ] {
        let refused = control.prepare(&env, &settings).await.unwrap_err();
        assert_eq!(refused.setting(), named, "{settings:?}");
        let refused = LogControl::start(&env, settings, open).await.unwrap_err();
        assert_eq!(refused.setting(), named);
    }
}
