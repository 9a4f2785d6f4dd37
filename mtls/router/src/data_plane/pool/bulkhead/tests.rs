use std::time::Duration;

use cellway_core::adaptive_limit::AdaptiveSettings;
use cellway_core::registry::{Parsed, RegistryFormat, RegistryLimits};

use super::*;
use crate::data_plane::pool::Pools;
use crate::data_plane::pool::caps::Capped;
use crate::settings::Priority;
use crate::shares::{Holder, Holders, LimitRefused, Share, Stake, Stakes};

/// A request that no share limits.
const ANYBODY: Stakes = [Stake {
    share: Share::Tenant,
    holder: Holder::NOBODY,
    percent: 1,
}; 3];

fn places(most: usize) -> Places {
    Places {
        most,
        resource: Resource::CellRequests,
    }
}

fn claim(stakes: &Stakes, capped: Option<Arc<Capped>>) -> Claim<'_> {
    Claim {
        stakes,
        priority: Priority::Normal,
        capped,
    }
}

#[test]
fn a_gate_gives_back_what_it_refused_and_what_was_dropped() {
    let bulkhead = Arc::new(Bulkhead::default());
    let request = || bulkhead.request(places(2), &claim(&ANYBODY, None));
    let first = request().unwrap();
    let _second = request().unwrap();
    let full = Some(Unadmitted {
        full: LimitRefused::All,
        resource: Resource::CellRequests,
    });
    assert_eq!(request().err(), full);
    assert_eq!(request().err(), full);
    drop(first);
    assert!(request().is_ok());
}

/// What one tenant's requests ask for, and limits that don't let them wait.
fn of_one_tenant(adaptive: bool) -> (Stakes, CellLimits) {
    let limits = CellLimits {
        queue_max: 0,
        adaptive: adaptive.then(AdaptiveSettings::default),
        ..CellLimits::default()
    };
    let holders = Holders::default();
    let stake = |share, percent| Stake::new(share, holders.named(share, "acme"), percent);
    let stakes = [
        stake(Share::Connection, limits.shares.connection),
        stake(Share::Caller, limits.shares.caller),
        stake(Share::Tenant, limits.shares.tenant),
    ];
    (stakes, limits)
}

async fn admitted(
    bulkhead: &Arc<Bulkhead>,
    (stakes, limits): &(Stakes, CellLimits),
) -> Result<RequestPermit, Unadmitted> {
    let claim = claim(stakes, None);
    bulkhead.admit(limits, claim, None, &mut 0).await
}

/// Catches: streams that count for their holders' shares of the adaptive limit.
#[tokio::test(start_paused = true)]
async fn streams_leave_their_holder_its_share_of_the_adaptive_limit() {
    let (bulkhead, tenant) = (Arc::default(), of_one_tenant(true));
    let mut streams = Vec::new();
    for _ in 0..32 {
        let mut permit = admitted(&bulkhead, &tenant).await.unwrap();
        permit.is_answered();
        streams.push(permit);
    }
    let mut waiting = Vec::new();
    while let Ok(permit) = admitted(&bulkhead, &tenant).await {
        waiting.push(permit);
    }
    let (alone, others) = (Arc::default(), waiting.len());
    waiting.clear();
    while let Ok(permit) = admitted(&alone, &tenant).await {
        waiting.push(permit);
    }
    assert_eq!(others, waiting.len(), "as many as without streams");
    assert!((1..8).contains(&others), "{others}");
    drop((streams, waiting));
    assert_eq!(bulkhead.requests.taken(), 0);
    assert_eq!(bulkhead.adaptive.unanswered().taken(), 0);
}

/// Catches: streams that were admitted before the adaptive limit was turned on and use it up.
#[tokio::test(start_paused = true)]
async fn turning_the_adaptive_limit_on_leaves_open_streams_alone() {
    let (bulkhead, before) = (Arc::default(), of_one_tenant(false));
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(admitted(&bulkhead, &before).await.unwrap());
    }
    let after = of_one_tenant(true);
    let mut first = admitted(&bulkhead, &after).await.unwrap();
    for stream in &mut streams {
        stream.is_answered();
    }
    first.is_answered();
    assert_eq!(bulkhead.adaptive.unanswered().taken(), 0);
    assert!(admitted(&bulkhead, &after).await.is_ok());
    assert_eq!(bulkhead.requests.taken(), 33);
    // Turned off, the limit ends.
    let _waits = admitted(&bulkhead, &after).await.unwrap();
    drop((streams, first));
    assert!(admitted(&bulkhead, &before).await.is_ok());
    assert_eq!(bulkhead.adaptive.limit(), None);
}

