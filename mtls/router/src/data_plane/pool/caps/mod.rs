//! Limits on the requests that a tenant or a placement has at all cells, as the registry sets them.
//!
//! A bulkhead limits what one cell gets. A cap limits what one tenant gets, or all tenants of one placement,
//! at whichever cells, counted over all workers. A request takes its places under its caps and at its cell
//! together, and keeps them until its answer or its tunnel has ended. If it finds none, it waits in the queue
//! of its cell, where tenants take turns. A tenant's own limit has no shares. Of a placement's limit, each
//! tenant gets only its share.
//!
//! A place that is given back at one cell may be what a request at another cell waits for. So a cap knows
//! the cells at which requests wait for it, and these take turns.
//!
//! There is a cap only as long as a request uses it, so the number of requests bounds the number of caps. A
//! request with such a limit locks one shard of their table twice, for a look-up. Requests without one,
//! which are most, don't touch it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU32;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicUsize, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cellway_core::registry::Registry;
use cellway_core::{Allow, Mono, RequestsMax, Text};
use foldhash::quality::FixedState;

use crate::shares::{
    Bound, Holder, LimitRefused, News, Resource, Share, Stake, Stakes, Unadmitted,
};

/// The number of parts of the table. Each has its own lock.
const SHARDS: usize = 16;

/// The limit of a cap that the registry has removed.
const NO_LIMIT: usize = usize::MAX;

/// A cell at which requests wait.
pub(super) trait Dispatch: Send + Sync + std::fmt::Debug {
    /// Gives free places to requests that wait.
    fn dispatch(&self);
}

/// The caps of all tenants and placements that have requests.
#[derive(Debug, Default)]
pub(crate) struct Caps {
    shards: [Mutex<Shard>; SHARDS],
    news: [News; Kind::ALL.len()],
}

type Shard = BTreeMap<(Kind, Text), Entry>;

/// Whose requests a cap counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Kind {
    Tenant,
    Placement,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Tenant, Self::Placement];

    fn of(resource: Resource) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.resource() == resource)
    }

    const fn resource(self) -> Resource {
        match self {
            Self::Tenant => Resource::TenantRequests,
            Self::Placement => Resource::PlacementRequests,
        }
    }

    const fn share(self) -> Share {
        match self {
            Self::Tenant => Share::Tenant,
            Self::Placement => Share::Placement,
        }
    }

    /// What this registry allows.
    fn limit(self, name: &Text, registry: &Registry) -> Option<NonZeroU32> {
        match self {
            Self::Tenant => registry.tenant(name.as_str())?.terms.requests_max,
            Self::Placement => registry.placement(name.as_str())?.requests_max,
        }
    }
}

#[derive(Debug)]
struct Entry {
    cap: Arc<Cap>,
    /// The registry version that the limit is from.
    version: u64,
    /// How many requests have a place under it or wait for one.
    users: usize,
}

impl Caps {
    /// The caps of an allowed request. `None`: it has none. Each of `shared_by` routers grants its part.
    pub(crate) fn of(
        self: &Arc<Self>,
        allow: &Allow,
        shared_by: NonZeroU32,
    ) -> Option<Arc<Capped>> {
        let RequestsMax { tenant, placement } = allow.requests_max;
        if tenant.is_none() && placement.is_none() {
            return None;
        }
        let version = allow.placement_epoch;
        let named = |kind, name: Option<&Text>, most: Option<NonZeroU32>| {
            let (name, most) = (name?, most?);
            Some(self.enter((kind, name.clone()), most, version))
        };
        Some(Arc::new(Capped {
            shared_by: usize_of(shared_by),
            tenant: named(Kind::Tenant, allow.proved_tenant(), tenant),
            placement: named(Kind::Placement, allow.placement.as_ref(), placement),
        }))
    }

