//! Random bytes from the seed of a run, with an independent stream for each use.

use aws_lc_rs::digest::{Context, SHA256};

/// A stream of random bytes for one seed, host, incarnation and purpose: SHA-256 in counter mode.
///
/// Streams are independent. For example, a new client in a scenario doesn't change the keys of the
/// routers.
#[derive(Clone, Debug)]
pub struct Random {
    key: [u8; 32],
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl Random {
    /// The stream for one purpose of one incarnation of a host.
    pub fn new(seed: u64, host: &str, incarnation: u32, purpose: &str) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&seed.to_le_bytes());
        context.update(&incarnation.to_le_bytes());
        context.update(&(host.len() as u64).to_le_bytes());
        context.update(host.as_bytes());
        context.update(purpose.as_bytes());
        Self {
            key: digest(context),
            counter: 0,
            block: [0; 32],
            used: 32,
        }
    }

    /// The next bytes of the stream.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            if self.used == self.block.len() {
                self.refill();
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }

    /// The next eight bytes as a number.
    pub fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number below `end`; zero if `end` is zero. (The bias of the remainder is too small for a
    /// simulation to notice.)
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64().checked_rem(end).unwrap_or(0)
    }

    fn refill(&mut self) {
        let mut context = Context::new(&SHA256);
        context.update(&self.key);
        context.update(&self.counter.to_le_bytes());
        self.block = digest(context);
        self.counter += 1;
        self.used = 0;
    }
}

fn digest(context: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

#[cfg(test)]
mod tests;
