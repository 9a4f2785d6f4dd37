//! Forged facts, to show that each invariant notices what breaks it.

use std::net::Ipv4Addr;
use std::time::Duration;

use cellway_core::Reason;

use super::{Bounds, Invariant, Settings, SettingsInForce};
use crate::fact::{
    Answer, Arrived, CellTruth, Claims, Decided, Fact, Life, Published, Responded, Sent, Token,
};
use crate::scenario::CellState;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Bounds of routers that have these settings all the time.
pub(super) fn with_settings(settings: Settings) -> Bounds {
    Bounds {
        header_prefix: "x-cellway-".to_owned(),
        settings: SettingsInForce::always(settings),
        ..Bounds::default()
    }
}

/// Feeds facts, a second apart, and returns the first complaint.
pub(super) fn feed(invariant: &mut dyn Invariant, facts: &[Fact]) -> Result<(), String> {
    for (at, fact) in (0..).zip(facts) {
        invariant.observe(SECOND * at, fact)?;
    }
    invariant.finish(SECOND * facts.len() as u32)
}

pub(super) fn life(incarnation: u32) -> Life {
    Life {
        router: "router-1".to_owned(),
        incarnation,
    }
}

pub(super) fn published(version: u64, tenants: &[(&str, &str)]) -> Fact {
    Fact::Published(Box::new(saying(version, tenants)))
}

/// With these tenants, each at its cell.
pub(super) fn saying(version: u64, tenants: &[(&str, &str)]) -> Published {
    let cells = |(tenant, cell): &(&str, &str)| ((*tenant).to_owned(), [(*cell).to_owned()].into());
    Published {
        version,
        assignment: tenants.iter().map(cells).collect(),
        ..Published::default()
    }
}

/// With these cells of placements.
pub(super) fn placed(version: u64, cells: &[(&str, &str)]) -> Fact {
    Fact::Published(Box::new(Published {
        version,
        placements: saying(version, cells).assignment,
        ..Published::default()
    }))
}

/// With these tenants suspended.
pub(super) fn suspending(version: u64, tenants: &[&str]) -> Fact {
    Fact::Published(Box::new(Published {
        suspended: tenants.iter().map(|tenant| (*tenant).to_owned()).collect(),
        ..saying(version, &[])
    }))
}

/// With the tokens of this subject of acme's revoked.
pub(super) fn revoking(version: u64, subjects: &[&str]) -> Fact {
    let subjects = subjects.iter();
    Fact::Published(Box::new(Published {
        revoked: subjects
            .map(|subject| ("acme".to_owned(), (*subject).to_owned()))
            .collect(),
        ..saying(version, &[])
    }))
}

/// A cell of the tier `gold`.
pub(super) fn gold(state: CellState) -> CellTruth {
    CellTruth {
        tier: "gold".to_owned(),
        state,
    }
}

pub(super) fn applied(incarnation: u32, version: u64) -> Fact {
    Fact::RegistryApplied {
        life: life(incarnation),
        version,
    }
}

pub(super) fn sent(tag: &str, tenant: &str) -> Fact {
    Fact::Sent(Sent {
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
    })
}

/// With a token of `key-1` that holds for an hour from the epoch on.
pub(super) fn with_token(tag: &str, issuer: &str) -> Fact {
    let token = Token {
        issuer: issuer.to_owned(),
        key: "key-1".to_owned(),
        from: crate::engine::EPOCH,
        ends: crate::engine::EPOCH + SECOND * 3600,
    };
    match sent(tag, "acme") {
        Fact::Sent(mut sent) => {
            sent.token = Some(token);
            Fact::Sent(sent)
        }
        other => other,
    }
}

pub(super) fn bad(tag: &str) -> Fact {
    match sent(tag, "acme") {
        Fact::Sent(sent) => Fact::Sent(Sent {
            good: false,
            ..sent
        }),
        other => other,
    }
}

pub(super) fn allowed(request_id: &str, cell: &str, version: u64) -> Fact {
    Fact::Decided(Decided {
        life: life(0),
        request_id: request_id.to_owned(),
        cell: Some(cell.to_owned()),
        reason: Reason::Verified,
        tenant: Some("acme".to_owned()),
        registry_version: Some(version),
        unix: crate::engine::EPOCH,
    })
}

pub(super) fn denied(request_id: &str, reason: Reason) -> Fact {
    match allowed(request_id, "a", 1) {
        Fact::Decided(decided) => Fact::Decided(Decided {
            cell: None,
            reason,
            ..decided
        }),
        other => other,
    }
}

pub(super) fn responded(request_id: &str) -> Fact {
    Fact::Responded(Responded {
        life: life(0),
        request_id: request_id.to_owned(),
        status: Some(200),
        reason: None,
    })
}

pub(super) fn arrived(cell: &str, tag: &str, request_id: &str) -> Fact {
    Fact::Arrived(Arrived {
        cell: cell.to_owned(),
        host: format!("{cell}-1"),
        tag: Some(tag.to_owned()),
        connection: 0,
        on_connection: 1,
        headers: vec![
            ("x-cellway-request-id".to_owned(), request_id.to_owned()),
            ("x-cellway-tenant".to_owned(), "acme".to_owned()),
            ("x-cellway-auth".to_owned(), "verified".to_owned()),
        ],
    })
}

pub(super) fn with_header(arrival: Fact, name: &str, value: &str) -> Fact {
    let Fact::Arrived(mut arrived) = arrival else {
        panic!("not an arrival: {arrival:?}");
    };
    arrived.headers.retain(|(n, _)| n != name);
    arrived.headers.push((name.to_owned(), value.to_owned()));
    Fact::Arrived(arrived)
}

pub(super) fn answered(tag: &str, answer: Answer) -> Fact {
    Fact::Answered {
        tag: tag.to_owned(),
        answer,
    }
}
