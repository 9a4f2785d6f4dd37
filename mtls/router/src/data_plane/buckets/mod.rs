//! The token buckets of all rate limits, in one table that the router's workers share.
//!
//! The table never grows. A bucket that is full needs no memory, so only the buckets in use have a
//! slot, and only the slot of a full bucket may be given to another key. So losing a slot never
//! refills a bucket. If all slots of a key's set are in use, the key uses the set's common bucket
//! together with other such keys. That is stricter than its limit, never laxer. When it gets a slot
//! of its own later, that bucket starts as empty as the common one.
//!
//! # Without locks
//! A slot is one word: the key's tag, and the time at which its bucket is full again
//! ([`rate_limit`](cellway_core::rate_limit)). A request takes a token with one compare-and-swap. Two
//! keys with one tag and one set share a bucket; the hash is keyed, so callers can't look for such keys.
//!
//! Two workers must not give two slots to one key, because the key would then have two buckets. So
//! a worker first writes its *intent* into the set's own word: this key, this slot, and the time
//! that the slot holds now. Whoever finds an intent completes it. The slot is given only while it
//! still holds that time. This is decided only once, because the times of a slot only grow. A
//! worker that has not found its key writes its intent, or uses the common bucket, only if the set's
//! word is unchanged since before it looked. That word never has the same value twice.

mod quota;

use std::hash::{BuildHasher, Hash};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use cellway_core::Mono;
use cellway_core::rate_limit::{Empty, Rate, Taken};
use foldhash::quality::FixedState;

pub(crate) use self::quota::{Quota, secs_up};
use crate::settings::RateScope;
use crate::shares::News;

/// The sets of the table, and the slots of each: 98,304 buckets in use at a time. A set is a cache
/// line. All together they take 1 MiB, once a request has met a rate limit.
const SETS: usize = 16_384;
const SLOTS: usize = 6;

/// How far the clock readings of two workers may be apart, in microseconds. A slot is given to
/// another key only if its bucket has been full for this long, so that it is full for every worker.
const CLOCKS_APART: u64 = 1_000_000;

/// The lowest 48 bits of a slot hold the time. They suffice for eight years after the router's
/// start.
const TIME_BITS: u32 = 48;
const TIME_MAX: u64 = (1 << TIME_BITS) - 1;

/// The lowest bits of an intent hold the lowest bits of the expected time, then comes the slot.
const EXPECTED_BITS: u32 = 45;
const EXPECTED_MAX: u64 = (1 << EXPECTED_BITS) - 1;

/// All buckets of a router.
#[derive(Debug)]
pub(crate) struct Buckets {
    sets: OnceLock<Box<[Set]>>,
    sets_len: usize,
    hasher: OnceLock<FixedState>,
    news: [News; RateScope::ALL.len()],
}

impl Default for Buckets {
    fn default() -> Self {
        Self::with_sets(SETS)
    }
}

/// One cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Set {
    intent: Word,
    /// When the common bucket is full again.
    common: Word,
    slots: [Word; SLOTS],
}

/// A key's place: its set, and its tag in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    hash: u64,
}

/// A moment in microseconds since long before the router's start, so that an unused slot, which
/// holds 0, counts as full.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Moment(u64);

impl From<Mono> for Moment {
    fn from(now: Mono) -> Self {
        let micros = u64::try_from(now.since_origin().as_micros()).unwrap_or(TIME_MAX);
        Self(micros.saturating_add(4 * CLOCKS_APART).min(TIME_MAX))
    }
}

impl Buckets {
    fn with_sets(sets_len: usize) -> Self {
        Self {
            sets: OnceLock::new(),
            sets_len,
            hasher: OnceLock::new(),
            news: Default::default(),
        }
    }

    /// Sets the key of the hash, unless it is set already. All workers use the same one.
    pub(crate) fn key(&self, seed: u64) {
        let _ = self.hasher.set(FixedState::with_seed(seed));
    }

    /// The key of a bucket with this name.
    pub(crate) fn named(&self, name: impl Hash) -> Key {
        let hasher = self.hasher.get_or_init(|| FixedState::with_seed(0));
        Key {
            hash: hasher.hash_one(name),
        }
    }

    /// Whether to report a refusal by a limit of this kind as news.
    pub(crate) fn is_news(&self, scope: RateScope, now: Mono) -> bool {
        self.news[scope as usize].is_due(now)
    }

    /// Takes a token from the bucket of this key.
    ///
    /// # Errors
    /// It has none left.
    pub(crate) fn take(&self, key: Key, rate: Rate, now: Moment) -> Result<Taken, Empty> {
        let sets = self
            .sets
            .get_or_init(|| (0..self.sets_len).map(|_| Set::default()).collect());
        let set = &sets[key.hash as usize % sets.len()];
        // The set comes from the lowest bits, the tag from the highest. Tag 0 means none.
        let tag = (key.hash >> TIME_BITS).max(1);
        set.take(tag, rate, now.0)
    }
}

impl Default for Set {
    fn default() -> Self {
        // No completed intent has this slot, so no later word is the same.
        let none = Intent {
            tag: 0,
            at: SLOTS + 1,
            full_at: 0,
        };
        Self {
            intent: Word(AtomicU64::new(none.word())),
            common: Word::default(),
            slots: Default::default(),
        }
    }
}

