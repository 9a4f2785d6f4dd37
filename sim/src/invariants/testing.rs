//! Forged facts, to show that each invariant notices what breaks it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::Reason;

use super::{Bounds, Endpoints, Invariant, Journal, RouterSettings, SettingsInForce};
use crate::engine::EPOCH;
use crate::fact::{
    Answer, Arrived, BodyEnded, CircuitChange, Claims, Configured, Decided, Fact, Life, Note,
    Published, PublishedCell, Responded, Sent, Token,
};
use crate::report::story::testing::{assert_for_people, told, world};
use crate::scenario::CellState;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Bounds of routers whose settings differ from the default by this change.
pub(crate) fn with_settings(change: impl FnOnce(&mut RouterSettings)) -> Bounds {
    let mut settings = RouterSettings::default();
    change(&mut settings);
    Bounds {
        header_prefix: "x-cellway-".to_owned(),
        settings: SettingsInForce::always(settings),
        ..Bounds::default()
    }
}

/// Feeds facts, a second apart, and returns the first violation. Its story must be for people.
pub(crate) fn feed(invariant: &mut dyn Invariant, facts: &[Fact]) -> Result<(), String> {
    let timed = (0..).zip(facts).map(|(at, fact)| (SECOND * at, fact));
    let observed = feed_timed(invariant, timed);
    let result = observed.and_then(|()| invariant.finish(SECOND * facts.len() as u32));
    if let Err(why) = &result {
        let times = (0..).map(|at| SECOND * at);
        let facts: Vec<_> = times.zip(facts.iter().cloned()).collect();
        let story = told(&world(""), invariant.name(), why, &facts);
        assert_for_people(&story);
        assert!(
            story.contains("\n  rule "),
            "a story without a rule: {story}"
        );
    }
    result
}

/// Feeds facts at these times, as a run does, and returns the first violation.
pub(crate) fn feed_timed<'a>(
    invariant: &mut dyn Invariant,
    facts: impl IntoIterator<Item = (Duration, &'a Fact)>,
) -> Result<(), String> {
    let mut journal = Journal::new("x-cellway-");
    for (at, fact) in facts {
        let wrong = journal.tell(at, fact, [&mut *invariant]);
        if let Some((_, why)) = wrong.into_iter().next() {
            return Err(why);
        }
    }
    Ok(())
}

pub(crate) fn life(incarnation: u32) -> Life {
    Life {
        router: "router-1".to_owned(),
        incarnation,
    }
}

/// The configuration file of `router-1` says from now on what `change` sets, and nothing else.
pub(crate) fn configured(change: impl FnOnce(&mut Configured)) -> Fact {
    let mut said = Configured {
        router: "router-1".to_owned(),
        ..Configured::default()
    };
    change(&mut said);
    Fact::Configured(Box::new(said))
}

/// An event of this kind at the first incarnation of `router-1`.
pub(crate) fn noted(kind: &str) -> Fact {
    let (kind, text, keys) = (kind.to_owned(), String::new(), None);
    Fact::Noted(life(0), Note { kind, text, keys })
}

pub(crate) fn published(version: u64, tenants: &[(&str, &str)]) -> Fact {
    Fact::Published(Arc::new(document(version, tenants)))
}

/// A registry with these tenants, each at its cell.
pub(crate) fn document(version: u64, tenants: &[(&str, &str)]) -> Published {
    let cells = |(tenant, cell): &(&str, &str)| ((*tenant).to_owned(), [(*cell).to_owned()].into());
    Published {
        version,
        assignment: tenants.iter().map(cells).collect(),
        ..Published::default()
    }
}

/// A registry with these placements, each with its cell.
pub(crate) fn placed(version: u64, cells: &[(&str, &str)]) -> Fact {
    Fact::Published(Arc::new(Published {
        version,
        placements: document(version, cells).assignment,
        ..Published::default()
    }))
}

/// A registry with these tenants suspended.
pub(crate) fn suspending(version: u64, tenants: &[&str]) -> Fact {
    Fact::Published(Arc::new(Published {
        suspended: tenants.iter().map(|tenant| (*tenant).to_owned()).collect(),
        ..document(version, &[])
    }))
}

/// A registry in which these subjects of acme are revoked.
pub(crate) fn revoking(version: u64, subjects: &[&str]) -> Fact {
    let subjects = subjects.iter();
    Fact::Published(Arc::new(Published {
        revoked: subjects
            .map(|subject| ("acme".to_owned(), (*subject).to_owned()))
            .collect(),
        ..document(version, &[])
    }))
}

/// A cell of the tier `gold`.
pub(crate) fn gold(state: CellState) -> PublishedCell {
    PublishedCell {
        tier: "gold".to_owned(),
        state,
        drains: None,
        endpoints: BTreeSet::from(["a-1".to_owned()]),
    }
}

pub(crate) fn applied(incarnation: u32, version: u64) -> Fact {
    Fact::RegistryApplied {
        life: life(incarnation),
        version,
    }
}

pub(crate) fn sent(tag: &str, tenant: &str) -> Fact {
    sent_with(tag, tenant, |_| ())
}

/// A request that differs from [`sent`]'s by this change.
pub(crate) fn sent_with(tag: &str, tenant: &str, change: impl FnOnce(&mut Sent)) -> Fact {
    let mut sent = Sent {
        client: "client".to_owned(),
        tag: tag.to_owned(),
        tenant: tenant.to_owned(),
        good: true,
        method: "POST".to_owned(),
        path: "/orders".to_owned(),
        claims: Some(Box::new(Claims {
            audiences: ["cellway".to_owned()].into(),
            tenants: [tenant.to_owned()].into(),
            default_tenant: Some(tenant.to_owned()),
            ..Claims::default()
        })),
        selects: None,
        anonymous: false,
        token: None,
        cell_bound: None,
        routing_key: None,
        address: Ipv4Addr::new(192, 0, 2, 1),
        to: "router-1".to_owned(),
        via: None,
        once: true,
        websocket: false,
        grpc: false,
        deadline: None,
        body: Some(8),
        trailers: false,
    };
    change(&mut sent);
    Fact::Sent(Arc::new(sent))
}

