use std::sync::atomic::AtomicBool;

use super::*;
use crate::shares::Holders;

/// A registry with these limits of the tenant `acme` and of its placement.
fn registry(version: u64, tenant: Option<u32>, placement: Option<u32>) -> Registry {
    let limits = |most: Option<u32>| {
        most.map_or(String::new(), |most| {
            format!(r#","limits":{{"requests_max":{most}}}"#)
        })
    };
    let (tenant, placement) = (limits(tenant), limits(placement));
    let document = format!(
        r#"{{"version":{version},
            "cells":[{{"id":"a","tier":"t","region":"r","state":"active",
                       "endpoints":[{{"url":"http://127.0.0.1:1"}}]}}],
            "placements":[{{"id":"shared","tier":"t","cells":["a"]{placement}}}],
            "tenants":[{{"id":"acme","placement":"shared"{tenant}}}]}}"#
    );
    Registry::from_json(&document).unwrap()
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// What a request of this tenant uses, decided on this version.
fn capped(
    caps: &Arc<Caps>,
    version: u64,
    tenant: Option<(&str, u32)>,
    placement: Option<u32>,
) -> Capped {
    let enter = |kind, name: &str, most| {
        caps.enter((kind, Text::new(name).unwrap()), number(most), version)
    };
    Capped {
        shared_by: 1,
        tenant: tenant.map(|(name, most)| enter(Kind::Tenant, name, most)),
        placement: placement.map(|most| enter(Kind::Placement, "shared", most)),
    }
}

impl Capped {
    /// What a request of a placement with this limit uses.
    pub(in crate::data_plane::pool) fn of_placement(caps: &Arc<Caps>, most: u32) -> Arc<Self> {
        Arc::new(capped(caps, 1, None, Some(most)))
    }
}

/// The stakes of a request of this tenant. A tenant may have 80 % of a limit.
fn of(holders: &Holders, tenant: &str) -> Stakes {
    let holder = holders.named(Share::Tenant, tenant);
    [
        Stake::new(Share::Connection, Holder::NOBODY, 100),
        Stake::new(Share::Caller, Holder::NOBODY, 100),
        Stake::new(Share::Tenant, holder, 80),
    ]
}

fn holders(stakes: &Stakes) -> [Holder; 3] {
    stakes.map(|stake| stake.holder)
}

fn refused(full: LimitRefused, resource: Resource) -> Result<(), Unadmitted> {
    Err(Unadmitted { full, resource })
}

#[test]
fn a_tenant_has_all_of_its_limit_and_no_more() {
    let (caps, table) = (Arc::<Caps>::default(), Holders::default());
    let stakes = of(&table, "acme");
    let request = capped(&caps, 1, Some(("acme", 3)), None);
    for _ in 0..3 {
        assert_eq!(request.look(), Ok(()));
        assert_eq!(request.take(&stakes), Ok(()));
    }
    let full = refused(LimitRefused::Share(Share::Tenant), Resource::TenantRequests);
    assert_eq!(request.look(), full);
    assert_eq!(request.take(&stakes), full);
    let other = capped(&caps, 1, Some(("globex", 1)), None);
    assert_eq!(other.take(&of(&table, "globex")), Ok(()));
    request.give_back(holders(&stakes));
    assert_eq!(request.take(&stakes), Ok(()));
    assert_eq!(request.take(&stakes), full);
}

/// Catches: a placement's limit that one tenant can use up, and a refusal that keeps a place of the
/// tenant.
#[test]
fn the_tenants_of_a_placement_share_its_limit() {
    let (caps, table) = (Arc::<Caps>::default(), Holders::default());
    let [flood, quiet] = ["flood", "quiet"].map(|name| of(&table, name));
    let request = capped(&caps, 1, Some(("flood", 100)), Some(10));
    let mut taken = 0;
    let full = loop {
        match request.take(&flood) {
            Ok(()) => taken += 1,
            Err(full) => break Err(full),
        }
    };
    let share = LimitRefused::Share(Share::Tenant);
    assert_eq!(full, refused(share, Resource::PlacementRequests));
    assert_eq!(taken, 8);
    let tenants = request.tenant.as_ref().unwrap();
    assert_eq!(tenants.places.taken(), 8);
    let other = capped(&caps, 1, None, Some(10));
    assert_eq!(other.take(&quiet), Ok(()));
    for _ in 0..8 {
        request.give_back(holders(&flood));
    }
    other.give_back(holders(&quiet));
    let placement = request.placement.as_ref().unwrap();
    assert_eq!((tenants.places.taken(), placement.places.taken()), (0, 0));
    assert_eq!(placement.places.exceeds(1, &flood), None);
}

