mod cells;
mod histograms;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cellway_core::control::{Control, ControlSettings, Notice};
use cellway_core::identify::Hint;
use cellway_core::keys::{JwksFetchError, KeyNotice};
use cellway_core::policy::{IssuerId, Mode, Policy, PolicySpecs};
use cellway_core::registry::{Parsed, Registry, RegistryFormat, RegistryLimits};
use cellway_core::{Challenge, Decision, Deny, LeftOut, Mono, Reason, Snapshot, Text};

use super::*;
use crate::observe::event::testing::responded;
use crate::observe::event::{
    Asked, HandshakeError, Owner, Responded, Schemes, SealOutcome, TunnelEnd, TunnelProtocol,
};
use crate::settings::EnvelopeForm;

fn policy(issuer: &str) -> Policy {
    let specs: PolicySpecs = serde_json::from_value(serde_json::json!({
        "issuer": [{ "name": issuer, "issuer": "https://idp.example", "audience": "a" }],
        "policy": [{ "name": "default", "any_of": ["jwt"] }],
    }))
    .unwrap();
    Policy::build(&specs).unwrap()
}

fn snapshot() -> Arc<Snapshot> {
    let control = Control::new(
        policy("main").into(),
        ControlSettings::default(),
        Now::default(),
        0,
    );
    Arc::clone(control.snapshot())
}

fn denied(reason: Reason) -> Decision {
    Decision::Deny(Deny {
        reason,
        class: reason.class(),
        detail: "",
        rule: None,
        tenant: None,
        left_out: LeftOut::default(),
        subject: None,
        challenge: Challenge::None,
        retry_after: None,
        cell_bound: None,
    })
}

fn decided(sink: &Counting, mode: Mode, decision: &Decision) {
    let policy = Text::new("default").unwrap();
    let asked = Asked {
        policy: &policy,
        method: "GET",
        schemes: Schemes::default(),
        hint: Hint::default(),
        trace_id: None,
    };
    let event = Event::Decided {
        listener: "public",
        peer: None,
        request_id: "1",
        mode,
        asked: &asked,
        decision,
        forwards: true,
        registry_version: None,
        waited: false,
    };
    sink.emit(Now::default(), &event);
}

/// Counts an answer of the cell.
fn answered(sink: &Counting, cell: &str) {
    let cell = &Text::new(cell).unwrap();
    emit(
        sink,
        Responded {
            cell: Some(cell),
            ..responded()
        },
    );
}

fn emit(sink: &Counting, responded: Responded<'_>) {
    sink.emit(Now::default(), &Event::Responded(responded));
}

/// Reads the text as Prometheus would, strictly: each metric has `HELP` and `TYPE` once and before
/// its samples, each series appears once, and each value is a number.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut series = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(families.insert(family.clone()), "{family} stands twice");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind_of) = rest.split_once(' ').unwrap();
            assert_eq!(name, family);
            kind = kind_of.to_owned();
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let bare = name.split('{').next().unwrap();
        let of_family = match kind.as_str() {
            "histogram" => ["_bucket", "_sum", "_count"]
                .iter()
                .any(|suffix| bare.strip_suffix(suffix) == Some(&family)),
            "counter" => bare == family && bare.ends_with("_total"),
            _ => bare == family,
        };
        assert!(of_family, "{line} stands below {family} ({kind})");
        assert!(name.ends_with('}') == name.contains('{'), "{line}");
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let repeated = series.insert(name.to_owned(), value);
        assert!(repeated.is_none(), "{name} stands twice");
    }
    assert!(text.ends_with('\n'));
    series
}

fn rendered(metrics: &Metrics) -> BTreeMap<String, f64> {
    parse(&metrics.render(&snapshot(), Mono::default(), &[]))
}

