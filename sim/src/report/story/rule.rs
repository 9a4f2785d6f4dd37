//! What an invariant asks for, in the words of its documentation.

/// The one place that says it, so that stories and the documentation can't differ.
const PAGE: &str = include_str!("../../../../docs/invariants.md");

/// The first sentence about an invariant. `None` for expectations.
pub(super) fn of(invariant: &str) -> Option<String> {
    let row = format!("| `{invariant}` | ");
    let text = PAGE.lines().find_map(|line| line.strip_prefix(&row))?;
    let text = text.split(" | ").next().unwrap_or(text);
    let first = match text.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => text.to_owned(),
    };
    Some(without_links(&first.replace('`', "")))
}

/// Text without the targets of its links.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let (before, words) = before.rsplit_once('[').unwrap_or((before, ""));
        plain += before;
        plain += words;
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    plain + rest
}
