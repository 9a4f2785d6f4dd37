//! The state of a breaker, packed into one word.

use crate::shares::HolderTag;

/// The bits of a count of failures in a row, or of a probe's number.
const ROW_BITS: u32 = 14;
/// The most failures in a row that the word can hold.
pub(super) const ROW_MAX: u64 = (1 << ROW_BITS) - 1;
/// The bits of a time in milliseconds.
const MILLIS_BITS: u32 = 46;
pub(super) const MILLIS_MAX: u64 = (1 << MILLIS_BITS) - 1;
/// The times of a suspect endpoint are rounded down to this many milliseconds, as a power of two, because
/// the word has a holder too.
pub(super) const SINCE_UNIT_BITS: u32 = 6;
const SINCE_BITS: u32 = 32;
const SINCE_MAX: u64 = (1 << SINCE_BITS) - 1;

const KIND_SHIFT: u32 = 62;
const ROW_SHIFT: u32 = KIND_SHIFT - ROW_BITS;

/// What the word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Requests pass.
    Closed,
    /// Requests pass, but the last exchange failed. `row` counts connection failures in a row, and
    /// the endpoint was last tried at `since`.
    Suspect {
        row: u64,
        /// Whose exchanges all of these were. Nobody's, if there are others or if one was no exchange.
        by: HolderTag,
        since: u64,
    },
    /// Nothing passes until then. With `only_uploads`, requests whose body is complete do.
    Open { until: u64, only_uploads: bool },
    /// One request is on its way, and nothing else passes. `probe` is its number.
    HalfOpen { probe: u64 },
}

impl State {
    /// After an answer that counts as a failure.
    pub(super) const fn failed_once(since: u64) -> Self {
        Self::Suspect {
            row: 0,
            by: HolderTag::NOBODY,
            since,
        }
    }

    pub(super) fn pack(self) -> u64 {
        let (kind, row, rest) = match self {
            Self::Closed => (0, 0, 0),
            Self::Suspect { row, by, since } => {
                let since = (since >> SINCE_UNIT_BITS).min(SINCE_MAX);
                (1, row, u64::from(by.get()) << SINCE_BITS | since)
            }
            Self::Open {
                until,
                only_uploads,
            } => (2, only_uploads.into(), until & MILLIS_MAX),
            Self::HalfOpen { probe } => (3, probe, 0),
        };
        kind << KIND_SHIFT | (row & ROW_MAX) << ROW_SHIFT | rest
    }

    pub(super) fn unpack(word: u64) -> Self {
        let (row, millis) = (word >> ROW_SHIFT & ROW_MAX, word & MILLIS_MAX);
        match word >> KIND_SHIFT {
            0 => Self::Closed,
            1 => Self::Suspect {
                row,
                by: HolderTag::from_bits((word >> SINCE_BITS) as u16),
                since: (word & SINCE_MAX) << SINCE_UNIT_BITS,
            },
            2 => Self::Open {
                until: millis,
                only_uploads: row > 0,
            },
            _ => Self::HalfOpen { probe: row },
        }
    }
}
