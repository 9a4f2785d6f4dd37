//! Fair shares of a limit, so that no holder can use it up alone.
//!
//! Without shares, the caller that asks first and most gets all places. Here each request for a
//! place names its holders (a connection, a caller, a tenant, an address). The fuller the limit is,
//! the less each holder may have. So some places stay free for holders that have few, even if
//! several others ask for all of them (dynamic thresholds: Choudhury and Hahne, IEEE/ACM
//! Transactions on Networking 6(2), 1998). A setting gives the share of a single holder while there
//! are no others.
//!
//! Each holder's places are counted in a table of fixed size, by a keyed hash of its name. Two
//! holders can share a counter, so each has two counters, and the lower one counts: a quiet holder
//! is refused by mistake only if it shares both with busy ones.

mod news;

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use cellway_core::Mono;
use foldhash::quality::FixedState;

pub(crate) use self::news::News;

/// Lines in a table, and counters in a line. A line is a cache line. Both counters of a holder are
/// in the same line, so that counting touches only that line.
const LINES: usize = 256;
const COUNTERS: usize = 16;

/// Lines in the table of a limit that one tenant or placement has. There may be many such limits, so each
/// table is small, and holders share counters more often.
const LINES_FEW: usize = 16;

/// A larger number of places is treated as this number.
const COUNTED_MAX: usize = 1 << 40;

/// A holder with less than this part of its share isn't to blame for a refusal. Holders that share a
/// counter add up to less than this.
const FEW: u128 = 16;

/// The kinds of holders.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Share {
    /// One client connection.
    Connection,
    /// One subject of a tenant, or one client address if no caller was verified.
    Caller,
    /// One tenant.
    Tenant,
    /// One client address.
    Address,
    /// All tenants of one placement.
    Placement,
}

impl Share {
    /// All values.
    pub const ALL: &'static [Self] = &[
        Self::Connection,
        Self::Caller,
        Self::Tenant,
        Self::Address,
        Self::Placement,
    ];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Caller => "caller",
            Self::Tenant => "tenant",
            Self::Address => "address",
            Self::Placement => "placement",
        }
    }
}

/// The limits that have shares.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Resource {
    /// Requests in flight to a cell.
    CellRequests,
    /// Connections to a cell that carry one request each.
    CellConnections,
    /// Streams of a worker's HTTP/2 connections to an endpoint.
    CellStreams,
    /// Connections of a listener.
    ListenerConnections,
    /// Requests that wait for an issuer's keys.
    KeyWaiters,
    /// Requests in flight of one tenant, at all cells.
    TenantRequests,
    /// Requests in flight of one placement, at all cells.
    PlacementRequests,
}

impl Resource {
    /// All values.
    pub const ALL: &'static [Self] = &[
        Self::CellRequests,
        Self::CellConnections,
        Self::CellStreams,
        Self::ListenerConnections,
        Self::KeyWaiters,
        Self::TenantRequests,
        Self::PlacementRequests,
    ];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CellRequests => "cell_requests",
            Self::CellConnections => "cell_connections",
            Self::CellStreams => "cell_streams",
            Self::ListenerConnections => "listener_connections",
            Self::KeyWaiters => "key_waiters",
            Self::TenantRequests => "tenant_requests",
            Self::PlacementRequests => "placement_requests",
        }
    }
}

/// Why a request gets no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LimitRefused {
    /// All places are taken.
    All,
    /// This holder has used up its share.
    Share(Share),
    /// Nearly all places are taken by others. This holder has few or none.
    Nearly,
}

/// Why a request gets no place at a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unadmitted {
    pub(crate) full: LimitRefused,
    /// The limit that is reached.
    pub(crate) resource: Resource,
}

/// A holder's counters in a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Holder {
    line: u8,
    /// Two counters of the line. They differ, except for [`NOBODY`](Self::NOBODY).
    counters: [u8; 2],
}

impl Holder {
    /// A holder that isn't counted.
    pub(crate) const NOBODY: Self = Self {
        line: 0,
        counters: [0, 0],
    };