    /// The cap of this name. It is created if it has no user.
    fn enter(self: &Arc<Self>, name: (Kind, Text), most: NonZeroU32, version: u64) -> Use {
        let mut shard = self.shard(&name);
        let entry = shard.entry(name.clone()).or_insert_with(|| Entry {
            cap: Arc::new(Cap::new(name.0)),
            version: 0,
            users: 0,
        });
        entry.users += 1;
        // A request that was decided on an older registry doesn't bring its limit back.
        if entry.version < version {
            entry.version = version;
            entry.cap.most.store(usize_of(most), Relaxed);
        }
        Use {
            caps: Arc::clone(self),
            name,
            cap: Arc::clone(&entry.cap),
        }
    }

    /// Sets all limits to those of a new registry, so that requests which wait for a limit that was raised
    /// go on.
    pub(crate) fn follow(&self, registry: &Registry) {
        let version = registry.version();
        for shard in &self.shards {
            let mut waited_for = Vec::new();
            let mut shard = lock(shard);
            for ((kind, name), entry) in shard.iter_mut().filter(|(_, it)| it.version <= version) {
                let most = kind.limit(name, registry).map_or(NO_LIMIT, usize_of);
                entry.version = version;
                entry.cap.most.store(most, Relaxed);
                waited_for.push(Arc::clone(&entry.cap));
            }
            drop(shard);
            waited_for.iter().for_each(|cap| cap.dispatch());
        }
    }

    /// Whether to report a refusal by a limit of this kind as news.
    pub(crate) fn is_news(&self, resource: Resource, now: Mono) -> bool {
        Kind::of(resource).is_some_and(|kind| self.news[kind as usize].is_due(now))
    }

    fn shard(&self, name: &(Kind, Text)) -> MutexGuard<'_, Shard> {
        let hash = FixedState::with_seed(0).hash_one(name);
        lock(&self.shards[hash as usize % SHARDS])
    }
}

/// The caps of one request.
#[derive(Debug)]
pub(crate) struct Capped {
    tenant: Option<Use>,
    placement: Option<Use>,
    /// Each router grants its part of a limit.
    shared_by: usize,
}

impl Capped {
    /// Looks whether all places under one of them are taken.
    pub(super) fn look(&self) -> Result<(), Unadmitted> {
        let mut full = self.each().filter(|cap| cap.is_full(self.shared_by));
        full.next()
            .map_or(Ok(()), |cap| Err(cap.refused(LimitRefused::All)))
    }

    /// Takes a place under each.
    ///
    /// # Errors
    /// One has none. Then nothing is taken.
    pub(super) fn take(&self, stakes: &Stakes) -> Result<(), Unadmitted> {
        if let Some(cap) = &self.tenant {
            cap.take(self.shared_by, &[])?;
        }
        let [_, _, tenant] = stakes;
        let placement = self.placement.as_ref();
        let taken = placement.map_or(Ok(()), |cap| cap.take(self.shared_by, &[*tenant]));
        if let (Err(_), Some(cap)) = (taken, &self.tenant) {
            cap.places.give_back([]);
        }
        taken
    }

    /// Gives back what [`take`](Self::take) took. Call [`dispatch`](Self::dispatch) then.
    pub(super) fn give_back(&self, [_, _, tenant]: [Holder; 3]) {
        if let Some(cap) = &self.tenant {
            cap.places.give_back([]);
        }
        if let Some(cap) = &self.placement {
            cap.places.give_back([tenant]);
        }
    }

    /// Gives free places to requests that wait for them at any cell.
    pub(super) fn dispatch(&self) {
        self.each().for_each(Cap::dispatch);
    }

    fn each(&self) -> impl Iterator<Item = &Cap> {
        let uses = [&self.tenant, &self.placement];
        uses.into_iter().flatten().map(|it| &*it.cap)
    }
}

/// A cap that a request uses. The last user removes it from the table.
#[derive(Debug)]
struct Use {
    caps: Arc<Caps>,
    name: (Kind, Text),
    cap: Arc<Cap>,
}

impl std::ops::Deref for Use {
    type Target = Cap;

    fn deref(&self) -> &Cap {
        &self.cap
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut shard = self.caps.shard(&self.name);
        if let Some(entry) = shard.get_mut(&self.name) {
            entry.users -= 1;
            if entry.users == 0 {
                shard.remove(&self.name);
            }
        }
    }
}

