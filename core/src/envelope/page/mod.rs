//! Finds paths that spell the public keys' page differently.

use super::JWKS_PATH;

/// How often a chain of servers may decode a path before it is compared.
const DECODINGS_MAX: usize = 3;

/// Whether a server that decodes or normalizes paths could read this one as [`JWKS_PATH`], although
/// it isn't that path. A cell that answers it could publish a key in the router's name to clients
/// behind such a server.
///
/// Percent-encoding, dot segments (RFC 3986, section 5.2.4), empty segments, backslashes,
/// parameters, a slash at the end, and case.
pub fn respells_jwks_path(path: &str) -> bool {
    // The page's own path has a segment that begins with a dot.
    let plain = !path.bytes().any(|byte| matches!(byte, b'%' | b'\\'));
    if plain && !path.contains("/.") || path == JWKS_PATH {
        return false;
    }
    // Some decode first, some resolve dot segments first: an encoded slash tells them apart.
    let (mut decoded, mut resolved) = (path.as_bytes().to_vec(), path.as_bytes().to_vec());
    for _ in 0..=DECODINGS_MAX {
        resolved = resolve(&resolved);
        if is_page(&resolved) || is_page(&resolve(&decoded)) {
            return true;
        }
        (decoded, resolved) = (decode(&decoded), decode(&resolved));
    }
    false
}

fn is_page(path: &[u8]) -> bool {
    path.eq_ignore_ascii_case(JWKS_PATH.as_bytes())
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        rest = after;
        let hex = |digit: u8| char::from(digit).to_digit(16);
        let value = match after {
            [high, low, ..] if *byte == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match value.and_then(|(high, low)| u8::try_from(high << 4 | low).ok()) {
            Some(value) => {
                decoded.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => decoded.push(*byte),
        }
    }
    decoded
}

/// Without empty and dot segments and parameters.
fn resolve(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default()
        {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut resolved = Vec::with_capacity(path.len() + 1);
    for segment in segments {
        resolved.push(b'/');
        resolved.extend_from_slice(segment);
    }
    resolved
}

#[cfg(test)]
mod tests;
