//! Where the registry comes from.

use bytes::Bytes;
use http::HeaderValue;

use super::client::{Answer, Client, Get};
use super::error::FetchError;
use super::url::SourceUrl;
use crate::env::{Env, Privacy, Store};

/// The most bytes that a bearer token's file may have.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Where the registry's documents are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegistryLocation {
    /// In this file.
    File(String),
    /// At a control plane.
    Http {
        /// The whole address, `/manage/cells` included.
        url: SourceUrl,
        /// The file that holds the bearer token, read for every fetch so that it can be replaced.
        token_file: Option<String>,
    },
}

/// What came of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegistryAnswer {
    /// What we have is still right.
    NotModified,
    /// A document, not yet looked at.
    Document {
        /// The body.
        body: Bytes,
        /// To be sent back the next time, once the document is accepted.
        etag: Option<HeaderValue>,
    },
}

impl RegistryLocation {
    /// What a last-known-good copy is bound to.
    pub fn source(&self) -> String {
        match self {
            Self::File(path) => format!("file:{path}"),
            Self::Http { url, .. } => url.to_string(),
        }
    }

    /// Asks for a document of at most `body_max` bytes.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch<E: Env>(
        &self,
        env: &E,
        client: &Client<E>,
        etag: Option<&HeaderValue>,
        body_max: usize,
    ) -> Result<RegistryAnswer, FetchError> {
        let read = |path: &String, limit| {
            let path = path.clone();
            async move {
                let body = env.store().read(&path, limit, Privacy::Any).await;
                body.map_err(|error| FetchError::File(path, error))
            }
        };
        let (url, token_file) = match self {
            Self::File(path) => {
                let body = read(path, body_max).await?;
                return Ok(RegistryAnswer::Document { body, etag: None });
            }
            Self::Http { url, token_file } => (url, token_file),
        };
        let authorization = match token_file {
            Some(path) => Some(bearer(&read(path, TOKEN_BYTES_MAX).await?)?),
            None => None,
        };
        let get = Get {
            url,
            if_none_match: etag,
            authorization: authorization.as_ref(),
            body_max,
        };
        match client.get(get).await? {
            Answer::NotModified if etag.is_none() => Err(FetchError::NotAskedAbout),
            Answer::NotModified => Ok(RegistryAnswer::NotModified),
            Answer::Document { body, etag } => Ok(RegistryAnswer::Document { body, etag }),
        }
    }
}

fn bearer(token: &[u8]) -> Result<HeaderValue, FetchError> {
    let token = [b"Bearer ", token.trim_ascii()].concat();
    let mut value = HeaderValue::from_bytes(&token).map_err(|_| FetchError::BadBearer)?;
    value.set_sensitive(true);
    Ok(value)
}
