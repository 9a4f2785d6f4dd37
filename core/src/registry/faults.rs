//! Finds everything that keeps a document from being parsed.
//!
//! serde stops at the first mistake. So a document that it refuses is read again entry by entry,
//! and every bad cell, placement, tenant and revocation is reported.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_path_to_error::Path;

use super::RegistryError;
use super::document::{Document, OlderDocument};
use super::entries::{RawCell, RawPlacement, RawTenantOwned};
use super::error::Mistakes;
use super::older::OlderCell;
use super::revocations::RawRevocation;
use crate::words::of_serde;

/// The lists of a document with unparsed entries. `T` is any value.
#[derive(Deserialize)]
struct Lists<T> {
    cells: Option<Vec<T>>,
    data: Option<Vec<T>>,
    placements: Option<Vec<T>>,
    tenants: Option<Vec<T>>,
    revocations: Option<Vec<T>>,
}

/// The mistakes in this JSON, which serde refused.
pub(super) fn of_json(body: &[u8], error: &serde_json::Error) -> RegistryError {
    if !error.is_data() {
        let message = error.to_string();
        return RegistryError::invalid(format!("not JSON: {message}"));
    }
    let mut found = Mistakes::default();
    let lists = serde_json::from_slice::<Lists<&RawValue>>(body).ok();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let whole = match lists.as_ref().is_some_and(Lists::are_older) {
        true => serde_path_to_error::deserialize::<_, OlderDocument<'_>>(&mut deserializer).err(),
        false => serde_path_to_error::deserialize::<_, Document<'_>>(&mut deserializer).err(),
    };
    if let Some(first) = whole
        && !is_of_an_entry(first.path())
    {
        let line = first.inner().line();
        found.invalid(at_path(
            &first.path().to_string(),
            &first.inner().to_string(),
            line,
        ));
    }
    if let Some(lists) = &lists {
        lists.read(&mut found, &|raw: &&RawValue| Json { body, raw });
    }
    all(found, || at_path("", &error.to_string(), error.line()))
}

/// The mistakes in this TOML, which serde refused.
pub(super) fn of_toml(
    text: &str,
    error: serde_path_to_error::Error<toml::de::Error>,
) -> RegistryError {
    let lists = toml::from_str::<Lists<toml::Value>>(text).ok();
    let older = lists.as_ref().is_some_and(Lists::are_older);
    let error = match toml::Deserializer::parse(text) {
        Ok(document) if older => {
            serde_path_to_error::deserialize::<_, OlderDocument<'_>>(document).err()
        }
        _ => None,
    }
    .unwrap_or(error);
    let (path, is_of_an_entry) = (error.path().to_string(), is_of_an_entry(error.path()));
    let message = on_one_line(&error.into_inner(), text);
    let mut found = Mistakes::default();
    if !is_of_an_entry {
        found.invalid(at_path(&path, &message, 0));
    }
    if let Some(lists) = &lists {
        lists.read(&mut found, &|value: &toml::Value| Toml(value.clone()));
    }
    all(found, || at_path(&path, &message, 0))
}

/// A TOML error without its excerpt of the text, because details end up in logs.
pub(super) fn on_one_line(error: &toml::de::Error, text: &str) -> String {
    let message = error.message();
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("{message} at line {}", before.split('\n').count()),
        None => message.to_owned(),
    }
}

/// All mistakes, or serde's own if none was found.
fn all(mut found: Mistakes, first: impl FnOnce() -> String) -> RegistryError {
    if found.is_empty() {
        found.invalid(first());
    }
    match found.none() {
        Err(refused) => refused,
        Ok(()) => RegistryError::invalid("can't be read"),
    }
}

/// Whether the mistake is in an entry of a list. Entries are read separately.
fn is_of_an_entry(path: &Path) -> bool {
    path.iter().nth(1).is_some()
}

/// `path: message, at line n`.
fn at_path(path: &str, message: &str, line: usize) -> String {
    let words = of_serde(message);
    let words = match path {
        "" | "." => words,
        // The message also names a missing or unknown field.
        path => match words.strip_prefix("unknown field ") {
            Some(rest) => {
                let field = rest.split('`').nth(1).unwrap_or_default();
                let of = path.strip_suffix(field).unwrap_or(path);
                match of.trim_end_matches('.') {
                    "" => words,
                    of => format!("{of}: {words}"),
                }
            }
            None if words.starts_with("must be ") => format!("{path} {words}"),
            None => format!("{path}: {words}"),
        },
    };
    match line {
        0 => words,
        line => format!("{words} (line {line})"),
    }
}

/// One unparsed entry.
trait Entry {
    /// # Errors
    /// What is wrong with it. `place` is its place in the document.
    fn read<T: DeserializeOwned>(self, place: &str) -> Result<(), String>;
}

struct Json<'a> {
    body: &'a [u8],
    raw: &'a RawValue,
}

impl Entry for Json<'_> {
    fn read<T: DeserializeOwned>(self, place: &str) -> Result<(), String> {
        let text = self.raw.get();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = serde_path_to_error::deserialize::<_, T>(&mut deserializer);
        read.map(|_| ()).map_err(|error| {
            // The entry is a slice of the body, so this is its offset.
            let start = text.as_ptr() as usize - self.body.as_ptr() as usize;
            let before = self.body.get(..start).unwrap_or_default();
            let lines = before.iter().filter(|byte| **byte == b'\n').count();
            let line = lines + error.inner().line();
            let path = joined(place, error.path());
            at_path(&path, &error.inner().to_string(), line)
        })
    }
}

struct Toml(toml::Value);

impl Entry for Toml {
    fn read<T: DeserializeOwned>(self, place: &str) -> Result<(), String> {
        let read = serde_path_to_error::deserialize::<_, T>(self.0);
        read.map(|_| ()).map_err(|error| {
            let path = joined(place, error.path());
            at_path(&path, error.inner().message(), 0)
        })
    }
}

fn joined(place: &str, path: &Path) -> String {
    match path.iter().next() {
        None => place.to_owned(),
        Some(_) => format!("{place}.{path}"),
    }
}

impl<T> Lists<T> {
    /// Whether they are of a document of the older form.
    fn are_older(&self) -> bool {
        self.data.is_some() && self.cells.is_none()
    }

    fn read<'t, E: Entry>(&'t self, found: &mut Mistakes, entry: &impl Fn(&'t T) -> E) {
        each::<RawCell, T, E>("cells", self.cells.as_ref(), found, entry);
        each::<OlderCell, T, E>("data", self.data.as_ref(), found, entry);
        each::<RawPlacement, T, E>("placements", self.placements.as_ref(), found, entry);
        each::<RawTenantOwned, T, E>("tenants", self.tenants.as_ref(), found, entry);
        each::<RawRevocation, T, E>("revocations", self.revocations.as_ref(), found, entry);
    }
}

fn each<'t, R: DeserializeOwned, T, E: Entry>(
    list: &str,
    entries: Option<&'t Vec<T>>,
    found: &mut Mistakes,
    entry: &impl Fn(&'t T) -> E,
) {
    for (at, raw) in entries.into_iter().flatten().enumerate() {
        if found.is_full() {
            return;
        }
        if let Err(why) = entry(raw).read::<R>(&format!("{list}[{at}]")) {
            found.invalid(why);
        }
    }
}
