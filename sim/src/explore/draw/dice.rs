//! Random choices for a drawn scenario.

use toml::{Table, Value};

use crate::random::Random;

/// A stream of choices for one part of a scenario. The parts are independent: a further choice in one
/// doesn't change the others.
pub(super) struct Dice(Random);

impl Dice {
    /// The choices of this part of the scenario of this seed.
    pub(super) fn new(seed: u64, part: &str) -> Self {
        Self(Random::new(seed, part, 0, "explore"))
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.below(end as u64)).unwrap_or(0)
    }

    /// A number from `first` to `last`.
    pub(super) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.0.below(last.saturating_sub(first) + 1)
    }

    /// True so many times in a hundred.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.0.below(100) < percent
    }

    /// One of these.
    ///
    /// # Panics
    /// If there are none.
    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Those that are taken, each so many times in a hundred.
    pub(super) fn some<T: Clone>(&mut self, percent: u64, of: &[T]) -> Vec<T> {
        let taken = of.iter().filter(|_| self.chance(percent));
        taken.cloned().collect()
    }
}

/// A time as scenarios write it.
pub(super) fn millis(ms: u64) -> Value {
    Value::String(format!("{ms}ms"))
}

/// A table of these fields.
pub(super) fn table<const N: usize>(fields: [(&str, Value); N]) -> Table {
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// A list of tables.
pub(super) fn tables(tables: Vec<Table>) -> Value {
    Value::Array(tables.into_iter().map(Value::Table).collect())
}

/// Sets a field.
pub(super) fn set(table: &mut Table, name: &str, value: impl Into<Value>) {
    table.insert(name.to_owned(), value.into());
}
