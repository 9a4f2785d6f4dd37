//! Last-known-good documents on disk, so that a router can verify and route requests even if its
//! sources are down when it starts.
//!
//! A file starts with one line of JSON, the header, which describes the document. The document
//! follows as it was fetched. The router uses a file only if it wrote the file itself, for this
//! source, and nothing has changed since: nobody else may be able to write it ([`Privacy::Own`]),
//! the source must be the one that is configured now, and a checksum covers header and body. A file
//! that fails these checks is reported and stays where it is until the next good fetch replaces it.
//!
//! The stored time is that of the last *good fetch*, so that a restart doesn't make old keys look
//! new.

use std::fmt;
use std::io;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{BufMut, Bytes, BytesMut};
use cellway_core::Unix;
use serde::{Deserialize, Serialize};

use cellway_env::{Env, Privacy, Store};

/// The format that this version writes, and the only one it reads.
const FORMAT: u32 = 1;
/// What a confirmation's checksum covers besides its fields.
const CONFIRMED: &[u8] = b"confirmed";
/// The most bytes of the first line.
const HEADER_BYTES_MAX: usize = 8 << 10;

/// The documents that are kept. Each has its own file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Slot {
    /// The key set of the issuer with this name.
    Keys(String),
    /// The registry.
    Registry,
}

/// A last-known-good document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Document {
    /// The bytes as they were fetched.
    pub body: Bytes,
    /// When a fetch last confirmed it.
    pub fetched_at: Unix,
}

/// Identifies one document that was written or read, so that a confirmation can't apply to another
/// document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DocumentId(String);

/// The folder of last-known-good documents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LastKnownGood {
    directory: String,
}

/// Why a last-known-good document isn't used.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum LoadError {
    /// It can't be read, is a link, or others can write it.
    Io(io::Error),
    /// It doesn't start with our header.
    NotOurs,
    /// Another version of the router wrote it, in this format.
    Format(u32),
    /// It was fetched from this other source.
    Source(String),
    /// It was cut short or changed after it was written.
    Altered,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    cellway_keep: u32,
    source: String,
    fetched_at: u64,
    length: u64,
    sha256: String,
}

/// A second file, which renews a document's time without writing the document again. A registry is
/// confirmed every few seconds, and may have a hundred megabytes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    cellway_confirm: u32,
    /// The checksum of the document that it confirms.
    of: String,
    fetched_at: u64,
    sha256: String,
}

impl LastKnownGood {
    /// Keeps documents in `directory`, which is created when the first document is written.
    pub(crate) fn new(directory: impl Into<String>) -> Self {
        let directory = directory.into();
        Self { directory }
    }

    /// Writes a document, and returns the id to confirm it with.
    ///
    /// # Errors
    /// The storage's error. The previous file is then still intact.
    pub(crate) async fn save<E: Env>(
        &self,
        env: &E,
        slot: &Slot,
        source: &str,
        document: Document,
    ) -> io::Result<DocumentId> {
        let source = source.to_owned();
        // Computing the checksum of a registry with a million tenants and copying it takes tens of
        // milliseconds.
        let (id, content) = env.heavy(move || encode(source, &document)).await?;
        env.store().replace(&self.path(slot), content).await?;
        Ok(id)
    }

    /// Renews the time of a document that was saved or loaded before.
    ///
    /// # Errors
    /// The storage's error.
    pub(crate) async fn confirm<E: Env>(
        &self,
        env: &E,
        slot: &Slot,
        id: &DocumentId,
        fetched_at: Unix,
    ) -> io::Result<()> {
        let fetched_at = fetched_at.as_secs();
        let confirmation = Confirmation {
            cellway_confirm: FORMAT,
            of: id.0.clone(),
            fetched_at,
            sha256: checksum(&id.0, fetched_at, CONFIRMED),
        };
        let content = serde_json::to_vec(&confirmation)?.into();
        env.store().replace(&self.confirmation(slot), content).await
    }

