//! What the tasks of one worker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cellway_env::{Clock, Env};
use http::HeaderValue;

use crate::data_plane::admission::Admission;
use crate::data_plane::authz::Authorizer;
use crate::data_plane::buckets::Buckets;
use crate::data_plane::date::DateCache;
use crate::data_plane::drain::Drain;
use crate::data_plane::pool::Pools;
use crate::data_plane::readiness::RouterReadiness;
use crate::data_plane::router_state::RouterState;
use crate::data_plane::streams::Streams;
use crate::observe::Reporter;
use crate::observe::event::Sink;
use crate::observe::spans::Spans;
use crate::shares::{Bound, Holders};
use crate::view::ViewCell;

/// The state that the tasks of one worker share. Its locks are never contended: see
/// [`lock_uncontended`](crate::lock::lock_uncontended).
#[derive(Debug)]
pub(crate) struct WorkerState<E: Env, S> {
    pub(crate) env: E,
    pub(crate) reporter: Reporter<E, S>,
    pub(crate) views: Arc<ViewCell>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) drain: Arc<Drain>,
    pub(crate) buckets: Arc<Buckets>,
    pub(crate) holders: Arc<Holders>,
    pub(crate) authorizer: Authorizer<E, S>,
    pub(crate) pools: Pools,
    pub(crate) streams: Arc<Streams>,
    pub(crate) spans: Arc<Spans>,
    pub(crate) date: DateCache,
    /// What the gRPC health service says.
    pub(crate) readiness: Arc<RouterReadiness<E>>,
    /// Places for request bodies that are kept to be sent again.
    pub(crate) kept_bodies: Arc<Bound>,
    ids: Ids,
}

impl<E: Env, S: Sink> WorkerState<E, S> {
    pub(crate) fn new(env: E, clock: Clock<E>, sink: S, router: &RouterState) -> Self {
        let mut seed = [0; 8];
        env.fill(&mut seed);
        let seed = u64::from_le_bytes(seed);
        router.holders.key(seed);
        router.buckets.key(seed);
        let readiness = Arc::new(RouterReadiness::new(router, clock.clone()));
        let reporter = Reporter::new(clock, sink);
        let authorizer = Authorizer::new(
            router.views.clone(),
            reporter.clone(),
            router.holders.clone(),
            router.buckets.clone(),
            router.replay_cache.clone(),
            seed,
        );
        let ids = Ids::new(&env);
        Self {
            env,
            reporter,
            views: router.views.clone(),
            admission: router.admission.clone(),
            drain: router.drain.clone(),
            buckets: router.buckets.clone(),
            holders: router.holders.clone(),
            authorizer,
            pools: Pools::new(router.bulkheads.clone()),
            streams: Arc::default(),
            spans: router.spans.clone(),
            date: DateCache::default(),
            readiness,
            kept_bodies: Arc::default(),
            ids,
        }
    }

    /// The next request's id, and a number that spreads requests over equal endpoints.
    pub(crate) fn next_id(&self) -> (HeaderValue, u64) {
        self.ids.next()
    }
}

/// Makes request ids: half is random for each worker, and half is a counter.
#[derive(Debug)]
struct Ids {
    /// 16 hexadecimal digits.
    worker: [u8; 16],
    count: AtomicU64,
}

impl Ids {
    fn new(env: &impl Env) -> Self {
        let mut random = [0; 8];
        env.fill(&mut random);
        Self {
            worker: hex(u64::from_be_bytes(random)),
            count: AtomicU64::new(0),
        }
    }

    fn next(&self) -> (HeaderValue, u64) {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 32];
        id[..16].copy_from_slice(&self.worker);
        id[16..].copy_from_slice(&hex(count));
        let mut value = HeaderValue::from_bytes(&id).expect("hexadecimal digits");
        // This value never occurs again, so HTTP/2 must not keep it in its header table.
        value.set_sensitive(true);
        (value, count)
    }
}

fn hex(value: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| DIGITS[(value >> (60 - 4 * i)) as usize & 0xf])
}
