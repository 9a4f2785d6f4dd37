//! The paths and path patterns of rules.
//!
//! A rule is safe only if the router and the cell read a path the same way. The router forwards the
//! path unchanged, so it refuses every path that servers read differently ([`Path::of`]). It
//! compares all other paths segment by segment, after decoding percent-encoding once, with case
//! (RFC 3986, section 6.2.2).

use std::fmt;

/// A request's path that all servers read the same way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path<'a>(&'a str);

/// Why servers could read a path differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathError(&'static str);

impl PathError {
    /// The reason, without any text of the path.
    pub fn detail(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for PathError {}

impl<'a> Path<'a> {
    /// The path of this target, which may have a query.
    ///
    /// # Errors
    /// [`PathError`]: servers read the path differently. It has a percent-encoded slash, backslash,
    /// percent sign, semicolon, question mark or number sign, a plain backslash or semicolon, a dot
    /// segment in any spelling, an empty segment that isn't the last, a byte that isn't visible
    /// ASCII (also encoded, except a space within a segment), or a percent sign without two
    /// hexadecimal digits.
    pub fn of(target: &'a str) -> Result<Self, PathError> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        // A URI such as `http://host?query` has no path, and is forwarded with this one.
        let path = if path.is_empty() { "/" } else { path };
        let Some(rest) = path.strip_prefix('/') else {
            return Err(PathError("the target is not a path"));
        };
        let mut segments = rest.split('/').peekable();
        while let Some(segment) = segments.next() {
            if segment.is_empty() && segments.peek().is_some() {
                return Err(PathError("the path has an empty segment"));
            }
            check_segment(segment)?;
        }
        Ok(Self(path))
    }

    /// The encoded segments. The last one is empty if the path ends in a slash.
    fn segments(self) -> impl Iterator<Item = &'a str> {
        self.0.get(1..).unwrap_or_default().split('/')
    }

    /// As it was received.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

fn check_segment(segment: &str) -> Result<(), PathError> {
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => check_encoded(bytes.next(), bytes.next())?,
            b'\\' => return Err(PathError("the path has a backslash")),
            b';' => return Err(PathError("the path has parameters")),
            b'#' => return Err(PathError("the path has a fragment")),
            b'!'..=b'~' => {}
            _ => return Err(PathError("the path has a byte that isn't visible ASCII")),
        }
    }
    // Some servers trim these spaces. Other encoded whitespace is refused above.
    if segment.starts_with("%20") || segment.ends_with("%20") {
        return Err(PathError("a segment of the path begins or ends in a space"));
    }
    let dots = |n| decoded(segment).eq(std::iter::repeat_n(b'.', n));
    if dots(1) || dots(2) {
        return Err(PathError("the path has a dot segment"));
    }
    Ok(())
}

fn check_encoded(high: Option<u8>, low: Option<u8>) -> Result<(), PathError> {
    match (high.and_then(hex), low.and_then(hex)) {
        (Some(high), Some(low)) => match high << 4 | low {
            b'/' | b'\\' | b'%' | b';' | b'?' | b'#' => {
                Err(PathError("the path has a delimiter that is encoded"))
            }
            b' '..=b'~' => Ok(()),
            _ => Err(PathError(
                "the path has an encoded byte that isn't visible ASCII",
            )),
        },
        _ => Err(PathError("the path has a broken percent-encoding")),
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The decoded bytes of a checked segment.
fn decoded(segment: &str) -> impl Iterator<Item = u8> {
    let mut bytes = segment.bytes();
    std::iter::from_fn(move || match bytes.next()? {
        b'%' => {
            let (high, low) = (bytes.next().and_then(hex)?, bytes.next().and_then(hex)?);
            Some(high << 4 | low)
        }
        byte => Some(byte),
    })
}

/// A pattern for paths: `/orders/{id}`, `/orders/*` (any one segment), `/orders/**` (the path
/// itself and everything below).
///
/// Case matters, and so does a slash at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathPattern {
    text: Box<str>,
    segments: Vec<Segment>,
    /// It ends in `**`.
    rest: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Segment {
    /// Exactly this, once decoded.
    Literal(Box<str>),
    /// Any but the empty one.
    Any,
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PatternError(&'static str);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for PatternError {}

impl PathPattern {
    /// The most bytes of a pattern.
    pub const LEN_MAX: usize = 1024;

    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`]: it could never match, or has parts that no path may have.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > Self::LEN_MAX {
            return Err(PatternError("is longer than 1024 bytes"));
        }
        let Some(inner) = text.strip_prefix('/') else {
            return Err(PatternError("doesn't begin with a slash"));
        };
        let (inner, rest) = match inner.strip_suffix("**") {
            Some("") => ("", true),
            Some(before) => match before.strip_suffix('/') {
                Some(before) => (before, true),
                None => {
                    return Err(PatternError(
                        "has `**` together with other text in a segment",
                    ));
                }
            },
            None => (inner, false),
        };
        let count = inner.split('/').count();
        let read = |(at, segment)| Segment::read(segment, !rest && at + 1 == count);
        let segments = match (inner, rest) {
            ("", true) => Vec::new(),
            _ => (inner.split('/').enumerate())
                .map(read)
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            text: text.into(),
            segments,
            rest,
        })
    }

    /// Whether the path matches.
    pub fn matches(&self, path: Path<'_>) -> bool {
        let mut segments = path.segments();
        for wanted in &self.segments {
            match segments.next() {
                Some(segment) if wanted.matches(segment) => {}
                _ => return false,
            }
        }
        self.rest || segments.next().is_none()
    }

    /// Whether it matches every path that `other` does.
    pub fn covers(&self, other: &Self) -> bool {
        let as_long = match self.rest {
            true => self.segments.len() <= other.segments.len(),
            false => self.segments.len() == other.segments.len() && !other.rest,
        };
        as_long
            && std::iter::zip(&self.segments, &other.segments).all(|(own, other)| match own {
                Segment::Literal(_) => own == other,
                Segment::Any => *other != Segment::Literal("".into()),
            })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Segment {
    fn read(text: &str, last: bool) -> Result<Self, PatternError> {
        let name = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        if let Some(name) = name {
            let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            return match !name.is_empty() && name.bytes().all(fine) {
                true => Ok(Self::Any),
                false => Err(PatternError(
                    "has a name in braces that isn't letters, digits and _",
                )),
            };
        }
        match text {
            "*" => return Ok(Self::Any),
            "" if !last => return Err(PatternError("has an empty segment")),
            "**" => return Err(PatternError("has `**` elsewhere than at its end")),
            "." | ".." => return Err(PatternError("has a dot segment, which no path may have")),
            _ => {}
        }
        if text.contains(['*', '{', '}']) {
            return Err(PatternError(
                "has a wildcard together with other text in a segment",
            ));
        }
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"%?#;\\".contains(&byte);
        match text.bytes().all(plain) {
            true => Ok(Self::Literal(text.into())),
            false => Err(PatternError(
                "has an encoded character, or one that no path may have; write it unencoded",
            )),
        }
    }

    fn matches(&self, segment: &str) -> bool {
        match self {
            Self::Literal(literal) => decoded(segment).eq(literal.bytes()),
            Self::Any => !segment.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests;