#[test]
fn adds_up_what_workers_count() {
    let metrics = Metrics::new();
    let base = metrics.sink();
    for worker in 0..3 {
        let sink = base.shard(worker);
        decided(&sink, Mode::Required, &denied(Reason::ExpiredToken));
        answered(&sink, "a");
        sink.emit(
            Now::default(),
            &Event::TlsRefused {
                listener: "public",
                peer: ([127, 0, 0, 1], 1).into(),
                reason: HandshakeError::NoCertificate,
            },
        );
    }
    decided(&base, Mode::Permissive, &denied(Reason::ExpiredToken));
    let series = rendered(&metrics);
    let count = |name: &str| series[name];
    let name = "cellway_authz_decisions_total";
    let labels =
        |mode| format!("{name}{{decision=\"deny\",mode=\"{mode}\",reason=\"expired_token\"}}");
    assert_eq!(series[&labels("required")], 3.0);
    assert_eq!(series[&labels("permissive")], 1.0);
    assert_eq!(
        count("cellway_tls_refused_total{reason=\"no_certificate\"}"),
        3.0
    );
    assert_eq!(
        count("cellway_requests_total{owner=\"cell\",status=\"2xx\"}"),
        3.0
    );
    assert_eq!(
        count("cellway_keys_state{issuer=\"main\",state=\"empty\"}"),
        1.0
    );
    assert_eq!(count("cellway_registry_loaded"), 0.0);
}

/// Catches: a gauge that a tunnel of another protocol or another worker changes, and a tunnel that
/// counts as open after its end.
#[test]
fn open_tunnels_are_those_that_have_not_ended() {
    let metrics = Metrics::new();
    let (listener, peer, request_id) = ("public", ([127, 0, 0, 1], 1).into(), "1");
    let opened = |protocol| Event::TunnelOpened {
        listener,
        peer,
        request_id,
        protocol,
    };
    let ended = |protocol, end| Event::TunnelEnded {
        listener,
        peer,
        request_id,
        protocol,
        end,
    };
    let (first, second) = (metrics.sink(), metrics.sink());
    let tell = |sink: &Counting, event| sink.emit(Now::default(), &event);
    for _ in 0..3 {
        tell(&first, opened(TunnelProtocol::WebSocket));
    }
    tell(&second, opened(TunnelProtocol::Other));
    let end = TunnelEnd::CellGone;
    tell(&second, ended(TunnelProtocol::WebSocket, end));
    tell(&first, ended(TunnelProtocol::Other, TunnelEnd::Drain));
    let series = rendered(&metrics);
    for (name, value) in [
        ("tunnels_open{protocol=\"websocket\"}", 2.0),
        ("tunnels_open{protocol=\"other\"}", 0.0),
        (
            "tunnels_ended_total{protocol=\"websocket\",end=\"cell_gone\"}",
            1.0,
        ),
        (
            "tunnels_ended_total{protocol=\"websocket\",end=\"drain\"}",
            0.0,
        ),
        ("tunnels_ended_total{protocol=\"other\",end=\"drain\"}", 1.0),
    ] {
        assert_eq!(series[&format!("cellway_{name}")], value, "{name}");
    }
}

#[test]
fn envelopes_are_counted_by_form_and_outcome() {
    let metrics = Metrics::new();
    let cell = Text::new("a").unwrap();
    for form in [
        EnvelopeForm::Jws,
        EnvelopeForm::Hmac,
        EnvelopeForm::Compatible,
    ] {
        for (times, outcome) in (1..).zip(SealOutcome::ALL) {
            for _ in 0..times {
                let event = Event::Envelope {
                    listener: "public",
                    request_id: "1",
                    cell: &cell,
                    form,
                    outcome: *outcome,
                    kid: None,
                };
                metrics.sink().emit(Now::default(), &event);
            }
        }
    }
    let series = rendered(&metrics);
    for form in ["jws", "hmac", "compatible"] {
        for (times, outcome) in [(1.0, "sealed"), (2.0, "no_key"), (3.0, "too_large")] {
            let labels = format!("{{form=\"{form}\",outcome=\"{outcome}\"}}");
            assert_eq!(series[&format!("cellway_envelopes_total{labels}")], times);
        }
    }
}

/// Catches: figures of a process that doesn't exist, as in the simulator.
#[test]
fn without_a_process_there_are_no_figures_of_one() {
    let page = |metrics: Metrics| metrics.render(&snapshot(), Mono::default(), &[]);
    assert!(!page(Metrics::new()).contains("process_"));
    assert!(!page(Metrics::new().with_process(|| None)).contains("process_"));
}

