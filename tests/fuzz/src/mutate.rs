//! Small changes to good inputs, always the same ones.

/// Bytes that mean something to some parser.
const SALT: &[u8] = b"\"\\{}[]:,.=-_%/ \n\0\x7f\x80\xff0e+TAd";

/// An endless sequence of inputs near the seeds, the same for the same seeds.
#[derive(Clone, Debug)]
pub struct Mutations {
    seeds: Vec<Vec<u8>>,
    state: u64,
}

impl Mutations {
    /// Changes these.
    pub fn of(seeds: Vec<Vec<u8>>) -> Self {
        Self { seeds, state: 1 }
    }

    /// splitmix64.
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len());
        let end = (at + 1 + self.below(16)).min(input.len());
        let salt = SALT[self.below(SALT.len())];
        match self.below(6) {
            _ if input.is_empty() => input.push(salt),
            0 => input[at] ^= 1 << self.below(8),
            1 => input[at] = salt,
            2 => input.insert(at, salt),
            3 => drop(input.drain(at..end)),
            4 => {
                let copy = input[at..end].to_vec();
                let to = self.below(input.len());
                input.splice(to..to, copy);
            }
            _ => {
                let other = self.below(self.seeds.len());
                let other = &self.seeds[other];
                let from = at.min(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
}

impl Iterator for Mutations {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let seed = self.below(self.seeds.len());
        let mut input = self.seeds.get(seed)?.clone();
        for _ in 0..=self.below(4) {
            self.change(&mut input);
        }
        Some(input)
    }
}
