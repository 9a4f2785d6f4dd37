//! Which holder lets others go first when an open breaker may be tried again.
//!
//! Only one request tries. If it were always one of the holder whose requests hang, the breaker would stay
//! open for all others too. So the holder whose failures opened the breaker, or that has tried in vain, is
//! held back for a while if others were refused meanwhile. A holder without others isn't held back.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::millis;
use crate::shares::HolderTag;

const HOLDER_BITS: u32 = u16::BITS;
const UNTIL_SHIFT: u32 = HOLDER_BITS + 1;
const UNTIL_MAX: u64 = u64::MAX >> UNTIL_SHIFT;
const OTHERS: u64 = 1 << HOLDER_BITS;

/// Who lets others go first at one breaker.
#[derive(Debug, Default)]
pub(super) struct Precedence {
    /// A [`Turn`], packed.
    word: AtomicU64,
    /// For how many milliseconds the breaker opened last.
    open: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Who opened the breaker, or had its place last.
    holder: HolderTag,
    /// Whether others were refused since.
    others: bool,
    /// Until when these go first.
    until: u64,
}

impl Turn {
    fn unpack(word: u64) -> Self {
        Self {
            holder: HolderTag::from_bits(word as u16),
            others: word & OTHERS != 0,
            until: word >> UNTIL_SHIFT,
        }
    }

    fn pack(self) -> u64 {
        let others = if self.others { OTHERS } else { 0 };
        self.until.min(UNTIL_MAX) << UNTIL_SHIFT | others | u64::from(self.holder.get())
    }
}

impl Precedence {
    /// The breaker has opened at this millisecond because of this holder, for `open`. `others`: others were
    /// refused already.
    pub(super) fn opened(&self, (holder, others): (HolderTag, bool), now: u64, open: Duration) {
        let open = millis(open);
        self.open.store(open, Relaxed);
        let until = now.saturating_add(open).saturating_add(open);
        self.set(Turn {
            holder,
            others,
            until,
        });
    }

    /// A request of this holder has the place.
    pub(super) fn probes(&self, holder: HolderTag) {
        self.set(Turn {
            holder,
            others: false,
            until: 0,
        });
    }

    /// A request of this holder has left the place without an outcome.
    pub(super) fn freed(&self, holder: HolderTag, now: u64) {
        if self.others_wait(holder) {
            self.set(Turn {
                holder,
                others: true,
                until: now.saturating_add(self.open.load(Relaxed)),
            });
        }
    }

    /// A request of this holder was refused.
    pub(super) fn refused(&self, holder: HolderTag) {
        let turn = self.turn();
        let is_other = turn.holder != HolderTag::NOBODY && turn.holder != holder;
        // Only the first one writes.
        if is_other && !turn.others {
            self.word.fetch_or(OTHERS, Relaxed);
        }
    }

    /// Whether others were refused since this holder had the place.
    pub(super) fn others_wait(&self, holder: HolderTag) -> bool {
        let turn = self.turn();
        turn.others && turn.holder == holder
    }

    /// Until when this holder lets others go first, if it does.
    pub(super) fn holds_back(&self, holder: HolderTag, now: u64) -> Option<u64> {
        let turn = self.turn();
        let waits = turn.others && turn.holder == holder && now < turn.until;
        waits.then_some(turn.until)
    }

    fn turn(&self) -> Turn {
        Turn::unpack(self.word.load(Relaxed))
    }

    fn set(&self, turn: Turn) {
        self.word.store(turn.pack(), Relaxed);
    }
}
