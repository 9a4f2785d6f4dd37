//! One event of each kind, with every field set.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::cba::CellBound;
use cellway_core::control::{Control, ControlSettings, Notice};
use cellway_core::health::{HealthNotice, Outcome, ProbeFailure};
use cellway_core::identify::Hint;
use cellway_core::keys::{JwksError, JwksErrorReason, JwksFetchError, KeyNotice, Skipped};
use cellway_core::policy::{CbaMode, IssuerId, Mode, Policy, PolicySpecs};
use cellway_core::registry::{
    EndpointId, FetchProblem, Registry, RegistryError, RegistryErrorReason, RegistryFetchError,
    RegistryNotice,
};
use cellway_core::routing_key::RoutingKeySender;
use cellway_core::{
    Allow, Decision, Deny, Identity, LeftOut, Proof, Reason, Refused, Snapshot, Text,
};
use cellway_env::fetch::FetchError;

use crate::config::Stated;
use crate::control_plane::check::{Finding, Severity};
use crate::observe::event::testing::responded;
use crate::observe::event::{
    Asked, Changed, CircuitChange, Closed, ExplainAnswer, HandshakeError, HedgeEnd, SealOutcome,
    SpanOutcome, Startup, TunnelEnd, TunnelProtocol, Unserved, Wait,
};
use crate::observe::log::tests::{AT, allowance, asked, denial};
use crate::observe::log::*;
use crate::settings::Output;
use crate::settings::{EnvelopeForm, RateScope};
use crate::shares::{Resource, Share};
use crate::tls::CertificateDates;

fn text(text: &str) -> Text {
    Text::new(text).unwrap()
}

fn policy() -> Policy {
    let specs: PolicySpecs = serde_json::from_value(serde_json::json!({
        "issuer": [{ "name": "main", "issuer": "https://idp.example", "audience": "a" }],
        "policy": [{ "name": "default", "any_of": ["jwt"] }],
    }))
    .unwrap();
    Policy::build(&specs).unwrap()
}