    /// Reads a document of at most `body_max` bytes. `None` if there is none.
    ///
    /// # Errors
    /// [`LoadError`] says why the file isn't used.
    pub(crate) async fn load<E: Env>(
        &self,
        env: &E,
        slot: &Slot,
        source: &str,
        body_max: usize,
    ) -> Result<Option<(DocumentId, Document)>, LoadError> {
        let limit = body_max.saturating_add(HEADER_BYTES_MAX);
        let path = self.path(slot);
        let content = match env.store().read(&path, limit, Privacy::Own).await {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LoadError::Io(error)),
        };
        let source = source.to_owned();
        let (id, mut document) = env.heavy(move || decode(&source, content)).await?;
        document.fetched_at = document
            .fetched_at
            .max(self.confirmed(env, slot, &id).await);
        Ok(Some((id, document)))
    }

    /// When the document was last confirmed. A confirmation that isn't complete is ignored.
    async fn confirmed<E: Env>(&self, env: &E, slot: &Slot, id: &DocumentId) -> Unix {
        let path = self.confirmation(slot);
        let content = env.store().read(&path, HEADER_BYTES_MAX, Privacy::Own);
        let Ok(content) = content.await else {
            return Unix::default();
        };
        serde_json::from_slice::<Confirmation>(&content)
            .ok()
            .filter(|found| found.cellway_confirm == FORMAT && found.of == id.0)
            .filter(|found| found.sha256 == checksum(&id.0, found.fetched_at, CONFIRMED))
            .map_or(Unix::default(), |found| Unix::from_secs(found.fetched_at))
    }

    /// The file of a slot. Issuers' names are escaped, so that a name can't lead to another folder
    /// and two names never share a file, even if the file system ignores case.
    pub(crate) fn path(&self, slot: &Slot) -> String {
        let Slot::Keys(issuer) = slot else {
            return format!("{}/registry.keep", self.directory);
        };
        let mut path = format!("{}/keys-", self.directory);
        for byte in issuer.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => path.push(char::from(byte)),
                other => path.push_str(&format!("%{other:02x}")),
            }
        }
        path + ".keep"
    }

    fn confirmation(&self, slot: &Slot) -> String {
        format!("{}.confirmed", self.path(slot))
    }
}

fn encode(source: String, document: &Document) -> io::Result<(DocumentId, Bytes)> {
    let fetched_at = document.fetched_at.as_secs();
    let header = Header {
        cellway_keep: FORMAT,
        sha256: checksum(&source, fetched_at, &document.body),
        source,
        fetched_at,
        length: document.body.len() as u64,
    };
    let id = DocumentId(header.sha256.clone());
    let header = serde_json::to_vec(&header)?;
    let mut content = BytesMut::with_capacity(header.len() + 1 + document.body.len());
    content.put_slice(&header);
    content.put_u8(b'\n');
    content.put_slice(&document.body);
    Ok((id, content.freeze()))
}

fn decode(source: &str, content: Bytes) -> Result<(DocumentId, Document), LoadError> {
    let first = &content[..content.len().min(HEADER_BYTES_MAX)];
    let end = first.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or(LoadError::NotOurs)?;
    // Read only the format's number first, because a later format may have other fields.
    let any: serde_json::Value =
        serde_json::from_slice(&content[..end]).map_err(|_| LoadError::NotOurs)?;
    let format = any.get("cellway_keep").and_then(|format| format.as_u64());
    let format = format.ok_or(LoadError::NotOurs)?;
    if format != u64::from(FORMAT) {
        let format = u32::try_from(format).unwrap_or(u32::MAX);
        return Err(LoadError::Format(format));
    }
    let header: Header = serde_json::from_value(any).map_err(|_| LoadError::NotOurs)?;
    if header.source != source {
        return Err(LoadError::Source(header.source));
    }
    let body = content.slice(end + 1..);
    let sum = checksum(source, header.fetched_at, &body);
    if body.len() as u64 != header.length || sum != header.sha256 {
        return Err(LoadError::Altered);
    }
    let fetched_at = Unix::from_secs(header.fetched_at);
    Ok((DocumentId(sum), Document { body, fetched_at }))
}

fn checksum(source: &str, fetched_at: u64, body: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(&FORMAT.to_be_bytes());
    context.update(&fetched_at.to_be_bytes());
    context.update(&(source.len() as u64).to_be_bytes());
    context.update(source.as_bytes());
    context.update(body);
    let digest = context.finish();
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NotOurs => f.write_str("was not written by this router"),
            Self::Format(format) => write!(f, "has format {format}, this version reads {FORMAT}"),
            Self::Source(source) => write!(f, "came from another source: {source}"),
            Self::Altered => f.write_str("is cut short or was changed"),
        }
    }
}

impl std::error::Error for LoadError {}

#[cfg(test)]
mod tests;
