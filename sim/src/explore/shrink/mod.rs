//! Makes a scenario that fails smaller, while it still fails in the same way.
//!
//! Whatever can be taken away is tried: faults, clients, tenants, hosts, settings, fields and time. The
//! scenario's own reader says whether what is left is a scenario.

mod cuts;

use toml::{Table, Value};

use self::cuts::Cut;
use super::is_scenario;

/// What a smaller scenario must still show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symptom {
    oracle: String,
    shape: String,
}

impl Symptom {
    /// The symptom of a failure: what broke, and the words of the explanation without names and numbers.
    pub fn new(oracle: &str, why: &str) -> Self {
        Self {
            oracle: oracle.to_owned(),
            shape: shape(why),
        }
    }

    /// The explanation without names and numbers.
    pub fn shape(&self) -> &str {
        &self.shape
    }
}

/// The first words of an explanation that are only letters. Names of hosts, times and ids have other
/// characters, and names of tenants and cells come after the words that say what is wrong.
fn shape(why: &str) -> String {
    let is_word = |word: &&str| {
        let word = word.trim_end_matches([',', '.', ':', ';']);
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '_' || c == '\'')
    };
    let words: Vec<_> = why.split(' ').filter(is_word).take(12).collect();
    words.join(" ")
}

/// Tries smaller scenarios until nothing more can be taken away, or `tries` runs are used up. `fails`
/// runs one and says whether it still fails in the same way.
pub fn shrink(scenario: &Table, tries: usize, mut fails: impl FnMut(&Table) -> bool) -> Table {
    let mut small = scenario.clone();
    let mut left = tries;
    loop {
        let before = small.clone();
        for cut in Cut::ALL {
            pass(&mut small, cut, &mut left, &mut fails);
        }
        if small == before || left == 0 {
            return small;
        }
    }
}

/// Tries all cuts of one kind: first half of the places at once, then fewer, then one by one.
fn pass(small: &mut Table, cut: Cut, left: &mut usize, fails: &mut impl FnMut(&Table) -> bool) {
    let mut size = cut.places(small).max(1);
    loop {
        let mut from = 0;
        while from < cut.places(small) && *left > 0 {
            let smaller = cut.without(small, from, size);
            if smaller.as_ref().is_some_and(is_scenario) {
                *left -= 1;
                if let Some(smaller) = smaller.filter(&mut *fails) {
                    *small = smaller;
                    // What follows has moved up.
                    continue;
                }
            }
            from += size;
        }
        if size == 1 || *left == 0 {
            return;
        }
        size = size.div_ceil(2);
    }
}

/// The list of tables at this path.
fn list<'a>(scenario: &'a Table, path: &[&str]) -> Option<&'a Vec<Value>> {
    let (last, tables) = path.split_last()?;
    let within = tables
        .iter()
        .try_fold(scenario, |table, key| table.get(*key)?.as_table());
    within?.get(*last)?.as_array()
}

#[cfg(test)]
mod tests;
