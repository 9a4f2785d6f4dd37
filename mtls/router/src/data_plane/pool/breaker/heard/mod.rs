//! Which holders an endpoint has answered last, and when.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::shares::HolderTag;

const HOLDER_BITS: u32 = u16::BITS;
const SECOND: u64 = 1_000;

/// The two holders that an endpoint has answered last. So for each holder, one of them is another.
///
/// Times are whole seconds: while both notes are of this second, an answer changes neither, whoever gets it.
/// So however many answers all workers get, they write a few times a second.
#[derive(Debug, Default)]
pub(super) struct Heard([AtomicU64; 2]);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Note {
    /// 0: there was no answer. Otherwise one more than the second.
    when: u64,
    holder: HolderTag,
}

impl Note {
    fn unpack(word: u64) -> Self {
        Self {
            when: word >> HOLDER_BITS,
            holder: HolderTag::from_bits(word as u16),
        }
    }

    fn pack(self) -> u64 {
        self.when << HOLDER_BITS | u64::from(self.holder.get())
    }
}

impl Heard {
    /// Notes an answer to a request of this holder, which came at this millisecond.
    pub(super) fn note(&self, holder: HolderTag, millis: u64) {
        let new = Note {
            when: when(millis),
            holder,
        };
        let notes = self.notes();
        let own = notes.iter().position(|note| note.holder == holder);
        let at = own.unwrap_or(usize::from(notes[1].when < notes[0].when));
        if notes[at].when < new.when {
            self.0[at].store(new.pack(), Relaxed);
        }
    }

    /// Whether a request of another holder, which came at this millisecond or later, got an answer.
    pub(super) fn another_since(&self, holder: HolderTag, millis: u64) -> bool {
        let notes = self.notes();
        (notes.iter()).any(|note| note.holder != holder && note.when >= when(millis))
    }

    fn notes(&self) -> [Note; 2] {
        self.0
            .each_ref()
            .map(|word| Note::unpack(word.load(Relaxed)))
    }
}

fn when(millis: u64) -> u64 {
    millis / SECOND + 1
}

#[cfg(test)]
mod tests;