/// A registry with this cell alone.
fn of_cell(version: u64, id: &str, previous: Option<&Registry>) -> Registry {
    let document = format!(
        r#"{{"version": {version}, "cells": [{{"id": "{id}", "tier": "t", "region": "r", "state": "active",
            "endpoints": [{{"url": "http://{id}.internal:80"}}]}}]}}"#
    );
    let limits = RegistryLimits::default();
    match Registry::parse(document.as_bytes(), RegistryFormat::Json, previous, &limits) {
        Ok(Parsed::Changed(candidate)) => candidate.into_registry(),
        other => panic!("{other:?}"),
    }
}

/// Catches: a cell that leaves the registry and returns, and then has one bulkhead for the workers that
/// have noticed and another one for those that have not.
#[test]
fn a_cell_that_returns_has_one_bulkhead() {
    let with = of_cell(1, "a", None);
    let without = of_cell(2, "b", Some(&with));
    let bulkheads = Arc::<Bulkheads>::default();
    let workers = [(); 2].map(|()| Pools::new(bulkheads.clone()));
    let cell = &with.cells()[0];
    let parts = |worker: &Pools| {
        let pool = worker.endpoint(cell, &cell.endpoints[0]);
        let (breaker, budget) = (Arc::as_ptr(&pool.breaker), Arc::as_ptr(&pool.budget));
        (Arc::as_ptr(&worker.bulkhead(cell)), breaker, budget)
    };
    let before = workers.each_ref().map(parts);
    let expire = |worker: &Pools| worker.expire(Instant::now(), Duration::ZERO, Some(&without));
    expire(&workers[0]);
    assert_eq!(workers.each_ref().map(parts), before);
    assert_eq!(bulkheads.loads().len(), 1);
    // When nobody uses it any more, it is forgotten.
    workers.iter().for_each(expire);
    assert_eq!(bulkheads.loads().len(), 0);
}

/// Catches: a place under a placement's limit that is free and that a request at another cell waits for.
#[tokio::test(start_paused = true)]
async fn a_place_that_one_cell_gives_back_goes_to_a_request_at_another() {
    let (caps, limits) = (Arc::<Caps>::default(), CellLimits::default());
    let [here, there] = [0, 1].map(|_| Arc::<Bulkhead>::default());
    let admit = async |cell: &Arc<Bulkhead>| {
        let claim = claim(&ANYBODY, Some(Capped::of_placement(&caps, 1)));
        cell.admit(&limits, claim, None, &mut 0).await
    };
    let first = admit(&here).await.unwrap();
    let began = Instant::now();
    let ends = async {
        assert_eq!((here.queue.waiting(), there.queue.waiting()), (0, 1));
        drop(first);
    };
    let (second, ()) = tokio::join!(admit(&there), ends);
    let second = second.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    let refused = admit(&here).await.unwrap_err();
    assert_eq!(refused.resource, Resource::PlacementRequests);
    assert_eq!(began.elapsed(), limits.queue_timeout);
    drop(second);
    assert!(admit(&here).await.is_ok());
    assert_eq!((here.requests.taken(), here.queue.waiting()), (0, 0));
}

/// Catches: a place at a cell that stays free while a request waits for it, because the one that had it went
/// to another cell.
#[tokio::test(start_paused = true)]
async fn a_request_that_leaves_a_cell_makes_room_for_one_that_waits() {
    let limits = CellLimits {
        requests_max: 1,
        ..CellLimits::default()
    };
    let cell = Arc::<Bulkhead>::default();
    let admit = async || {
        let claim = claim(&ANYBODY, None);
        cell.admit(&limits, claim, None, &mut 0).await
    };
    let mut first = admit().await.unwrap();
    let began = Instant::now();
    let leaves = async {
        assert_eq!(cell.queue.waiting(), 1);
        first.leaves_cell();
    };
    let (second, ()) = tokio::join!(admit(), leaves);
    assert!(second.is_ok());
    assert_eq!(began.elapsed(), Duration::ZERO);
}
