//! Reads the text of a document, in either form.

use serde::Deserialize;

use super::document::{Document, OlderDocument};
use super::{RegistryError, RegistryFormat, faults};
use crate::json;

/// Reads a document.
///
/// # Errors
/// Every mistake that keeps it from being parsed.
pub(super) fn read(body: &[u8], format: RegistryFormat) -> Result<Document<'_>, RegistryError> {
    let body = json::without_mark(body);
    let mut document = match format {
        RegistryFormat::Json => read_json(body),
        RegistryFormat::Toml => read_toml(body),
    }?;
    document.tenants.are_of(body);
    Ok(document)
}

/// A second pass finds the exact mistakes. Only documents with mistakes need it, and documents of
/// the older form with unknown fields.
fn read_json(body: &[u8]) -> Result<Document<'_>, RegistryError> {
    serde_json::from_slice(body).or_else(|error| {
        let older = serde_json::from_slice(body).ok();
        let older = older.and_then(OlderDocument::modern);
        older.ok_or_else(|| faults::of_json(body, &error))
    })
}

fn read_toml(body: &[u8]) -> Result<Document<'_>, RegistryError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| RegistryError::invalid(format!("not UTF-8: {error}")))?;
    let parse = || {
        toml::Deserializer::parse(text)
            .map_err(|error| RegistryError::invalid(faults::on_one_line(&error, text)))
    };
    serde_path_to_error::deserialize(parse()?).or_else(|error| {
        let older = OlderDocument::deserialize(parse()?).ok();
        let older = older.and_then(OlderDocument::modern);
        older.ok_or_else(|| faults::of_toml(text, error))
    })
}
