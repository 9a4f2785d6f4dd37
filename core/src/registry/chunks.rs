//! A list that grows without moving what it has.

/// The most items of one piece.
const CHUNK_LEN: usize = 16 * 1024;

/// A list in pieces. A `Vec` of a million items is moved to twice the room over and over, and leaves
/// as much memory behind as it takes.
pub(super) struct Chunks<T>(Vec<Vec<T>>);

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Chunks<T> {
    pub(super) fn len(&self) -> usize {
        let last = self.0.last().map_or(0, Vec::len);
        self.0.len().saturating_sub(1) * CHUNK_LEN + last
    }

    pub(super) fn push(&mut self, item: T) {
        match self.0.last_mut() {
            Some(last) if last.len() < CHUNK_LEN => last.push(item),
            // Only the first is usually not filled.
            full => {
                let room = full.map_or(1, |_| CHUNK_LEN);
                let mut next = Vec::with_capacity(room);
                next.push(item);
                self.0.push(next);
            }
        }
    }

    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.0.get(at / CHUNK_LEN)?.get(at % CHUNK_LEN)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }
}

impl<T> std::ops::Index<usize> for Chunks<T> {
    type Output = T;

    fn index(&self, at: usize) -> &T {
        &self.0[at / CHUNK_LEN][at % CHUNK_LEN]
    }
}