impl Set {
    fn take(&self, tag: u64, rate: Rate, now: u64) -> Result<Taken, Empty> {
        loop {
            let seen = self.intent.load();
            if let Some(slot) = self.find(tag) {
                match take_from_slot(slot, tag, rate, now) {
                    Some(taken) => return taken,
                    // The slot belongs to another key by now.
                    None => continue,
                }
            }
            if Intent::of(seen).is_some() {
                self.complete(seen, now);
                continue;
            }
            match self.full_slot(tag, now) {
                Some((at, full_at)) => {
                    let intent = Intent { tag, at, full_at };
                    let intent = intent.word();
                    if self.intent.replace(seen, intent) {
                        self.complete(intent, now);
                    }
                }
                None => {
                    let taken = take_from(&self.common, 0, rate, now);
                    // Otherwise the key may have got a slot, which doesn't know of this token.
                    if let Some(taken) = taken
                        && self.intent.load() == seen
                    {
                        return taken;
                    }
                }
            }
        }
    }

    /// The slot with this tag.
    fn find(&self, tag: u64) -> Option<&Word> {
        (self.slots.iter()).find(|slot| tag_of(slot.load()) == tag)
    }

    /// A slot whose bucket is full for all workers, and the time in it. Different keys start to look
    /// at different slots, so that two keys that need one at a time don't take it from each other.
    fn full_slot(&self, tag: u64, now: u64) -> Option<(usize, u64)> {
        (0..SLOTS).find_map(|i| {
            let at = (tag as usize + i) % SLOTS;
            let full_at = time_of(self.slots[at].load());
            (full_at + CLOCKS_APART < now).then_some((at, full_at))
        })
    }

    /// Gives the slot of an intent to its key, unless the slot has changed. Then removes the intent.
    fn complete(&self, intent: u64, now: u64) {
        let Some(Intent { tag, at, full_at }) = Intent::of(intent) else {
            return;
        };
        let slot = &self.slots[at % SLOTS];
        let held = slot.load();
        if time_of(held) & EXPECTED_MAX == full_at {
            // Tokens that the key took from the common bucket stay taken. A recent time keeps the
            // slot from being given away before the key uses it.
            let common = self.common.load();
            let time = (time_of(held) + 1).max(common).max(now - CLOCKS_APART / 2);
            let given = word(tag, time.min(TIME_MAX));
            slot.replace(held, given);
        }
        let done = Intent {
            tag: 0,
            at,
            full_at,
        }
        .word();
        self.intent.replace(intent, done);
    }
}

/// A slot that is about to be given to a key. As a word: the tag, the slot, and the lowest bits of
/// the time that it holds. With tag 0 it is completed.
#[derive(Clone, Copy)]
struct Intent {
    tag: u64,
    at: usize,
    full_at: u64,
}

impl Intent {
    fn of(word: u64) -> Option<Self> {
        let tag = tag_of(word);
        (tag != 0).then_some(Self {
            tag,
            at: (time_of(word) >> EXPECTED_BITS) as usize,
            full_at: word & EXPECTED_MAX,
        })
    }

    fn word(self) -> u64 {
        let at = (self.at as u64) << EXPECTED_BITS;
        word(self.tag, at | self.full_at & EXPECTED_MAX)
    }
}

/// Takes a token from the bucket in a slot with this tag. A bucket that was emptied under a lower limit is
/// empty, and no emptier.
///
/// This is the only place where the time of a slot becomes less. It stays in the future, so it is never
/// one that an intent expects, and no intent for the slot is completed because of it.
fn take_from_slot(slot: &Word, tag: u64, rate: Rate, now: u64) -> Option<Result<Taken, Empty>> {
    let held = slot.load();
    if tag_of(held) == tag
        && let Some(capped) = rate.capped(time_of(held), now, CLOCKS_APART)
    {
        // If the slot has changed meanwhile, another worker has done this or taken a token.
        slot.replace(held, word(tag, capped.min(TIME_MAX)));
    }
    take_from(slot, tag, rate, now)
}

/// Takes a token from the bucket in a word with this tag. `None` if the word has another tag.
fn take_from(bucket: &Word, tag: u64, rate: Rate, now: u64) -> Option<Result<Taken, Empty>> {
    loop {
        let held = bucket.load();
        if tag_of(held) != tag {
            return None;
        }
        let taken = match rate.take(time_of(held), now) {
            Ok(taken) => taken,
            Err(empty) => return Some(Err(empty)),
        };
        let next = word(tag, taken.full_at.min(TIME_MAX));
        if bucket.replace(held, next) {
            return Some(Ok(taken));
        }
    }
}

/// One word of a set. The tests run other threads before each access.
#[derive(Debug, Default)]
struct Word(AtomicU64);

impl Word {
    fn load(&self) -> u64 {
        #[cfg(test)]
        tests::pause();
        self.0.load(SeqCst)
    }

    /// Writes `next` if the word still is `held`. Returns whether it was.
    fn replace(&self, held: u64, next: u64) -> bool {
        #[cfg(test)]
        tests::pause();
        (self.0)
            .compare_exchange(held, next, SeqCst, SeqCst)
            .is_ok()
    }
}

const fn word(tag: u64, time: u64) -> u64 {
    tag << TIME_BITS | time
}

const fn tag_of(word: u64) -> u64 {
    word >> TIME_BITS
}

const fn time_of(word: u64) -> u64 {
    word & TIME_MAX
}

#[cfg(test)]
mod tests;
