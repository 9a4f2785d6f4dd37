//! Reads untrusted JSON into a bounded tree, and notices repeated names.
//!
//! Parsers disagree about `{"a":1,"a":2}`, which attackers exploit. An object with a repeated name
//! is marked, and a token that contains one is refused.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How deep arrays and objects may nest.
const DEPTH_MAX: u8 = 16;

/// Up to this many members, comparing all pairs is quicker than sorting.
const PAIRWISE_MAX: usize = 16;

/// A JSON value that borrows what it can.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Json<'a> {
    Null,
    Bool,
    Number(Number),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// A JSON number. Integers are kept apart from other numbers, because 2^53 + 1 doesn't fit a float.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Number {
    Unsigned(u64),
    Other(f64),
}

/// A JSON object, members in the order of the text.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Object<'a> {
    members: Vec<(Cow<'a, str>, Json<'a>)>,
    repeats: bool,
}

/// A document without the byte-order mark that some editors write in front of it. RFC 8259 (section
/// 8.1) lets readers ignore it. Don't use this for tokens, whose bytes are signed and compared.
pub(crate) fn without_mark(document: &[u8]) -> &[u8] {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    document.strip_prefix(MARK).unwrap_or(document)
}

/// Reads a whole document that must be an object without repeated names at any level.
pub(crate) fn strict_object(text: &[u8]) -> Option<Object<'_>> {
    let Json::Object(object) = parse(text)? else {
        return None;
    };
    (!object.repeats_anywhere()).then_some(object)
}

/// Reads a whole document; repeated names are only marked.
pub(crate) fn parse(text: &[u8]) -> Option<Json<'_>> {
    // Checking all strings at once is faster than each by itself.
    let text = std::str::from_utf8(text).ok()?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Tree { depth: DEPTH_MAX }
        .deserialize(&mut deserializer)
        .ok()?;
    deserializer.end().ok()?;
    Some(value)
}

impl<'a> Object<'a> {
    /// How many members have a value.
    pub(crate) fn len(&self) -> usize {
        let values = self.members.iter().map(|(_, value)| value);
        values.filter(|value| !value.is_null()).count()
    }

    /// The member of this name. A member that is `null` counts as absent, here and below: many
    /// writers use `null` for no value.
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        let (_, value) = self.members.iter().find(|(member, _)| member == name)?;
        Some(value).filter(|value| !value.is_null())
    }

    /// The member of this name, if there is exactly one.
    pub(crate) fn get_once(&self, name: &str) -> Option<&Json<'a>> {
        let mut found = self.members.iter().filter(|(member, _)| member == name);
        let (_, value) = found.next()?;
        let value = Some(value).filter(|value| !value.is_null());
        found.next().is_none().then_some(value).flatten()
    }

    /// Whether the member of this name has a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether a name occurs twice in this object or in one inside it.
    pub(crate) fn repeats_anywhere(&self) -> bool {
        self.repeats || self.members.iter().any(|(_, value)| value.repeats())
    }
}

impl<'a> Json<'a> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        let Self::String(string) = self else {
            return None;
        };
        Some(string)
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        let Self::Array(values) = self else {
            return None;
        };
        Some(values)
    }

    pub(crate) fn as_object(&self) -> Option<&Object<'a>> {
        let Self::Object(object) = self else {
            return None;
        };
        Some(object)
    }

    /// A string as it is, or a number as its digits if there is only one way to write it: a whole
    /// number from 0 to 2^64 - 1, without fraction or exponent.
    pub(crate) fn digits_or_str(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::String(string) => Some(Cow::Borrowed(string)),
            Self::Number(Number::Unsigned(number)) => Some(Cow::Owned(number.to_string())),
            Self::Number(Number::Other(_))
            | Self::Null
            | Self::Bool
            | Self::Array(_)
            | Self::Object(_) => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    fn repeats(&self) -> bool {
        match self {
            Self::Object(object) => object.repeats_anywhere(),
            Self::Array(items) => items.iter().any(Json::repeats),
            Self::Null | Self::Bool | Self::Number(_) | Self::String(_) => false,
        }
    }
}

fn any_repeats(members: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    if members.len() > PAIRWISE_MAX {
        let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        return names.windows(2).any(|pair| pair[0] == pair[1]);
    }
    let mut seen = 0_u64;
    members.iter().enumerate().any(|(i, (name, _))| {
        let sign = 1 << (fingerprint(name) % 64);
        let maybe = seen & sign != 0;
        seen |= sign;
        maybe && members[..i].iter().any(|(earlier, _)| earlier == name)
    })
}

/// A hash of the name.
fn fingerprint(name: &str) -> usize {
    let at = |i: usize| name.as_bytes().get(i).map_or(0, |byte| usize::from(*byte));
    name.len().wrapping_mul(7) ^ at(0) ^ (at(name.len() / 2) << 2) ^ at(name.len().wrapping_sub(1))
}

/// Reads one value of bounded depth.
struct Tree {
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Tree {
    fn deeper<E: Error>(&self) -> Result<u8, E> {
        self.depth
            .checked_sub(1)
            .ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(Number::Unsigned(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(Number::Other(value as f64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Number(Number::Other(value)))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Tree { depth })? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut members = Vec::with_capacity(PAIRWISE_MAX);
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value_seed(Tree { depth })?));
        }
        let repeats = any_repeats(&members);
        Ok(Json::Object(Object { members, repeats }))
    }
}

/// A member's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests;
