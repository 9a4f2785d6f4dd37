//! Turns library messages into plain words, and suggests the name that was probably meant.

/// Most names that one message lists.
const NAMES_MAX: usize = 12;

/// What to write instead of an unknown name: the name that was probably meant, otherwise all known
/// names. `kind` is the plural, such as `cells`. Empty if there are no names.
pub fn suggestion<'a>(name: &str, kind: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match closest(name, &known) {
        Some(close) => format!("did you mean \"{close}\"?"),
        None if known.is_empty() => format!("there are no {kind}"),
        None if known.len() > NAMES_MAX => {
            let first = known[..NAMES_MAX].join(", ");
            format!("known {kind}: {first} and {} more", known.len() - NAMES_MAX)
        }
        None => format!("known {kind}: {}", known.join(", ")),
    }
}

/// The known name closest to a mistyped one; `None` if several are equally close, or none is close.
pub fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // A name of one letter has no near name.
    let most = name.len().div_ceil(3).min(name.len().saturating_sub(1));
    let mut near: Vec<_> = known
        .iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= most)
        .map(|&candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    near.sort_unstable();
    match near.as_slice() {
        [(_, only)] => Some(only),
        [(first, candidate), (second, _), ..] if first < second => Some(candidate),
        _ => None,
    }
}

/// The Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A serde message as text that follows the name of the value: `must be a number, found "7"`.
/// Removes the position that serde_json appends.
pub fn of_serde(message: &str) -> String {
    let message = match message.rfind(" at line ") {
        Some(at) => &message[..at],
        None => message,
    };
    if let Some(field) = quoted(message, "missing field ") {
        return format!("`{field}` is missing");
    }
    for (kind, what, whats) in [
        ("unknown field ", "field", "fields"),
        ("unknown variant ", "value", "values"),
    ] {
        if let Some(name) = quoted(message, kind) {
            let known = message.split('`').skip(3).step_by(2);
            return format!(
                "unknown {what} `{name}`; {}",
                suggestion(name, whats, known)
            );
        }
    }
    let Some((found, expected)) = message.split_once(", expected ") else {
        return message.to_owned();
    };
    let found = found
        .trim_start_matches("invalid type: ")
        .trim_start_matches("invalid value: ");
    let range = match found.split(' ').next() {
        Some("integer" | "floating") => range(expected),
        Some(_) | None => None,
    };
    let wanted = range.unwrap_or_else(|| wanted(expected).to_owned());
    format!("must be {wanted}, found {}", seen(found))
}

/// The numbers that fit this type.
fn range(of: &str) -> Option<String> {
    let most = match of {
        "u8" => u8::MAX.into(),
        "u16" => u16::MAX.into(),
        "u32" => u32::MAX.into(),
        "u64" | "usize" => u64::MAX,
        _ => return None,
    };
    Some(format!("a whole number from 0 to {most}"))
}

/// The type that serde expected, in plain words.
pub fn wanted(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i64" => "a number",
        "a sequence" => "a list",
        "a map" => "a table",
        "a boolean" => "true or false",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

/// The value that serde found, in plain words: `string "7"` is `"7"`.
pub fn seen(found: &str) -> String {
    match found {
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        "unit" => "null".to_owned(),
        other => match other.split_once(' ') {
            Some(("invalid", length)) => format!("a list of {length}"),
            Some(("string", text)) => text.to_owned(),
            Some(("integer" | "boolean", value)) => value.trim_matches('`').to_owned(),
            Some(("floating", value)) => value
                .trim_start_matches("point ")
                .trim_matches('`')
                .to_owned(),
            _ => other.to_owned(),
        },
    }
}

/// The name in the first pair of backticks of a message with this beginning.
pub fn quoted<'m>(message: &'m str, begins: &str) -> Option<&'m str> {
    message.strip_prefix(begins)?.split('`').nth(1)
}

#[cfg(test)]
mod tests;