/// The reason of every answer that the router makes is counted, whether or not a decision was made.
#[test]
fn reasons_of_the_routers_answers_are_counted() {
    let metrics = Metrics::new();
    let sink = metrics.sink();
    for reason in Reason::ALL {
        emit(
            &sink,
            Responded {
                owner: Owner::Router,
                reason: Some(*reason),
                ..responded()
            },
        );
    }
    let series = rendered(&metrics);
    for reason in Reason::ALL {
        let name = format!("cellway_router_responses_total{{reason=\"{reason}\"}}");
        assert_eq!(series[&name], 1.0, "{name}");
    }
}

#[test]
fn every_metric_is_documented_and_every_documented_one_exists() {
    let docs = include_str!("../../../../../../docs/metrics.md");
    let (writer, _flush) = crate::observe::log::LogWriter::start(std::io::sink()).unwrap();
    let process = Process {
        cpu_centis: 1234,
        resident_bytes: 1,
        virtual_bytes: 2,
        open_fds: 3,
        max_fds: Some(4),
        started_centis: 180_000_000_005,
        threads: 5,
    };
    let metrics = Metrics::new().with_log(writer.lost());
    let metrics = metrics.with_process(move || Some(process));
    let mut snapshot = Snapshot::clone(&snapshot());
    let registry = r#"{"version": 1,
        "cells": [{"id": "a", "tier": "std", "region": "eu", "state": "active",
                   "endpoints": [{"url": "https://a.internal:443"}]}]}"#;
    let registry = cellway_core::registry::Registry::from_json(registry).unwrap();
    snapshot.registry = Some(Arc::new(registry));
    snapshot.status_expires_at = Some(Mono::default());
    let page = metrics.render(&snapshot, Mono::default(), &[])
        + &ages(&snapshot, Now::default().unix, &[])
        + &ends(&[]);
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let families: BTreeSet<_> = families.filter_map(|line| line.split(' ').next()).collect();
    let table = docs.lines().filter(|line| line.starts_with("| `"));
    let names = table.flat_map(|line| line.split('|').nth(1).unwrap().split('`'));
    let documented: BTreeSet<_> = names
        .filter(|name| name.starts_with("cellway_") || name.starts_with("process_"))
        .collect();
    assert_eq!(families, documented);
    let series = parse(&page);
    assert_eq!(series["process_cpu_seconds_total"], 12.34);
    assert_eq!(series["process_start_time_seconds"], 1_800_000_000.05);
}

/// Catches: a label value that isn't documented for people who write alerts.
#[test]
fn every_reason_of_a_refused_handshake_is_documented() {
    let docs = include_str!("../../../../../../docs/metrics.md");
    let mut rows = docs.lines();
    let row = rows.find(|line| line.starts_with("| `cellway_tls_refused_total` |"));
    let row = row.expect("the metric is documented");
    for error in crate::observe::event::HandshakeError::ALL {
        let value = format!("`{}`", error.as_str());
        assert!(row.contains(&value), "{value} is not in {row}");
    }
}

/// Catches: issuers that are gone keep their counters, until no new issuer gets any.
#[test]
fn an_issuer_that_is_gone_makes_room_for_another() {
    let metrics = Metrics::new();
    let control = metrics.sink();
    let shown = || {
        let series = rendered(&metrics);
        let prefix = "cellway_keys_fetches_total{issuer=";
        let failed = series.into_iter().filter(|(name, count)| {
            name.starts_with(prefix) && name.contains("\"failed\"") && *count == 1.0
        });
        failed.map(|(name, _)| name).collect::<Vec<_>>()
    };
    let most = 256;
    for generation in 0..=most {
        let name = format!("issuer-{generation}");
        let notice = Notice::Keys {
            issuer: IssuerId(0),
            notice: KeyNotice::Failed(JwksFetchError::Timeout),
        };
        let policy = &policy(&name);
        let notice = &notice;
        control.emit(Now::default(), &Event::Notice { notice, policy });
        let shown = shown();
        assert_eq!(shown.len(), 1, "{shown:?}");
        assert!(shown[0].contains(&name), "{shown:?}");
    }
}