/// The limit of one tenant or placement.
#[derive(Debug)]
struct Cap {
    kind: Kind,
    most: AtomicUsize,
    places: Bound,
    /// How many requests wait. It is changed with the lock of `cells` held, and read without.
    waiting: AtomicUsize,
    /// The cells at which they wait, and how many at each. The first has the next turn.
    cells: Mutex<Vec<(Arc<dyn Dispatch>, usize)>>,
}

impl Cap {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            most: AtomicUsize::new(NO_LIMIT),
            places: match kind {
                Kind::Tenant => Bound::without_holders(),
                Kind::Placement => Bound::with_few_holders(),
            },
            waiting: AtomicUsize::new(0),
            cells: Mutex::default(),
        }
    }

    /// This router's part, and at least one.
    fn most(&self, shared_by: usize) -> usize {
        (self.most.load(Relaxed) / shared_by).max(1)
    }

    fn is_full(&self, shared_by: usize) -> bool {
        self.places.taken() >= self.most(shared_by)
    }

    fn take(&self, shared_by: usize, stakes: &[Stake]) -> Result<(), Unadmitted> {
        let taken = self.places.take(self.most(shared_by), stakes);
        taken.map_err(|full| self.refused(full))
    }

    /// If all places are taken, the tenant or placement has used up what is its own. Other requests at the
    /// cell may still get a place.
    fn refused(&self, full: LimitRefused) -> Unadmitted {
        Unadmitted {
            full: match full {
                LimitRefused::All => LimitRefused::Share(self.kind.share()),
                LimitRefused::Share(_) | LimitRefused::Nearly => full,
            },
            resource: self.kind.resource(),
        }
    }

    fn dispatch(&self) {
        // Whoever frees a place sees a request that has just begun to wait, or that one sees the place.
        fence(SeqCst);
        if self.waiting.load(SeqCst) == 0 {
            return;
        }
        let mut cells = lock(&self.cells);
        if !cells.is_empty() {
            cells.rotate_left(1);
        }
        let turns: Vec<_> = cells.iter().map(|(cell, _)| Arc::clone(cell)).collect();
        drop(cells);
        turns.iter().for_each(|cell| cell.dispatch());
    }

    fn begins_to_wait(&self, cell: &Arc<dyn Dispatch>) {
        let mut cells = lock(&self.cells);
        match cells.iter_mut().find(|(it, _)| is_same(it, cell)) {
            Some((_, waiting)) => *waiting += 1,
            None => cells.push((Arc::clone(cell), 1)),
        }
        self.waiting.fetch_add(1, SeqCst);
    }

    fn waits_no_more(&self, cell: &Arc<dyn Dispatch>) {
        let mut cells = lock(&self.cells);
        let at = cells.iter().position(|(it, _)| is_same(it, cell));
        if let Some((at, (_, waiting))) = at.and_then(|at| Some((at, cells.get_mut(at)?))) {
            *waiting -= 1;
            if *waiting == 0 {
                cells.remove(at);
            }
        }
        self.waiting.fetch_sub(1, SeqCst);
    }
}

/// A request that waits at a cell, as its caps see it.
#[derive(Debug)]
pub(super) struct Waits {
    capped: Arc<Capped>,
    cell: Arc<dyn Dispatch>,
}

impl Waits {
    /// Call this before the request enters the queue of the cell.
    pub(super) fn begin(capped: Arc<Capped>, cell: Arc<dyn Dispatch>) -> Self {
        capped.each().for_each(|cap| cap.begins_to_wait(&cell));
        Self { capped, cell }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.capped
            .each()
            .for_each(|cap| cap.waits_no_more(&self.cell));
        // For a moment, the request may have kept a place from the others.
        self.capped.dispatch();
    }
}

fn is_same(one: &Arc<dyn Dispatch>, other: &Arc<dyn Dispatch>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

fn usize_of(number: NonZeroU32) -> usize {
    usize::try_from(number.get()).unwrap_or(usize::MAX)
}

/// Each holder of these locks leaves what they guard consistent, so a poisoned one is safe to use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
