//! Which protocols a client may switch to with `Upgrade` (RFC 9110, section 7.8) or an extended
//! CONNECT (RFC 8441).
//!
//! A server may ignore `Upgrade`. So the router ignores a protocol that is not on the list and
//! forwards the request without the field, as for any request. An extended CONNECT can't be read as
//! another request and is refused.

use std::fmt;

use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};

use crate::headers::{elements, only};
use crate::http1::is_token;

/// WebSocket (RFC 6455), which every listener allows by default.
pub const WEBSOCKET: &str = "websocket";

/// The most protocols on a list.
pub const UPGRADES_MAX: usize = 16;

/// The longest name of a protocol.
const NAME_LEN_MAX: usize = 64;

/// HTTP itself. A router that let a client switch to another version of HTTP would stop seeing its
/// requests.
const HTTP: [&str; 3] = ["h2c", "h2", "http"];

/// The protocols that clients may switch to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upgrades(Vec<Box<str>>);

impl Default for Upgrades {
    /// WebSocket.
    fn default() -> Self {
        Self(vec![WEBSOCKET.into()])
    }
}

/// Why a list of protocols is invalid.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UpgradesError {
    /// This isn't the name of a protocol.
    Name(String),
    /// This is a version of HTTP.
    Http(String),
    /// It has more than [`UPGRADES_MAX`] names.
    TooMany,
}

impl fmt::Display for UpgradesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "\"{name}\" is not a protocol name: use a token such as \"websocket\""
            ),
            Self::Http(name) => write!(
                f,
                "\"{name}\" is HTTP: the router would not see the requests; remove it"
            ),
            Self::TooMany => write!(f, "more than {UPGRADES_MAX} protocols"),
        }
    }
}

impl std::error::Error for UpgradesError {}

impl Upgrades {
    /// A list of protocol names. They are compared without regard to case.
    ///
    /// # Errors
    /// The first name that can't be on the list.
    pub fn new<N: AsRef<str>>(names: &[N]) -> Result<Self, UpgradesError> {
        if names.len() > UPGRADES_MAX {
            return Err(UpgradesError::TooMany);
        }
        let names = names.iter().map(|name| {
            let name = name.as_ref();
            let is_name = name.len() <= NAME_LEN_MAX && is_protocol(name.as_bytes());
            let bare = name.split('/').next().unwrap_or(name);
            match is_name {
                false => Err(UpgradesError::Name(name.to_owned())),
                true if HTTP.iter().any(|http| bare.eq_ignore_ascii_case(http)) => {
                    Err(UpgradesError::Http(name.to_owned()))
                }
                true => Ok(name.to_ascii_lowercase().into()),
            }
        });
        names.collect::<Result<_, _>>().map(Self)
    }

    /// Whether this protocol is on the list.
    pub fn allows(&self, protocol: &[u8]) -> bool {
        let mut names = self.0.iter();
        names.any(|name| protocol.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The first protocol of an `Upgrade` field that is on the list. The client names its favorite
    /// first.
    pub fn first_of(&self, field: &HeaderValue) -> Option<HeaderValue> {
        let mut names = field.as_bytes().split(|byte| *byte == b',');
        let name = names.find_map(|name| {
            let name = name.trim_ascii();
            self.allows(name).then_some(name)
        })?;
        HeaderValue::from_bytes(name).ok()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

/// The `Upgrade` field of a message that asks to switch protocols, or agrees to. `None` if there is
/// none, or more than one, or if `Connection` doesn't name it. Then it must be ignored (RFC 9110,
/// section 7.6.1).
pub fn field(headers: &HeaderMap) -> Option<HeaderValue> {
    let field = only(headers, &UPGRADE)?;
    let mut options = elements(headers.get_all(CONNECTION));
    let named = options.any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    named.then(|| field.clone())
}

/// A token, or two of them with a slash between: a name and a version.
fn is_protocol(name: &[u8]) -> bool {
    let mut parts = name.splitn(2, |byte| *byte == b'/');
    parts.all(|part| !part.is_empty() && part.iter().all(|byte| is_token(*byte)))
}

#[cfg(test)]
mod tests;
