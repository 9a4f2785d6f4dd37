//! Finds the line of a document that a mistake is on.
//!
//! A mistake begins with the path of what is wrong, such as `cells[1].endpoints[0].url`. The
//! document is searched along that path, as far as it exists. That needs another pass over the
//! document, which only refused documents get.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use toml::de::{DeTable, DeValue};

use crate::json::without_mark;

use super::error::{RegistryError, RegistryErrorReason};
use super::limits::RegistryFormat;

/// Adds the line to each mistake that has a path and no line. A document on one line needs none.
pub(super) fn add(refused: &mut RegistryError, body: &[u8], format: RegistryFormat) {
    if refused.reason == RegistryErrorReason::Oversized {
        return;
    }
    // The mark is on the first line, so it moves no other.
    let Ok(text) = std::str::from_utf8(without_mark(body)) else {
        return;
    };
    if !text.trim_end().contains('\n') {
        return;
    }
    let lines = match format {
        RegistryFormat::Json => Lines::of_json(text),
        RegistryFormat::Toml => Lines::of_toml(text),
    };
    let Some(lines) = lines else { return };
    let others = refused.others.iter_mut();
    for mistake in others.chain([&mut refused.detail]) {
        if has_line(mistake) {
            continue;
        }
        if let Some(line) = lines.find(&steps(mistake)) {
            let added = format!(" (line {line})");
            let most = RegistryError::DETAIL_LEN_MAX - added.len();
            if let Some(cut) = (0..=most).rfind(|&at| mistake.is_char_boundary(at)) {
                mistake.truncate(cut);
            }
            mistake.push_str(&added);
        }
    }
}

fn has_line(mistake: &str) -> bool {
    mistake.contains("(line ") || mistake.contains(" at line ")
}

/// One step of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// The path that a mistake begins with: `placements[1] "many".cells[1]: unknown cell` has five steps
/// without the id in quotes, which is for people.
fn steps(mistake: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut rest = mistake;
    loop {
        if let Some((index, after)) = rest.strip_prefix('[').and_then(|it| it.split_once(']')) {
            let Ok(index) = index.parse() else { break };
            steps.push(Step::Index(index));
            rest = after;
            if let Some((_, after)) = rest.strip_prefix(" \"").and_then(|it| it.split_once('"')) {
                rest = after;
            }
            continue;
        }
        let name = match (steps.is_empty(), rest.strip_prefix('.')) {
            (true, _) => rest,
            (false, Some(name)) => name,
            (false, None) => break,
        };
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let end = name.find(|c| !is_part(c)).unwrap_or(name.len());
        if end == 0 {
            break;
        }
        steps.push(Step::Key(&name[..end]));
        rest = &name[end..];
    }
    steps
}

/// A document whose values know where they are.
enum Lines<'a> {
    /// The lists are taken apart once, because they may be long.
    Json {
        text: &'a str,
        members: BTreeMap<String, &'a RawValue>,
        lists: BTreeMap<String, Vec<&'a RawValue>>,
    },
    Toml {
        text: &'a str,
        table: DeTable<'a>,
    },
}

impl<'a> Lines<'a> {
    fn of_json(text: &'a str) -> Option<Self> {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        let list = |(name, raw): (&String, &&'a RawValue)| {
            let list = serde_json::from_str(raw.get()).ok()?;
            Some((name.clone(), list))
        };
        let lists = members.iter().filter_map(list).collect();
        Some(Self::Json {
            text,
            members,
            lists,
        })
    }

    fn of_toml(text: &'a str) -> Option<Self> {
        let table = DeTable::parse(text).ok()?.into_inner();
        Some(Self::Toml { text, table })
    }

    /// The line of the deepest value on this path; `None` if not even the first step is there.
    fn find(&self, steps: &[Step<'_>]) -> Option<usize> {
        let [Step::Key(first), rest @ ..] = steps else {
            return None;
        };
        let (text, start) = match self {
            Self::Json {
                text,
                members,
                lists,
            } => {
                let entry = match rest {
                    [Step::Index(at), rest @ ..] => {
                        let entry = lists.get(*first).and_then(|list| list.get(*at));
                        entry.map(|entry| json_value(entry, rest))
                    }
                    _ => None,
                };
                let found = entry.or_else(|| members.get(*first).map(|it| json_value(it, rest)))?;
                // The value is a slice of the text, so this is its offset.
                (
                    *text,
                    found.get().as_ptr() as usize - text.as_ptr() as usize,
                )
            }
            Self::Toml { text, table } => {
                let (_, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
                (*text, toml_start(value.get_ref(), value.span().start, rest))
            }
        };
        let before = text.as_bytes().get(..start)?;
        Some(before.iter().filter(|byte| **byte == b'\n').count() + 1)
    }
}

fn json_value<'a>(raw: &'a RawValue, steps: &[Step<'_>]) -> &'a RawValue {
    let text = raw.get();
    let inner = match steps.first() {
        None => None,
        Some(Step::Key(key)) => {
            let members = serde_json::from_str::<BTreeMap<String, &RawValue>>(text);
            members.ok().and_then(|it| it.get(*key).copied())
        }
        Some(Step::Index(at)) => {
            let list = serde_json::from_str::<Vec<&RawValue>>(text);
            list.ok().and_then(|it| it.get(*at).copied())
        }
    };
    inner.map_or(raw, |inner| json_value(inner, &steps[1..]))
}

/// Where the deepest value starts, as an offset.
fn toml_start(value: &DeValue<'_>, start: usize, steps: &[Step<'_>]) -> usize {
    let inner = match (value, steps.first()) {
        (DeValue::Table(table), Some(Step::Key(key))) => {
            let found = table.iter().find(|(name, _)| name.get_ref() == key);
            found.map(|(_, value)| value)
        }
        (DeValue::Array(list), Some(Step::Index(at))) => list.get(*at),
        _ => None,
    };
    match inner {
        Some(inner) => toml_start(inner.get_ref(), inner.span().start, &steps[1..]),
        None => start,
    }
}

#[cfg(test)]
mod tests;
