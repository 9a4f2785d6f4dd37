//! A value that an identity carries.

use std::fmt;
use std::hash::{Hash, Hasher};

use http::HeaderValue;
use serde::{Serialize, Serializer};

/// A tenant, subject, workspace, role, cell id and the like: a short string that can stand in a
/// header as it is.
///
/// Between 1 and [`Text::LEN_MAX`] bytes ([`Text::ID_LEN_MAX`] for a SPIFFE ID) of visible ASCII, no comma, inner spaces allowed.
/// A value from a claim, a SAN or the registry that isn't so is refused where it is read. That
/// rules out header injection, a list smuggled into a scalar (`admin,owner` as one role), and
/// two spellings that a cell would read as one.
///
/// Cloning is a reference count; nothing is copied when it is stamped on a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(HeaderValue);

impl Text {
    /// The most bytes a value may have.
    pub const LEN_MAX: usize = 256;
    /// The most bytes of a SPIFFE ID (SPIFFE ID, section 2.3).
    pub const ID_LEN_MAX: usize = 2048;

    /// Takes `value` if it keeps the rules.
    ///
    /// # Errors
    /// [`NotText`] says which rule is broken.
    pub fn new(value: &str) -> Result<Self, NotText> {
        Self::within(value, Self::LEN_MAX)
    }

    /// As [`new`](Self::new), for whatever names a caller: a SPIFFE ID may be longer than any other
    /// value.
    ///
    /// # Errors
    /// [`NotText`] says which rule is broken.
    pub fn id(value: &str) -> Result<Self, NotText> {
        let most = match value.starts_with("spiffe://") {
            true => Self::ID_LEN_MAX,
            false => Self::LEN_MAX,
        };
        Self::within(value, most)
    }

    fn within(value: &str, len_max: usize) -> Result<Self, NotText> {
        check(value, len_max)?;
        HeaderValue::from_str(value)
            .map(Self)
            .map_err(|_| NotText::BadCharacter)
    }

    /// Whether `value` keeps the rules, without making a `Text` of it.
    ///
    /// # Errors
    /// [`NotText`] says which rule is broken.
    pub fn check(value: &str) -> Result<(), NotText> {
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

fn check(value: &str, len_max: usize) -> Result<(), NotText> {
    let bytes = value.as_bytes();
    if bytes.is_empty() {
        return Err(NotText::Empty);
    }
    if bytes.len() > len_max {
        return Err(NotText::TooLong);
    }
    let allowed = |b: &u8| matches!(b, b' '..=b'~') && *b != b',';
    let edge = |b: Option<&u8>| b == Some(&b' ');
    if !bytes.iter().all(allowed) || edge(bytes.first()) || edge(bytes.last()) {
        return Err(NotText::BadCharacter);
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
pub enum NotText {
    /// It has no bytes.
    Empty,
    /// It has more bytes than such a value may have.
    TooLong,
    /// A control character, a comma, a byte outside ASCII, or a space at an end.
    BadCharacter,
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong => write!(f, "is longer than {} bytes", Text::LEN_MAX),
            Self::BadCharacter => {
                f.write_str("may hold visible ASCII and inner spaces only, and no comma")
            }
        }
    }
}

impl std::error::Error for NotText {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_a_header_or_a_list_would_misread() {
        for (value, why) in [
            ("", NotText::Empty),
            ("a,b", NotText::BadCharacter),
            ("a\r\nx: y", NotText::BadCharacter),
            (" a", NotText::BadCharacter),
            ("a ", NotText::BadCharacter),
            ("a\0", NotText::BadCharacter),
            ("caf\u{e9}", NotText::BadCharacter),
        ] {
            assert_eq!(Text::new(value).unwrap_err(), why, "{value:?}");
        }
        assert_eq!(Text::new(&"a".repeat(257)).unwrap_err(), NotText::TooLong);
        assert_eq!(Text::new("acme corp").unwrap().as_str(), "acme corp");
    }
}