#[test]
fn a_placement_that_is_full_says_so() {
    let (caps, table) = (Arc::<Caps>::default(), Holders::default());
    let request = capped(&caps, 1, None, Some(2));
    let [one, two, three] = ["one", "two", "three"].map(|name| of(&table, name));
    assert_eq!(request.take(&one), Ok(()));
    assert_eq!(request.take(&two), Ok(()));
    let share = LimitRefused::Share(Share::Placement);
    let full = refused(share, Resource::PlacementRequests);
    assert_eq!(request.look(), full);
    assert_eq!(request.take(&three), full);
}

#[test]
fn each_router_grants_its_part_and_at_least_one() {
    let (caps, table) = (Arc::<Caps>::default(), Holders::default());
    let stakes = of(&table, "acme");
    for (most, shared_by, part) in [(10, 3, 3), (2, 3, 1)] {
        let request = Capped {
            shared_by,
            ..capped(&caps, 1, Some(("acme", most)), None)
        };
        let taken = (0..20).take_while(|_| request.take(&stakes).is_ok());
        assert_eq!(taken.count(), part, "{most} of {shared_by}");
    }
}

/// Catches: caps that stay when the last request has ended, and a count that starts anew while one is
/// open.
#[test]
fn a_cap_lasts_as_long_as_its_requests() {
    let (caps, table) = (Arc::<Caps>::default(), Holders::default());
    let stakes = of(&table, "acme");
    let entries = || {
        let shards = caps.shards.iter();
        shards.map(|shard| lock(shard).len()).sum::<usize>()
    };
    let first = capped(&caps, 1, Some(("acme", 1)), Some(5));
    assert_eq!(first.take(&stakes), Ok(()));
    let second = capped(&caps, 1, Some(("acme", 1)), Some(5));
    assert!(second.take(&stakes).is_err());
    assert_eq!(entries(), 2);
    first.give_back(holders(&stakes));
    drop(first);
    assert_eq!(second.take(&stakes), Ok(()));
    drop(second);
    assert_eq!(entries(), 0);
}

/// A cell that notes whether it was told.
#[derive(Debug, Default)]
struct Cell(AtomicBool);

impl Dispatch for Cell {
    fn dispatch(&self) {
        self.0.store(true, SeqCst);
    }
}

impl Cell {
    fn was_told(&self) -> bool {
        self.0.swap(false, SeqCst)
    }
}

/// Catches: a limit that is raised or removed and that waiting requests don't see, and an older decision
/// that brings the old limit back.
#[test]
fn a_new_registry_changes_the_limits_of_open_requests() {
    let (caps, table) = (Arc::<Caps>::default(), Holders::default());
    let stakes = of(&table, "acme");
    let request = Arc::new(capped(&caps, 1, Some(("acme", 2)), None));
    assert_eq!(request.take(&stakes), Ok(()));
    assert_eq!(request.take(&stakes), Ok(()));
    let cell = Arc::new(Cell::default());
    let waits = Waits::begin(request.clone(), cell.clone());

    caps.follow(&registry(2, Some(3), None));
    assert!(cell.was_told());
    assert_eq!(request.take(&stakes), Ok(()));
    assert!(request.take(&stakes).is_err());
    // Lowered: nothing more until there is room.
    caps.follow(&registry(3, Some(1), None));
    cell.was_told();
    let late = capped(&caps, 1, Some(("acme", 2)), None);
    for _ in 0..3 {
        assert!(late.take(&stakes).is_err());
        request.give_back(holders(&stakes));
    }
    assert_eq!(late.take(&stakes), Ok(()));
    assert!(late.take(&stakes).is_err());
    assert!(!cell.was_told());
    caps.follow(&registry(4, None, None));
    assert!(cell.was_told());
    assert_eq!(late.look(), Ok(()));
    drop(waits);
    cell.was_told();
    caps.follow(&registry(5, Some(9), None));
    assert!(!cell.was_told(), "nobody waits there");
}

/// Catches: a place that only the requests of one cell get although others wait for it, and a cell that
/// is always told first.
#[test]
fn cells_take_turns() {
    let caps = Arc::<Caps>::default();
    let request = Arc::new(capped(&caps, 1, None, Some(1)));
    let cells = [Arc::new(Cell::default()), Arc::new(Cell::default())];
    let waits = [0, 0, 1].map(|at| Waits::begin(request.clone(), cells[at].clone()));
    let first = |cap: &Cap| Arc::as_ptr(&lock(&cap.cells)[0].0).cast::<Cell>();
    let cap = &**request.placement.as_ref().unwrap();
    let mut order = Vec::new();
    for _ in 0..4 {
        request.dispatch();
        assert!(cells.iter().all(|cell| cell.was_told()));
        order.push(std::ptr::addr_eq(first(cap), Arc::as_ptr(&cells[0])));
    }
    assert_eq!(order, [false, true, false, true]);
    let [one, _two, other] = waits;
    drop(one);
    cells.iter().for_each(|cell| {
        cell.was_told();
    });
    drop(other);
    assert!(cells[0].was_told(), "one request still waits there");
    assert!(!cells[1].was_told());
}
