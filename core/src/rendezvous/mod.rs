//! Weighted rendezvous hashing: which of several equal cells serves a routing key.
//!
//! Every cell gets a score for the key, and the best score wins. A score depends only on the key
//! and the cell. So a new cell takes over some keys and moves no others, and removing a cell moves
//! only its own keys.
//!
//! To make shares proportional to weights, the score is an exponential variable: `-log2(u) /
//! weight`, and the lowest wins (the base doesn't matter). All routers of a fleet must agree to the
//! last bit on every platform, so it uses no floats and no hash that a dependency could change:
//!
//! 1. `hash(s)` is FNV-1a, 64 bits, over the bytes of `s`, then `mix`.
//! 2. `mix` is the finalizer of splitmix64.
//! 3. `u = mix(hash(key) ^ hash(cell id)) / 2^64`, with 0 taken for 1.
//! 4. `-log2(u)` has 48 binary places: the whole part from the leading zeros, the rest by linear
//!    interpolation in a table of 256 steps. The error is less than one part in 180,000, far too
//!    small to change shares noticeably.
//! 5. Scores are compared by cross-multiplication. On a tie, the lower cell id wins.
//!
//! A cell that drains over time keeps a part of its keys. Which ones is decided by a second, independent
//! number: the high 32 bits of `mix(hash(key) ^ hash(cell id) ^ hash("drain"))`. A key leaves when the
//! part that has moved ([`CellDrain::moved`]) is greater than that number. So the keys leave one after the
//! other, each goes to the cell that is next best for it, and no other key moves.

use std::sync::Arc;

#[cfg(doc)]
use crate::cell::CellDrain;
use crate::cell::{Cell, CellState};
use crate::mix::mix;
use crate::time::Unix;

/// The cells that a key may be spread over, in order of id.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Spread {
    members: Vec<Member>,
}

/// A cell that keys may be spread over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    cell: Arc<Cell>,
    /// The hash of the cell's id, computed once.
    hash: u64,
}

impl Member {
    pub(crate) fn cell(&self) -> &Cell {
        &self.cell
    }

    pub(crate) fn state(&self) -> CellState {
        self.cell.state
    }

    /// Whether the cell drains over time and has not given this key away yet.
    pub(crate) fn keeps(&self, key: u64, now: Unix) -> bool {
        let drain = self
            .cell
            .drain
            .filter(|_| self.cell.state == CellState::Draining);
        drain.is_some_and(|drain| mix(key ^ self.hash ^ DRAIN) >> 32 >= drain.moved(now))
    }

    /// Whether the cell drains over time, and so had keys before.
    pub(crate) fn drains_over_time(&self) -> bool {
        self.cell.state == CellState::Draining && self.cell.drain.is_some()
    }
}

impl Spread {
    pub(crate) fn new(mut cells: Vec<Arc<Cell>>) -> Self {
        cells.sort_by(|a, b| a.id.cmp(&b.id));
        let member = |cell: Arc<Cell>| Member {
            hash: hash(cell.id.as_str()),
            cell,
        };
        Self {
            members: cells.into_iter().map(member).collect(),
        }
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = &Arc<Cell>> {
        self.members.iter().map(|member| &member.cell)
    }

    /// The cell, if there is only one.
    pub(crate) fn only(&self) -> Option<&Arc<Cell>> {
        match &*self.members {
            [member] => Some(&member.cell),
            _ => None,
        }
    }

    /// The cell that wins `key` (see [`hash`]) among those that are accepted.
    pub(crate) fn choose(&self, key: u64, accept: impl Fn(&Member) -> bool) -> Option<&Arc<Cell>> {
        let mut best: Option<(&Member, u64)> = None;
        for member in self.members.iter().filter(|it| accept(it)) {
            let lot = neg_log2(mix(key ^ member.hash));
            let wins = best.is_none_or(|(other, other_lot)| {
                let ours = u128::from(lot) * u128::from(other.cell.weight);
                let theirs = u128::from(other_lot) * u128::from(member.cell.weight);
                ours < theirs
            });
            if wins {
                best = Some((member, lot));
            }
        }
        best.map(|(member, _)| &member.cell)
    }
}

/// The hash of a routing key or a cell id.
pub(crate) const fn hash(text: &str) -> u64 {
    let (bytes, mut hash, mut at) = (text.as_bytes(), 0xcbf2_9ce4_8422_2325_u64, 0);
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    mix(hash)
}

/// Makes the number that decides when a key leaves a draining cell independent of the scores.
const DRAIN: u64 = hash("drain");

/// Binary places of [`neg_log2`].
const PLACES: u32 = 48;

/// `-log2(value / 2^64)` with [`PLACES`] binary places.
fn neg_log2(value: u64) -> u64 {
    let value = value.max(1);
    let zeros = value.leading_zeros();
    // 1 to 2, with 63 binary places: one bit for the 1, eight for the step, the rest to
    // interpolate.
    let mantissa = value << zeros;
    let step = (mantissa >> 55) as usize & 0xff;
    let along = mantissa & ((1 << 55) - 1);
    let (low, high) = (LOG2[step], LOG2[step + 1]);
    let rise = (u128::from(high - low) * u128::from(along)) >> 55;
    (u64::from(zeros + 1) << PLACES) - low - rise as u64
}

/// `log2(1 + i / 256)` with [`PLACES`] binary places.
static LOG2: [u64; 257] = {
    let mut table = [0; 257];
    let mut i = 0;
    while i < 256 {
        table[i] = log2((1 << 63) + ((i as u64) << 55));
        i += 1;
    }
    table[256] = 1 << PLACES;
    table
};

/// `log2` of a number from 1 to 2 with 63 binary places, bit by bit: squaring doubles the
/// logarithm, and a square of 2 or more says that the next bit is set.
const fn log2(mut x: u64) -> u64 {
    let mut result = 0;
    let mut place = 0;
    while place < PLACES {
        let square = ((x as u128) * (x as u128)) >> 63;
        result <<= 1;
        if square >= 1 << 64 {
            result |= 1;
            x = (square >> 1) as u64;
        } else {
            x = square as u64;
        }
        place += 1;
    }
    result
}

#[cfg(test)]
mod tests;
