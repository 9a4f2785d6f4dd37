//! The order in which a cell's endpoints are tried.

/// The endpoints of a cell in the order to try them: those that take traffic, then those that are
/// ejected.
///
/// It has a bit for each endpoint and a position to start at, so that a decision allocates nothing
/// for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ranked {
    eligible: u64,
    count: u8,
    start: u8,
}

impl Ranked {
    /// The most endpoints that a cell can have.
    pub const ENDPOINTS_MAX: usize = 64;

    /// The first `count` endpoints: first the `eligible` ones, starting with the one that `spread`
    /// picks, then the others. So health never makes a cell unreachable.
    pub(crate) fn new(count: usize, spread: u64, eligible: impl Fn(usize) -> bool) -> Self {
        let count = count.min(Self::ENDPOINTS_MAX);
        let all = if count == 64 {
            u64::MAX
        } else {
            (1 << count) - 1
        };
        let mask = (0..count)
            .filter(|&i| eligible(i))
            .fold(0, |mask, i| mask | 1 << i);
        let mask = if mask == 0 { all } else { mask };
        let start = match mask.count_ones() {
            0 => 0,
            n => nth_one(mask, (spread % u64::from(n)) as u32),
        };
        Self {
            eligible: mask,
            count: count as u8,
            start,
        }
    }

    /// Positions in the cell's list of endpoints, best first.
    pub fn positions(self) -> impl Iterator<Item = usize> {
        let (start, count) = (usize::from(self.start), usize::from(self.count));
        let all = move || (start..count).chain(0..start);
        let is_eligible = move |i: &usize| self.eligible & (1 << i) != 0;
        all()
            .filter(is_eligible)
            .chain(all().filter(move |i| !is_eligible(i)))
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