    /// A short name. Two holders have the same one as rarely as they share both counters.
    pub(crate) fn tag(self) -> HolderTag {
        let [first, second] = self.counters.map(u16::from);
        HolderTag(u16::from(self.line) << 8 | first << 4 | second)
    }
}

/// A holder's short name, to note it in a word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct HolderTag(u16);

impl HolderTag {
    /// The tag of [`Holder::NOBODY`], and of no other holder.
    pub(crate) const NOBODY: Self = Self(0);

    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    pub(crate) const fn get(self) -> u16 {
        self.0
    }
}

/// Makes holders from names. The hash is keyed, so that callers can't choose a name that shares
/// another holder's counters.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    hasher: OnceLock<FixedState>,
    connections: AtomicU64,
}

impl Holders {
    /// Sets the key, unless it is set already. All workers use the same key, because they count in
    /// one table.
    pub(crate) fn key(&self, seed: u64) {
        let _ = self.hasher.set(FixedState::with_seed(seed));
    }

    /// A number that is unique among this router's connections.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Relaxed)
    }

    /// The holder of this kind and name.
    pub(crate) fn named(&self, share: Share, name: impl Hash) -> Holder {
        let hasher = self.hasher.get_or_init(|| FixedState::with_seed(0));
        let hash = hasher.hash_one((share as u8, name));
        let [line, first, step, ..] = hash.to_le_bytes();
        let first = usize::from(first) % COUNTERS;
        let second = (first + 1 + usize::from(step) % (COUNTERS - 1)) % COUNTERS;
        Holder {
            line,
            counters: [first as u8, second as u8],
        }
    }

    /// The holder for an address. For IPv6 it is the /64 network, because a client can use all
    /// addresses of its network.
    pub(crate) fn address(&self, share: Share, address: IpAddr) -> Holder {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.named(share, v4.octets()),
            IpAddr::V6(v6) => self.named(share, &v6.octets()[..8]),
        }
    }
}

/// A holder that asks for a place, and its share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stake {
    pub(crate) share: Share,
    pub(crate) holder: Holder,
    /// The share that it may have while no other holder has any, in percent of all places. 100
    /// means all.
    pub(crate) percent: u8,
}

impl Stake {
    pub(crate) fn new(share: Share, holder: Holder, percent: u8) -> Self {
        Self {
            share,
            holder,
            percent,
        }
    }

    /// Whether a holder of `held` places may have another while `free` of `most` are free.
    ///
    /// The part of all places that it may have shrinks with the square of the free part:
    /// `share / (1 - share)² * (free / most)²`. While half of the places are free, this is no
    /// limit. When few are free, it is little. If it shrank linearly, six floods one after another
    /// would take all of 4096 places. This way even twenty leave some.
    fn fits(&self, held: usize, free: usize, most: usize) -> bool {
        let [held, free, most] = [held, free, most].map(counted);
        let percent = u128::from(self.percent.min(100));
        let rest = 100 - percent;
        rest == 0 || held * most * rest * rest < percent * 100 * free * free
    }

    /// Why a holder of `held` places that doesn't [fit](Self::fits) gets no other place.
    fn full(&self, held: usize, most: usize) -> LimitRefused {
        let few = counted(held) * 100 * FEW < counted(most) * u128::from(self.percent);
        match few {
            true => LimitRefused::Nearly,
            false => LimitRefused::Share(self.share),
        }
    }
}

fn counted(places: usize) -> u128 {
    places.min(COUNTED_MAX) as u128
}

/// The holders that ask for a place: a connection, its caller, and the caller's tenant.
pub(crate) type Stakes = [Stake; 3];

/// A limit on places with a share for each holder.
#[derive(Debug)]
pub(crate) struct Bound {
    taken: AtomicUsize,
    held: Box<[Line]>,
    news: News,
}

/// The counters in one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU32; COUNTERS]);

impl Default for Bound {
    fn default() -> Self {
        Self::with_lines(LINES)
    }
}

