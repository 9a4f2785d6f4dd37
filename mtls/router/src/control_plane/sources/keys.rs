//! Fetches an issuer's keys.

use bytes::Bytes;
use cellway_core::policy::{Issuer, KeysLocation};
use http::StatusCode;
use serde::Deserialize;

use cellway_env::fetch::{Answer, Client, Get};
use cellway_env::fetch::{FetchError, KEYS_BYTES_MAX};
use cellway_env::fetch::{SourceUrl, UrlError};
use cellway_env::{Env, Privacy, Store};

/// The most bytes of a discovery document.
const DISCOVERY_BYTES_MAX: usize = 64 << 10;

/// The fields that we read of a discovery document (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Fetches an issuer's key set from the address in the configuration or in the issuer's discovery
/// document.
///
/// # Errors
/// [`FetchError`]. A discovery document that names another issuer is an error, and no other address
/// is tried. Only if there is no discovery document, the usual path below the issuer is tried.
pub(crate) async fn fetch_keys<E: Env>(
    env: &E,
    client: &Client<E>,
    issuer: &Issuer,
) -> Result<Bytes, FetchError> {
    let parse = |url: &str| SourceUrl::parse(url).map_err(FetchError::Address);
    match &issuer.keys {
        KeysLocation::Uri(url) => document(client, &parse(url)?, KEYS_BYTES_MAX).await,
        KeysLocation::File(path) => env
            .store()
            .read(path, KEYS_BYTES_MAX, Privacy::Any)
            .await
            .map_err(|error| FetchError::File(path.to_string(), error)),
        KeysLocation::Discovery {
            document: at,
            fallback,
        } => {
            let at = parse(at)?;
            let url = match discovered(client, &issuer.iss, &at).await? {
                Some(url) => url,
                None => parse(fallback)?,
            };
            document(client, &url, KEYS_BYTES_MAX).await
        }
    }
}

/// The source that a last-known-good copy of an issuer's keys is bound to: the issuer and the
/// address.
pub(crate) fn keys_source(issuer: &Issuer) -> String {
    let from = match &issuer.keys {
        KeysLocation::Uri(url) => url,
        KeysLocation::File(path) => path,
        KeysLocation::Discovery { document, .. } => document,
    };
    format!("keys of {} at {from}", issuer.iss)
}

/// The address of the keys, or `None` if the issuer has no discovery document.
async fn discovered<E: Env>(
    client: &Client<E>,
    issuer: &str,
    at: &SourceUrl,
) -> Result<Option<SourceUrl>, FetchError> {
    let body = match document(client, at, DISCOVERY_BYTES_MAX).await {
        Ok(body) => body,
        Err(FetchError::Status(StatusCode::NOT_FOUND | StatusCode::GONE)) => return Ok(None),
        Err(error) => return Err(error),
    };
    // Some editors write a byte-order mark, which JSON readers may ignore (RFC 8259, section 8.1).
    let text = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&body);
    let found: Discovery =
        serde_json::from_slice(text).map_err(|error| FetchError::Discovery(error.to_string()))?;
    if found.issuer != issuer {
        return Err(FetchError::OtherIssuer {
            named: found.issuer,
        });
    }
    let keys = SourceUrl::parse(&found.jwks_uri).map_err(FetchError::KeysAddress)?;
    if at.is_https() && !keys.is_https() {
        return Err(FetchError::KeysAddress(UrlError::Plain));
    }
    Ok(Some(keys))
}

async fn document<E: Env>(
    client: &Client<E>,
    url: &SourceUrl,
    body_max: usize,
) -> Result<Bytes, FetchError> {
    let get = Get {
        url,
        if_none_match: None,
        authorization: None,
        body_max,
    };
    match client.get(get).await? {
        Answer::Document { body, .. } => Ok(body),
        Answer::NotModified { .. } => Err(FetchError::NotAskedAbout),
    }
}
