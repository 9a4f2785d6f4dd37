//! The order in which a cell's endpoints are tried.

use crate::mix::mix;

/// The endpoints of a cell in the order to try them: those that are usable, then the others.
///
/// It has a bit for each endpoint and a position to start at, so that a decision allocates nothing
/// for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ranked {
    /// Tried first.
    first: u64,
    /// Tried after them.
    rest: u64,
    count: u8,
    start: u8,
}

/// The weight of an endpoint that gets its whole share.
pub(crate) const FULL_WEIGHT: u32 = 1000;

/// When endpoints that aren't usable are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rest {
    /// After the usable ones.
    Last,
    Never,
}

impl Ranked {
    /// The most endpoints that a cell can have.
    pub const ENDPOINTS_MAX: usize = 64;

    /// The first `count` endpoints, all usable and with the same share, starting with the one that
    /// `spread` picks.
    pub(crate) fn all(count: usize, spread: u64) -> Self {
        let count = count.min(Self::ENDPOINTS_MAX) as u8;
        Self {
            first: match count {
                64 => u64::MAX,
                _ => (1 << count) - 1,
            },
            rest: 0,
            count,
            start: match count {
                0 => 0,
                _ => (spread % u64::from(count)) as u8,
            },
        }
    }

    /// The first `count` endpoints. Those with a `weight` (up to [`FULL_WEIGHT`]) are usable; they
    /// come first, starting with the one that `spread` picks by weight.
    pub(crate) fn weighted(
        count: usize,
        spread: u64,
        weight: impl Fn(usize) -> u32,
        rest: Rest,
    ) -> Self {
        let all = Self::all(count, spread);
        let positions = || 0..usize::from(all.count);
        let usable = positions().filter(|&at| weight(at) > 0);
        let first = usable.fold(0_u64, |mask, at| mask | 1 << at);
        let total: u64 = positions().map(|at| u64::from(weight(at))).sum();
        let even = total == u64::from(FULL_WEIGHT) * u64::from(first.count_ones());
        let start = match total {
            0 => all.start,
            _ if even => nth_one(first, (spread % u64::from(first.count_ones())) as u32),
            _ => {
                // `spread` counts up. Mixed, it doesn't give one endpoint many requests in a row.
                let mut left = mix(spread) % total;
                let picked = positions().find(|&at| {
                    let weight = u64::from(weight(at));
                    let here = left < weight;
                    left = left.saturating_sub(weight);
                    here
                });
                picked.unwrap_or_default() as u8
            }
        };
        Self {
            first,
            rest: match rest {
                Rest::Last => all.first & !first,
                Rest::Never => 0,
            },
            start,
            ..all
        }
    }

    /// Whether no endpoint may be tried.
    pub fn is_empty(self) -> bool {
        self.first | self.rest == 0
    }

    /// Whether the endpoint at this position is tried before those that aren't usable.
    pub fn is_first(self, at: usize) -> bool {
        at < Self::ENDPOINTS_MAX && self.first & 1 << at != 0
    }

    /// Positions in the cell's list of endpoints, best first.
    pub fn positions(self) -> impl Iterator<Item = usize> {
        let (start, count) = (usize::from(self.start), usize::from(self.count));
        let within = move |mask: u64| {
            let all = (start..count).chain(0..start);
            all.filter(move |at| mask & 1 << at != 0)
        };
        within(self.first).chain(within(self.rest))
    }
}

/// The position of the `n`-th set bit, counted from zero; there must be more than `n`.
fn nth_one(mut mask: u64, n: u32) -> u8 {
    for _ in 0..n {
        mask &= mask - 1;
    }
    mask.trailing_zeros() as u8
}

#[cfg(test)]
mod tests;
