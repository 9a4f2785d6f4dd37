//! A value that an identity carries.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use http::HeaderValue;
use serde::{Serialize, Serializer};

/// A tenant, subject, workspace, role, cell id and the like: a short string that a header can hold.
///
/// It has 1 to [`Text::LEN_MAX`] bytes ([`Text::ID_LEN_MAX`] if it names a caller) of visible ASCII
/// without commas; inner spaces are allowed. That prevents header injection, a list smuggled into a
/// single value (`admin,owner` as one role), and two spellings that a cell would read as the same.
///
/// Values that decide where a request goes and what it may do (tenants, tiers, roles, cells) are
/// never changed. If they break these rules, they are refused or left out. Values that only tell
/// the cell who is calling (subject, workspace, organization) are percent-encoded by
/// [`Text::encode`], so that any string can be passed on and decoded.
///
/// Cloning is a reference count; nothing is copied when it is stamped on a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(HeaderValue);

impl Text {
    /// The most bytes a value may have.
    pub const LEN_MAX: usize = 256;
    /// The most bytes of a caller's name: a SPIFFE ID (SPIFFE ID, section 2.3), or what
    /// [`encode`](Self::encode) makes.
    pub const ID_LEN_MAX: usize = 2048;

    /// Takes `value` if it keeps the rules.
    ///
    /// # Errors
    /// [`TextError`] says which rule is broken.
    pub fn new(value: &str) -> Result<Self, TextError> {
        Self::within(value, Self::LEN_MAX)
    }

    /// As [`new`](Self::new), for a SPIFFE ID or an encoded value. These may be longer than other
    /// values.
    ///
    /// # Errors
    /// [`TextError`] says which rule is broken.
    pub fn id(value: &str) -> Result<Self, TextError> {
        Self::within(value, Self::ID_LEN_MAX)
    }

    /// Makes a text from any string by percent-encoding its UTF-8 (RFC 3986, section 2.1): `%`, the
    /// comma, spaces at the ends, and every byte that isn't visible ASCII or a space become `%` and
    /// two upper-case hexadecimal digits. All other bytes stay as they are. Two strings never
    /// become the same text, because `%` is always encoded.
    ///
    /// # Errors
    /// [`TextError::Empty`], or [`TextError::TooLong`] if the text would have more than
    /// [`Text::ID_LEN_MAX`] bytes.
    pub fn encode(value: &str) -> Result<Self, TextError> {
        match value.contains('%') {
            false if check(value, Self::ID_LEN_MAX).is_ok() => Self::id(value),
            _ => Self::id(&percent_encoded(value)),
        }
    }

    /// The string from which [`encode`](Self::encode) made this text. A `%` that doesn't begin an
    /// escape stays, and bytes that aren't UTF-8 become U+FFFD; `encode` makes neither.
    pub fn decode(&self) -> Cow<'_, str> {
        let text = self.as_str();
        if !text.contains('%') {
            return Cow::Borrowed(text);
        }
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let [byte, after @ ..] = rest {
            rest = after;
            let escape = after.split_at_checked(2).filter(|_| *byte == b'%');
            match escape.and_then(|(digits, after)| Some((hex(digits)?, after))) {
                Some((decoded, after)) => {
                    bytes.push(decoded);
                    rest = after;
                }
                None => bytes.push(*byte),
            }
        }
        Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn within(value: &str, len_max: usize) -> Result<Self, TextError> {
        check(value, len_max)?;
        HeaderValue::from_str(value)
            .map(Self)
            .map_err(|_| TextError::BadCharacter)
    }

    /// Whether `value` keeps the rules, without making a `Text` of it.
    ///
    /// # Errors
    /// [`TextError`] says which rule is broken.
    pub fn check(value: &str) -> Result<(), TextError> {
        check(value, Self::LEN_MAX)
    }

    /// The value as a string.
    pub fn as_str(&self) -> &str {
        // Checked in `new`: a `Text` is visible ASCII and spaces, which `to_str` accepts.
        self.0.to_str().unwrap_or_default()
    }

    /// The value as a header value, shared.
    pub fn header_value(&self) -> &HeaderValue {
        &self.0
    }
}

fn percent_encoded(value: &str) -> String {
    let bytes = value.as_bytes();
    let inner = bytes.trim_ascii_start().len();
    // The end of the leading spaces, and the start of the trailing ones.
    let (first, last) = (bytes.len() - inner, bytes.trim_ascii_end().len());
    let mut encoded = String::with_capacity(value.len() + 16);
    for (at, byte) in bytes.iter().enumerate() {
        let edge = at < first || at >= last;
        match byte {
            b'%' | b',' => push_escape(&mut encoded, *byte),
            b' ' if edge => push_escape(&mut encoded, *byte),
            b' '..=b'~' => encoded.push(char::from(*byte)),
            _ => push_escape(&mut encoded, *byte),
        }
    }
    encoded
}

fn push_escape(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let [high, low] = digits else { return None };
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn check(value: &str, len_max: usize) -> Result<(), TextError> {
    let bytes = value.as_bytes();
    if bytes.is_empty() {
        return Err(TextError::Empty);
    }
    if bytes.len() > len_max {
        return Err(TextError::TooLong);
    }
    let allowed = |b: &u8| matches!(b, b' '..=b'~') && *b != b',';
    let edge = |b: Option<&u8>| b == Some(&b' ');
    if !bytes.iter().all(allowed) || edge(bytes.first()) || edge(bytes.last()) {
        return Err(TextError::BadCharacter);
    }
    Ok(())
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0.as_bytes() == other.as_bytes()
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}

impl std::borrow::Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Why a string can't be a [`Text`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TextError {
    /// It has no bytes.
    Empty,
    /// It has more bytes than such a value may have.
    TooLong,
    /// A control character, a comma, a byte outside ASCII, or a space at an end.
    BadCharacter,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong => write!(
                f,
                "is longer than {} bytes ({} for the name of a caller)",
                Text::LEN_MAX,
                Text::ID_LEN_MAX
            ),
            Self::BadCharacter => {
                f.write_str("may hold visible ASCII and inner spaces only, and no comma")
            }
        }
    }
}

impl std::error::Error for TextError {}

#[cfg(test)]
mod tests;
