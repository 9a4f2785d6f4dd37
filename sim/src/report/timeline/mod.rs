//! The timeline of a run, with one line for all clients of a herd that see the same at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

/// How long after the first client of a herd another one may see the same and share its line.
const SHARED_WITHIN: Duration = Duration::from_secs(1);

/// Clients that a scenario describes together, with `count`: by name, what they are called together and each
/// one's number.
pub(crate) type Herds = BTreeMap<String, (String, u32)>;

/// A line of the timeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    at: Duration,
    host: String,
    text: String,
}

impl Line {
    pub(crate) fn new(at: Duration, host: &str, text: String) -> Self {
        let host = host.to_owned();
        Self { at, host, text }
    }
}

/// A line, or several of clients of a herd.
struct Entry<'a> {
    first: &'a Line,
    /// When the last of these clients saw it.
    until: Duration,
    /// The herd, and the numbers of these clients.
    herd: Option<(&'a str, BTreeSet<u32>)>,
}

impl Entry<'_> {
    fn host(&self) -> &str {
        match &self.herd {
            Some((herd, numbers)) if numbers.len() > 1 => herd,
            Some(_) | None => &self.first.host,
        }
    }

    fn text(&self) -> String {
        let text = &self.first.text;
        match &self.herd {
            Some((_, numbers)) if numbers.len() > 1 => {
                let until = match (shown(self.first.at), shown(self.until)) {
                    (from, until) if from == until => String::new(),
                    (_, until) => format!(", until {until}"),
                };
                let (count, ranges) = (numbers.len(), ranges(numbers));
                format!("{count} clients ({ranges}){until}: {text}")
            }
            Some(_) | None => text.clone(),
        }
    }
}

/// The timeline as text. Nothing is left out: each client of a line is named, and the times of the first and
/// the last one.
pub(super) fn render(lines: &[Line], herds: &Herds) -> String {
    let entries = entries(lines, herds);
    let width = entries.iter().map(|entry| entry.host().len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for entry in &entries {
        let at = shown(entry.first.at);
        // Writing to a string can't fail.
        let _ = writeln!(text, "{at:>8}  {:<width$}  {}", entry.host(), entry.text());
    }
    text
}

/// Puts lines of a herd together that say the same, unless a fault begins or ends between them.
fn entries<'a>(lines: &'a [Line], herds: &'a Herds) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    // The last entry of each herd with each text since the last fault.
    let mut latest: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in lines {
        if line.host == "world" {
            latest.clear();
        }
        let herd = herds.get(&line.host);
        let key = herd.map(|(herd, _)| (herd.as_str(), line.text.as_str()));
        let known = key.and_then(|key| latest.get(&key));
        if let Some(entry) = known.and_then(|index| entries.get_mut(*index))
            && line.at <= entry.first.at + SHARED_WITHIN
            && let (Some((_, numbers)), Some((_, number))) = (&mut entry.herd, herd)
        {
            numbers.insert(*number);
            entry.until = line.at;
            continue;
        }
        if let Some(key) = key {
            latest.insert(key, entries.len());
        }
        entries.push(Entry {
            first: line,
            until: line.at,
            herd: herd.map(|(herd, number)| (herd.as_str(), BTreeSet::from([*number]))),
        });
    }
    entries
}

/// A time in seconds and tenths.
fn shown(at: Duration) -> String {
    format!("{}.{}s", at.as_secs(), at.subsec_millis() / 100)
}

/// Numbers in order, with the first and the last of those that follow one another: `1 … 4, 6`.
fn ranges(numbers: &BTreeSet<u32>) -> String {
    let mut runs: Vec<[u32; 2]> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some([_, last]) if *last + 1 == number => *last = number,
            Some(_) | None => runs.push([number, number]),
        }
    }
    let run = |[first, last]: &[u32; 2]| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first} … {last}"),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
