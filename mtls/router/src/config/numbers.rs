//! Numbers that don't fit in the type of their setting.

/// What to do about a fraction.
pub(super) const WHOLE: &str = "write a whole number";

/// What to do about a number that serde doesn't accept. `None` if the message is about something
/// else.
pub(super) fn fix(message: &str) -> Option<String> {
    let (found, expected) = message.split_once(", expected ")?;
    let most = most(expected)?;
    if found.starts_with("invalid type: floating point ") {
        return Some(WHOLE.to_owned());
    }
    let written = found.strip_prefix("invalid value: integer ")?;
    Some(match written.starts_with("`-") {
        true => format!("{WHOLE}, 0 or more"),
        false => format!("give at most {most}"),
    })
}

/// A number that fits in the type, and that is outside of the range of each setting with a narrower
/// one.
pub(super) fn stand_in(message: &str) -> Option<i64> {
    let (found, expected) = message.split_once(", expected ")?;
    let is_integer = found.starts_with("invalid value: integer ");
    is_integer.then(|| most(expected)).flatten()
}

/// The largest number of a type that TOML can hold.
fn most(of: &str) -> Option<i64> {
    match of {
        "u8" => Some(u8::MAX.into()),
        "u16" => Some(u16::MAX.into()),
        "u32" => Some(u32::MAX.into()),
        "u64" | "usize" => Some(i64::MAX),
        _ => None,
    }
}