impl Bound {
    /// A limit with few holders, in a table of 1 KiB.
    pub(crate) fn with_few_holders() -> Self {
        Self::with_lines(LINES_FEW)
    }

    /// A limit that counts no holders.
    pub(crate) fn without_holders() -> Self {
        Self::with_lines(0)
    }

    fn with_lines(lines: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            held: (0..lines).map(|_| Line::default()).collect(),
            news: News::default(),
        }
    }

    /// Takes one of `most` places for all these holders.
    ///
    /// # Errors
    /// All or nearly all places are taken, or one of the holders has used up its share.
    pub(crate) fn take(&self, most: usize, stakes: &[Stake]) -> Result<(), LimitRefused> {
        let taken = self.taken.fetch_add(1, Relaxed);
        if taken >= most {
            self.taken.fetch_sub(1, Relaxed);
            return Err(LimitRefused::All);
        }
        for (i, stake) in stakes.iter().enumerate() {
            let held = self.count(stake.holder);
            if !stake.fits(held, most - taken, most) {
                self.give_back(stakes[..=i].iter().map(|stake| stake.holder));
                return Err(stake.full(held, most));
            }
        }
        Ok(())
    }

    /// Also counts a place that is already taken for this holder.
    ///
    /// # Errors
    /// The holder has used up its share, or nearly all places are taken. The place stays taken but
    /// isn't counted for this holder.
    pub(crate) fn hold(&self, most: usize, stake: &Stake) -> Result<(), LimitRefused> {
        let others = self.taken.load(Relaxed).saturating_sub(1);
        let held = self.count(stake.holder);
        if stake.fits(held, most.saturating_sub(others), most) {
            return Ok(());
        }
        self.uncount(stake.holder);
        Err(stake.full(held, most))
    }

    /// Why a request that has a place here gets none under another limit, if one of its holders has
    /// more than its share there. The other limit counts the same requests and has `most` places.
    pub(crate) fn exceeds(&self, most: usize, stakes: &[Stake]) -> Option<LimitRefused> {
        let others = self.taken.load(Relaxed).saturating_sub(1);
        let free = most.saturating_sub(others);
        stakes.iter().find_map(|stake| {
            let held = self.held_by(stake.holder).saturating_sub(1);
            let exceeds = held > 0 && !stake.fits(held, free, most);
            exceeds.then(|| stake.full(held, most))
        })
    }

    /// Gives back a place of these holders.
    pub(crate) fn give_back(&self, holders: impl IntoIterator<Item = Holder>) {
        for holder in holders {
            self.uncount(holder);
        }
        self.taken.fetch_sub(1, Relaxed);
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Whether to report a refusal as news, because the last one was at least a minute ago.
    pub(crate) fn is_news(&self, now: Mono) -> bool {
        self.news.is_due(now)
    }

    /// Counts a place. Returns how many the holder had before; the number may be too high.
    fn count(&self, holder: Holder) -> usize {
        let before = self
            .counters(holder)
            .map(|counter| counter.fetch_add(1, Relaxed));
        before.min().map_or(0, |held| held as usize)
    }

    fn uncount(&self, holder: Holder) {
        for counter in self.counters(holder) {
            counter.fetch_sub(1, Relaxed);
        }
    }

    /// How many places the holder has; the number may be too high.
    fn held_by(&self, holder: Holder) -> usize {
        let held = self.counters(holder).map(|counter| counter.load(Relaxed));
        held.min().map_or(0, |held| held as usize)
    }

    fn counters(&self, holder: Holder) -> impl Iterator<Item = &AtomicU32> {
        let counted = (holder != Holder::NOBODY).then_some(holder);
        // The number of lines is a power of two, or 0.
        let mask = self.held.len().wrapping_sub(1);
        counted.into_iter().flat_map(move |holder| {
            let line = self.held.get(usize::from(holder.line) & mask);
            let counters = line.map(|line| {
                let [first, second] = holder.counters.map(usize::from);
                [&line.0[first % COUNTERS], &line.0[second % COUNTERS]]
            });
            counters.into_iter().flatten()
        })
    }
}

#[cfg(test)]
mod tests;