/// A request without any credentials.
pub(crate) fn sent_by_nobody(tag: &str) -> Fact {
    sent_with(tag, "acme", |sent| {
        sent.good = false;
        sent.anonymous = true;
    })
}

/// A token under `key-1` that is valid for an hour from the epoch on.
pub(crate) fn token(issuer: &str) -> Token {
    Token {
        issuer: issuer.to_owned(),
        key: "key-1".to_owned(),
        issued: EPOCH,
        expires: EPOCH + SECOND * 3600,
    }
}

/// A request with a [`token`] of this issuer.
pub(crate) fn with_token(tag: &str, issuer: &str) -> Fact {
    sent_with(tag, "acme", |sent| sent.token = Some(token(issuer)))
}

pub(crate) fn bad(tag: &str) -> Fact {
    sent_with(tag, "acme", |sent| sent.good = false)
}

pub(crate) fn allowed(request_id: &str, cell: &str, version: u64) -> Fact {
    let cell = cell.to_owned();
    decided_with(request_id, |decided| {
        decided.cell = Some(cell);
        decided.registry_version = Some(version);
    })
}

/// A decision that differs from one for `a` on version 1 by this change.
pub(crate) fn decided_with(request_id: &str, change: impl FnOnce(&mut Decided)) -> Fact {
    let mut decided = Decided {
        life: life(0),
        request_id: request_id.to_owned(),
        cell: Some("a".to_owned()),
        reason: Reason::Verified,
        tenant: Some("acme".to_owned()),
        registry_version: Some(1),
        unix: EPOCH,
    };
    change(&mut decided);
    Fact::Decided(Arc::new(decided))
}

pub(crate) fn denied(request_id: &str, reason: Reason) -> Fact {
    decided_with(request_id, |decided| {
        decided.cell = None;
        decided.reason = reason;
    })
}

pub(crate) fn responded(request_id: &str) -> Fact {
    Fact::Responded(Responded {
        life: life(0),
        request_id: request_id.to_owned(),
        status: Some(200),
        reason: None,
    })
}

/// This request has changed the breaker of `a-1`.
pub(crate) fn circuit(request_id: &str, change: CircuitChange) -> Fact {
    Fact::Circuit {
        life: life(0),
        host: "a-1".to_owned(),
        request_id: request_id.to_owned(),
        change,
    }
}

pub(crate) fn arrived(cell: &str, tag: &str, request_id: &str) -> Fact {
    arrived_with(cell, tag, request_id, |_| ())
}

/// An arrival that differs from [`arrived`]'s by this change.
pub(crate) fn arrived_with(
    cell: &str,
    tag: &str,
    request_id: &str,
    change: impl FnOnce(&mut Arrived),
) -> Fact {
    let mut arrived = Arrived {
        cell: cell.to_owned(),
        host: format!("{cell}-1"),
        tag: Some(tag.to_owned()),
        connection: 0,
        on_connection: 1,
        streams_known: None,
        method: "POST".to_owned(),
        path: "/orders".to_owned(),
        headers: vec![
            ("x-cellway-request-id".to_owned(), request_id.to_owned()),
            ("x-cellway-tenant".to_owned(), "acme".to_owned()),
            ("x-cellway-auth".to_owned(), "verified".to_owned()),
        ],
    };
    change(&mut arrived);
    Fact::Arrived(arrived)
}

/// The end of the body of a [`sent`] request at `a`, with this change.
pub(crate) fn body_ended(tag: &str, change: impl FnOnce(&mut BodyEnded)) -> Fact {
    let mut ended = BodyEnded {
        cell: "a".to_owned(),
        tag: Some(tag.to_owned()),
        bytes: 8,
        complete: true,
        trailers: Vec::new(),
    };
    change(&mut ended);
    Fact::BodyEnded(ended)
}

/// A request of acme that its router allows, with this id, and that arrives at `a`.
pub(crate) fn passing(tag: &str, request_id: &str) -> [Fact; 3] {
    let allowed = allowed(request_id, "a", 1);
    [sent(tag, "acme"), allowed, arrived("a", tag, request_id)]
}

pub(crate) fn with_header(arrival: Fact, name: &str, value: &str) -> Fact {
    let Fact::Arrived(mut arrived) = arrival else {
        panic!("not an arrival: {arrival:?}");
    };
    arrived.headers.retain(|(n, _)| n != name);
    arrived.headers.push((name.to_owned(), value.to_owned()));
    Fact::Arrived(arrived)
}

/// The router's id of a request, as its answer names it.
pub(crate) fn traced(tag: &str, request_id: &str) -> Fact {
    Fact::Traced {
        tag: tag.to_owned(),
        request_id: request_id.to_owned(),
    }
}

pub(crate) fn answered(tag: &str, answer: Answer) -> Fact {
    Fact::Answered {
        tag: tag.to_owned(),
        answer,
    }
}

/// Cells `a` and `b` with one endpoint each, which has no faults.
pub(crate) fn one_each() -> Endpoints {
    let hosts = [("a", "a-1"), ("b", "b-1")];
    Endpoints {
        hosts: hosts
            .map(|(cell, host)| (cell.to_owned(), [host.to_owned()].into()))
            .into(),
        troubles: Vec::new(),
    }
}
