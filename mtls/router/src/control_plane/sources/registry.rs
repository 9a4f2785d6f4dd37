//! Fetches the registry from its file or URL.

use std::io::{self, ErrorKind::FileTooLarge};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use cellway_env::fetch::FetchError;
use cellway_env::fetch::SourceUrl;
use cellway_env::fetch::{Answer, Client, Get};
use cellway_env::{Env, Privacy, Store};

use crate::settings::RegistryLocation;

/// The most bytes of a bearer token's file.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// The answer of the registry's source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RegistryAnswer {
    /// The document is the same as before.
    NotModified,
    /// A document that isn't parsed yet.
    Document {
        /// The body.
        body: Bytes,
        /// The validator for the next fetch, if the document is accepted: an `ETag`, or a file's
        /// identity.
        validator: Option<Arc<str>>,
    },
}

/// Asks for a document of at most `body_max` bytes, unless it is still the one that `validator`
/// names.
///
/// # Errors
/// [`FetchError`].
pub(crate) async fn fetch_registry_document<E: Env>(
    location: &RegistryLocation,
    env: &E,
    client: &Client<E>,
    validator: Option<&str>,
    body_max: usize,
) -> Result<RegistryAnswer, FetchError> {
    match location {
        RegistryLocation::File(path) => from_file(env, path, validator, body_max).await,
        RegistryLocation::Text(_) if validator == Some(INLINE) => Ok(RegistryAnswer::NotModified),
        RegistryLocation::Text(body) => Ok(RegistryAnswer::Document {
            body: body.clone(),
            validator: Some(INLINE.into()),
        }),
        RegistryLocation::Http { url, token_file } => {
            let authorization = match token_file {
                Some(path) => Some(bearer_token(env, path).await?),
                None => None,
            };
            from_control_plane(client, url, authorization, validator, body_max).await
        }
    }
}

/// The validator of a [`RegistryLocation::Text`], which never changes.
pub(crate) const INLINE: &str = "inline";

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other errors stay as they are"
)]
async fn from_file<E: Env>(
    env: &E,
    path: &str,
    validator: Option<&str>,
    body_max: usize,
) -> Result<RegistryAnswer, FetchError> {
    // This is taken before the content is read, so a write in between is seen at the next check.
    let known = file_validator(env, path).await;
    let known = known.map_err(|error| FetchError::File(path.to_owned(), error))?;
    if validator == Some(&*known) {
        return Ok(RegistryAnswer::NotModified);
    }
    let body = read(env, path, body_max).await;
    let too_large = || FetchError::TooLarge { limit: body_max };
    Ok(RegistryAnswer::Document {
        body: body.map_err(|error| match error {
            FetchError::File(_, error) if error.kind() == FileTooLarge => too_large(),
            error => error,
        })?,
        validator: Some(known),
    })
}

/// The validator of a file's present content.
///
/// # Errors
/// The storage's error.
pub(crate) async fn file_validator<E: Env>(env: &E, path: &str) -> io::Result<Arc<str>> {
    let stat = env.store().stat(path).await?;
    Ok(format!("{}.{}.{}", stat.modified.as_nanos(), stat.len, stat.inode).into())
}

async fn from_control_plane<E: Env>(
    client: &Client<E>,
    url: &SourceUrl,
    authorization: Option<HeaderValue>,
    validator: Option<&str>,
    body_max: usize,
) -> Result<RegistryAnswer, FetchError> {
    // It came from a header, so it fits into one.
    let etag = validator.and_then(|etag| HeaderValue::from_str(etag).ok());
    let get = Get {
        url,
        if_none_match: etag.as_ref(),
        authorization: authorization.as_ref(),
        body_max,
    };
    match client.get(get).await? {
        Answer::NotModified { .. } if etag.is_none() => Err(FetchError::NotAskedAbout),
        Answer::NotModified { .. } => Ok(RegistryAnswer::NotModified),
        Answer::Document { body, etag, .. } => Ok(RegistryAnswer::Document {
            body,
            validator: etag.and_then(|etag| etag.to_str().ok().map(Arc::from)),
        }),
    }
}

async fn read<E: Env>(env: &E, path: &str, limit: usize) -> Result<Bytes, FetchError> {
    let body = env.store().read(path, limit, Privacy::Any).await;
    body.map_err(|error| FetchError::File(path.to_owned(), error))
}

/// The value of `Authorization` for the control plane, from the file with its token.
///
/// # Errors
/// The file can't be read, is empty, or has bytes that aren't allowed in a header.
pub(crate) async fn bearer_token<E: Env>(env: &E, path: &str) -> Result<HeaderValue, FetchError> {
    let token = read(env, path, TOKEN_BYTES_MAX).await?;
    let token = token.trim_ascii();
    if token.is_empty() {
        return Err(FetchError::NoBearer(path.to_owned()));
    }
    let token = [b"Bearer ", token].concat();
    let mut value =
        HeaderValue::from_bytes(&token).map_err(|_| FetchError::BadBearer(path.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
