//! Finds paths that spell the public keys' page differently.

use super::JWKS_PATH;

/// How often a chain of servers may decode a path before it is compared.
const DECODINGS_MAX: usize = 3;

/// Whether a server that decodes or normalizes a path could take this one, which isn't
/// [`JWKS_PATH`] itself, for it. A cell that answered there could publish a key in the router's name
/// to whoever asks through such a cache.
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
mod tests {
    use super::*;

    #[test]
    fn the_page_of_keys_is_known_in_any_spelling() {
        for path in [
            "/.well-known/cellway/%6awks.json",
            "/.well-known/cellway/jwks.jso%6e",
            "/.well-known/cellway/jwks.jso%256e",
            "//.well-known/cellway/jwks.json",
            "/.well-known//cellway/jwks.json",
            "/.well-known/./cellway/jwks.json",
            "/x/../.well-known/cellway/jwks.json",
            "/.well-known/x/%2e%2E/cellway/jwks.json",
            "/..%2f.well-known%2fcellway%2fjwks.json",
            "/x%2fy/../.well-known/cellway/%6awks.json",
            "/%2ewell-known/cellway/jwks.json",
            "\\.well-known\\cellway\\jwks.json",
            "/.well-known/cellway%5cjwks.json",
            "/.well-known/cellway/jwks.json/",
            "/.well-known/cellway/jwks.json;a=b",
            "/.well-known/cellway/JWKS.json",
        ] {
            assert!(respells_jwks_path(path), "{path}");
        }
        for path in [
            JWKS_PATH,
            "/",
            "*",
            "/a%20b/%",
            "/%zz/.well-known",
            "/x/.well-known/cellway/jwks.json",
            "/.well-known/jwks.json",
            "/.well-known/cellway/jwks.json/x",
            "/.well-known/cellway/jwks.json%78",
        ] {
            assert!(!respells_jwks_path(path), "{path}");
        }
    }
}
