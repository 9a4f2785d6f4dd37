//! The ids of a document's tenants, as positions in its text.
//!
//! A document may have a million ids. As slices they would take 24 bytes each.

use std::borrow::Cow;

/// The ids.
#[derive(Default)]
pub(super) struct Ids<'a> {
    /// The document. Empty while it is being read: the reader of one list doesn't know the whole.
    text: &'a [u8],
    /// Where in memory the first id is that is part of the text.
    first: Option<usize>,
    /// The ids that are not literally part of the text, because they are written with escapes.
    others: Vec<Box<str>>,
}

/// One id of [`Ids`].
#[derive(Clone, Copy)]
pub(super) struct IdAt {
    /// The position in `others`, or the distance from the first id in the text.
    pub(super) at: u32,
    /// An id has 1 to 256 bytes.
    pub(super) len_less_one: u8,
    pub(super) is_other: bool,
}

impl<'a> Ids<'a> {
    /// Adds an id of 1 to 256 bytes. If it is borrowed, it is part of the document that is then given
    /// to [`Ids::are_of`], behind all that were borrowed before. The document has less than 4 GiB.
    pub(super) fn add(&mut self, id: Cow<'a, str>) -> IdAt {
        let len_less_one = (id.len().saturating_sub(1)) as u8;
        let (at, is_other) = match id {
            Cow::Borrowed(id) => {
                let here = id.as_ptr().addr();
                let first = *self.first.get_or_insert(here);
                (here.wrapping_sub(first) as u32, false)
            }
            Cow::Owned(id) => {
                self.others.push(id.into());
                (self.others.len() as u32 - 1, true)
            }
        };
        IdAt {
            at,
            len_less_one,
            is_other,
        }
    }

    /// Says which document the ids are part of. Until then they can't be read.
    pub(super) fn are_of(&mut self, text: &'a [u8]) {
        let start = self
            .first
            .map(|first| first.wrapping_sub(text.as_ptr().addr()));
        self.text = start
            .and_then(|start| text.get(start..))
            .unwrap_or_default();
    }

    /// The text of an id.
    pub(super) fn get(&self, id: IdAt) -> &str {
        let at = id.at as usize;
        if id.is_other {
            return self.others.get(at).map_or("", |id| id);
        }
        let end = at + usize::from(id.len_less_one) + 1;
        let bytes = self.text.get(at..end).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