/// Emits one event of each kind, with every field set.
pub(super) fn tell_all(tell: &mut dyn FnMut(&Event<'_>)) {
    of_connections(tell);
    of_requests(tell);
    of_cells(tell);
    of_sources(tell);
    of_keys(tell);
    of_registries(tell);
    of_the_router(tell);
}

fn of_connections(tell: &mut dyn FnMut(&Event<'_>)) {
    let (listener, peer) = ("public", ([203, 0, 113, 9], 4711).into());
    let address = ([0, 0, 0, 0], 8443).into();
    tell(&Event::Listening { listener, address });
    tell(&Event::OpenedEmpty {
        waited: Duration::from_secs(1),
    });
    let error = &io::Error::from(io::ErrorKind::Other);
    tell(&Event::AcceptFailed { listener, error });
    tell(&Event::ConnectionAccepted { listener, peer });
    tell(&Event::ConnectionRefused { listener, peer });
    tell(&Event::AdminDenied { peer });
    for answer in ExplainAnswer::ALL {
        tell(&Event::ExplainAsked {
            listener,
            peer: Some(peer),
            request_id: "01",
            answer: *answer,
        });
    }
    let why = Closed::Idle;
    tell(&Event::ConnectionClosed { listener, why });
    tell(&Event::TlsRefused {
        listener,
        peer,
        reason: HandshakeError::Timeout,
    });
    for news in [true, false] {
        tell(&Event::ShareRefused {
            listener,
            peer: Some(peer),
            resource: Resource::CellRequests,
            share: Share::Tenant,
            cell: Some(&text("a")),
            placement: Some(&text("shared")),
            tenant: Some(&text("acme")),
            news,
        });
        tell(&Event::RateLimited {
            listener,
            scope: RateScope::Tenant,
            placement: Some(&text("shared")),
            tenant: Some(&text("acme")),
            news,
        });
    }
    let (request_id, protocol) = ("1", TunnelProtocol::WebSocket);
    tell(&Event::TunnelOpened {
        listener,
        peer,
        request_id,
        protocol,
    });
    tell(&Event::TunnelEnded {
        listener,
        peer,
        request_id,
        protocol,
        end: TunnelEnd::Drain,
    });
}

/// An allowance and a denial with every field set.
fn decisions() -> [Decision; 2] {
    let (Decision::Allow(allow), Decision::Deny(deny)) =
        (allowance(), denial(Reason::RoleForbidden, Some("acme")))
    else {
        panic!("one of each");
    };
    let proof = Proof {
        jwt: Some(text("main")),
        routing_key: Some(RoutingKeySender::Signer(text("gateway"))),
        ..allow.identity.proof.clone()
    };
    let identity = Identity {
        proof,
        ..Identity::clone(&allow.identity)
    };
    let rule = || Some(Arc::from("read"));
    [
        Decision::Allow(Allow {
            identity: Arc::new(identity),
            rule: rule(),
            ..allow
        }),
        Decision::Deny(Deny {
            rule: rule(),
            subject: Some(text("alice")),
            left_out: LeftOut {
                roles: 1,
                ..LeftOut::default()
            },
            ..deny
        }),
    ]
}

fn of_requests(tell: &mut dyn FnMut(&Event<'_>)) {
    let (listener, request_id) = ("public", "r1");
    let peer = ([203, 0, 113, 9], 4711).into();
    let (cell, tenant, subject) = (text("a"), text("acme"), text("alice"));
    let issuer = text("main");
    let asked = Asked {
        hint: Hint {
            issuer: Some(&issuer),
            kid: Some("key-1".into()),
        },
        ..asked().clone()
    };
    for decision in &decisions() {
        tell(&Event::Decided {
            listener,
            peer: Some(peer),
            request_id,
            mode: Mode::Required,
            asked: &asked,
            decision,
            forwards: true,
            registry_version: Some(3),
            waited: false,
        });
        cell_bound(decision, tell);
    }
    for outcome in SealOutcome::ALL {
        tell(&Event::Envelope {
            listener,
            request_id,
            cell: &cell,
            form: EnvelopeForm::Hmac,
            outcome: *outcome,
            kid: Some("k1"),
        });
    }
    of_answers(tell);
    tell(&Event::StreamClosed {
        listener,
        peer,
        request_id,
        tenant: Some(&tenant),
        subject: Some(&subject),
        reason: Reason::TenantSuspended,
    });
    tell(&Event::Preflight {
        listener,
        peer,
        request_id,
        covered: true,
    });
}

fn of_answers(tell: &mut dyn FnMut(&Event<'_>)) {
    for told in [false, true] {
        tell(&Event::Responded(Responded {
            reason: Some(Reason::CellReset),
            detail: Some("the cell has too many requests"),
            told,
            cell: Some(&text("a")),
            failover: Some(Reason::CircuitOpen),
            ..responded()
        }));
    }
}

fn cell_bound(decision: &Decision, tell: &mut dyn FnMut(&Event<'_>)) {
    let refused = Refused::new(
        "cba.signature",
        Reason::CbaBadSignature,
        "the signature is not valid",
    );
    for (mode, refused) in [
        (CbaMode::Enforce, None),
        (CbaMode::Enforce, Some(refused.clone())),
        (CbaMode::Monitor, Some(refused)),
    ] {
        let source = Some(text("eu-1"));
        let bound = CellBound {
            mode,
            source,
            refused,
            claim: None,
        };
        tell(&Event::CellBound {
            listener: "public",
            peer: Some(([203, 0, 113, 9], 4711).into()),
            request_id: "r1",
            bound: &bound,
            decision,
        });
    }
}

fn of_cells(tell: &mut dyn FnMut(&Event<'_>)) {
    let (cell, endpoint) = (&text("a"), "https://a.internal");
    let took = Duration::from_millis(3);
    tell(&Event::CellConnected {
        cell,
        endpoint,
        took,
    });
    let failed = FetchError::Tls("no".to_owned());
    for outcome in SpanOutcome::ALL {
        tell(&Event::Spans {
            count: 3,
            outcome: *outcome,
            error: (*outcome == SpanOutcome::NotSent).then_some(&failed),
        });
    }
    for (what, cell) in [(Wait::Keys, None), (Wait::Place, Some(cell))] {
        tell(&Event::Waited {
            request_id: "01",
            what,
            cell,
            time: took,
        });
    }
    tell(&Event::CellFailed {
        cell,
        endpoint,
        reason: Reason::CellReset,
        error: "reset",
    });
    for granted in [true, false] {
        tell(&Event::CellRetry {
            cell,
            endpoint,
            request_id: "r1",
            why: Unserved::Died,
            granted,
        });
    }
    tell(&Event::CellHedge {
        cell,
        endpoint: Some(endpoint),
        request_id: "r1",
        end: HedgeEnd::Won,
    });
    tell(&Event::FailedOver {
        listener: "public",
        request_id: "r1",
        from: Some(cell),
        cell: &text("b"),
        fallback: Some(&text("spare")),
        reason: Reason::CircuitOpen,
    });
    of_endpoints(tell);
}

fn of_endpoints(tell: &mut dyn FnMut(&Event<'_>)) {
    let (cell, endpoint) = (&text("a"), "https://a.internal");
    for change in [
        CircuitChange::Opened,
        CircuitChange::Probing,
        CircuitChange::Closed,
        CircuitChange::Freed,
    ] {
        tell(&Event::CircuitChanged {
            cell,
            endpoint,
            request_id: "r1",
            change,
        });
    }
    let (cell, url) = (text("a"), Box::<str>::from(endpoint));
    let endpoint = EndpointId(0);
    notice(
        tell,
        Notice::Health(HealthNotice::Ejected {
            cell: cell.clone(),
            endpoint,
            url: url.clone(),
            duration: Duration::from_secs(1),
            last: Outcome::Reset,
        }),
    );
    notice(
        tell,
        Notice::Health(HealthNotice::Returned {
            cell: cell.clone(),
            endpoint,
            url: url.clone(),
        }),
    );
    of_checks(&cell, &url, tell);
}

fn of_checks(cell: &Text, url: &str, tell: &mut dyn FnMut(&Event<'_>)) {
    let (endpoint, why) = (EndpointId(0), ProbeFailure::Timeout);
    tell(&Event::EndpointChecked {
        cell,
        endpoint: url,
        failure: Some(why),
        error: Some("the check took too long"),
    });
    let (cell, url) = (cell.clone(), Box::<str>::from(url));
    notice(
        tell,
        Notice::Health(HealthNotice::Unhealthy {
            cell: cell.clone(),
            endpoint,
            url: url.clone(),
            why,
        }),
    );
    notice(
        tell,
        Notice::Health(HealthNotice::Healthy {
            cell,
            endpoint,
            url,
        }),
    );
}

fn of_sources(tell: &mut dyn FnMut(&Event<'_>)) {
    let control = Control::new(
        policy().into(),
        ControlSettings::default(),
        Now::default(),
        0,
    );
    let mut snapshot = Snapshot::clone(control.snapshot());
    let registry = r#"{"version": 1,
        "cells": [{"id": "a", "tier": "std", "region": "eu", "state": "active",
                   "endpoints": [{"url": "https://a.internal:443"}]}]}"#;
    snapshot.registry = Some(Arc::new(Registry::from_json(registry).unwrap()));
    tell(&Event::Published {
        snapshot: &snapshot,
    });
    tell(&Event::KeysRequested {
        issuer: &text("main"),
        forced: true,
    });
    tell(&Event::SourceFailed {
        source: "registry",
        error: &FetchError::Tls("no".to_owned()),
    });
    let (file, error) = ("state/registry", "bad");
    tell(&Event::KeptRefused { file, error });
    tell(&Event::KeepFailed { file, error });
}

fn notice(tell: &mut dyn FnMut(&Event<'_>), notice: Notice) {
    tell(&Event::Notice {
        notice: &notice,
        policy: &policy(),
    });
}

fn of_keys(tell: &mut dyn FnMut(&Event<'_>)) {
    let skipped = || {
        vec![Skipped {
            at: 0,
            kid: None,
            why: "without \"n\"".into(),
        }]
    };
    let refused = || JwksError {
        reason: JwksErrorReason::Malformed,
        detail: "no JSON".into(),
        skipped: skipped(),
    };
    let fetched = |changed| KeyNotice::Fetched {
        keys: 1,
        skipped: skipped(),
        changed,
    };
    let age = Duration::from_secs(1);
    for told in [
        fetched(true),
        fetched(false),
        KeyNotice::Restored { keys: 1, age },
        KeyNotice::Refused(refused()),
        KeyNotice::Failed(JwksFetchError::Unreachable),
    ] {
        let issuer = IssuerId(0);
        notice(
            tell,
            Notice::Keys {
                issuer,
                notice: told,
            },
        );
    }
    let (cell, refused) = (text("a"), refused());
    notice(tell, Notice::CellKeysRefused { cell, refused });
}

fn of_registries(tell: &mut dyn FnMut(&Event<'_>)) {
    for told in [
        RegistryNotice::Applied {
            version: 1,
            cells: 1,
            tenants: 1,
            restored: false,
        },
        RegistryNotice::Refused(RegistryError {
            reason: RegistryErrorReason::Empty,
            detail: "no cells".to_owned(),
            others: Vec::new(),
        }),
        RegistryNotice::FetchFailed {
            failure: RegistryFetchError {
                problem: FetchProblem::Unreachable,
                detail: "refused".to_owned(),
            },
            consecutive: 1,
        },
        RegistryNotice::Stale,
        RegistryNotice::Fresh,
        RegistryNotice::StatusAging {
            left: Duration::from_secs(1),
        },
        RegistryNotice::StatusExpired,
        RegistryNotice::StatusCurrent,
    ] {
        notice(tell, Notice::Registry(told));
    }
}

fn of_the_router(tell: &mut dyn FnMut(&Event<'_>)) {
    tell(&Event::Starting(&Startup {
        config: "cellway.toml",
        stated: &Stated::default(),
        workers: 1,
    }));
    let policy = &text("default");
    tell(&Event::Insecure { policy });
    let finding = &Finding {
        severity: Severity::Warning,
        setting: "upstream.bundle".to_owned(),
        problem: "is not set".to_owned(),
        fix: "set it".to_owned(),
    };
    tell(&Event::ConfigWarning { finding });
    let certificate = &CertificateDates {
        setting: "trust.bundle".into(),
        position: 0,
        not_before: AT,
        not_after: AT,
    };
    let left = Duration::from_secs(1);
    tell(&Event::CertificateEnding { certificate, left });
    tell(&Event::CertificateExpired { certificate });
    let changed = &Changed {
        digest: Some("0123456789abcdef".to_owned()),
        ..Changed::default()
    };
    tell(&Event::Reloaded { changed });
    tell(&Event::ReloadRefused { error: "bad" });
    tell(&Event::LogMoved { to: Output::Stdout });
    tell(&Event::ListenersClosed);
    tell(&Event::UpgradeStarted { pid: 1 });
    tell(&Event::HandedOver { pid: 1 });
    tell(&Event::UpgradeFailed { error: "bad" });
    tell(&Event::Draining {
        delay: Duration::ZERO,
        deadline: Duration::from_secs(1),
    });
    tell(&Event::Drained { abandoned: 0 });
}
