//! The key folder's index: the keys in it and when each starts to sign.

use std::fmt::Write;
use std::time::Duration;

use cellway_core::Unix;
use serde::Deserialize;

use crate::rfc3339::rfc3339;

/// The index's file name.
pub const INDEX: &str = "keys.toml";

const HEAD: &str = "\
# The keys of identity envelopes. `cellway envelope-key` keeps this file; times are Unix seconds.
";

/// The index: which keys a folder has.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The keys. Their order has no meaning.
    #[serde(default, rename = "key")]
    pub keys: Vec<IndexKey>,
}

/// One key of a folder.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexKey {
    /// Its id, and the name of its file.
    pub kid: String,
    /// The one cell that shares it. `None` for a signing key.
    #[serde(default)]
    pub cell: Option<String>,
    /// When it was added, in Unix seconds.
    pub added: u64,
    /// When it replaces the cell's or the router's previous key, in Unix seconds.
    pub sign_from: u64,
}

impl Index {
    /// The most bytes of an index.
    pub const BYTES_MAX: usize = 512 * 1024;

    /// Reads an index.
    ///
    /// # Errors
    /// What is wrong with it. The text follows the file's name in a message.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8 text".to_owned())?;
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
    }

    /// The text of the index.
    pub fn render(&self) -> String {
        let mut text = HEAD.to_owned();
        for key in &self.keys {
            let quoted = |value: &str| toml::Value::String(value.to_owned()).to_string();
            let _ = writeln!(text, "\n[[key]]\nkid = {}", quoted(&key.kid));
            if let Some(cell) = &key.cell {
                let _ = writeln!(text, "cell = {}", quoted(cell));
            }
            for (name, secs) in [("added", key.added), ("sign_from", key.sign_from)] {
                let date = rfc3339(Unix::from_secs(secs));
                let _ = writeln!(text, "{name} = {secs} # {date}");
            }
        }
        text
    }

    /// This cell's keys, or the signing keys if `cell` is `None`, in the order in which they are
    /// used.
    pub fn of(&self, cell: Option<&str>) -> Vec<&IndexKey> {
        let keys = self.keys.iter();
        let mut keys: Vec<_> = keys.filter(|key| key.cell.as_deref() == cell).collect();
        keys.sort_by_key(|key| key.sign_from);
        keys
    }

    /// This cell's key, or the signing key, that is used now.
    pub fn in_use(&self, cell: Option<&str>, now: Unix) -> Option<&IndexKey> {
        let keys = self.of(cell);
        let begun = keys.iter().rposition(|key| key.sign_from <= now.as_secs());
        keys.get(begun.unwrap_or(0)).copied()
    }

    /// This cell's keys, or the signing keys, that are not used yet.
    pub fn waiting(&self, cell: Option<&str>, now: Unix) -> Vec<&IndexKey> {
        let used = self.in_use(cell, now).map_or(0, |key| key.sign_from);
        let mut keys = self.of(cell);
        keys.retain(|key| key.sign_from > used);
        keys
    }

    /// How long a key is needed: until another key has replaced it for `overlap`. `None` if no
    /// other key will replace it.
    pub fn needed_until(&self, key: &IndexKey, overlap: Duration) -> Option<Unix> {
        let later = |new: &&IndexKey| new.cell == key.cell && new.sign_from > key.sign_from;
        let next = self.keys.iter().filter(later).map(|new| new.sign_from);
        next.min().map(|from| Unix::from_secs(from).after(overlap))
    }

    /// Returns `from`, or the next second at which no other key of this cell (or no other signing
    /// key) starts. Routers refuse two keys that start at the same time, because they have no
    /// order.
    pub fn free_from(&self, cell: Option<&str>, mut from: u64) -> u64 {
        for key in self.of(cell) {
            if key.sign_from == from {
                from = from.saturating_add(1);
            }
        }
        from
    }

    /// Removes and returns the keys that nobody needs any more, because another key has replaced
    /// them for `overlap`.
    pub fn prune(&mut self, now: Unix, overlap: Duration) -> Vec<IndexKey> {
        let unneeded = |key: &&IndexKey| {
            let until = self.needed_until(key, overlap);
            until.is_some_and(|until| until <= now)
        };
        let gone: Vec<_> = self.keys.iter().filter(unneeded).cloned().collect();
        let kept = self.keys.iter().filter(|key| !gone.contains(key));
        let kept = kept.cloned().collect();
        self.keys = kept;
        gone
    }
}

#[cfg(test)]
mod tests;
