//! The page of the docs.

use crate::decided;

/// Catches: an example of the page that isn't what the command prints.
#[test]
fn the_page_shows_what_is_printed() {
    let page = include_str!("../../../docs/decide.md");
    let blocks: Vec<_> = page.split("```").skip(1).step_by(2).collect();
    let block = |begin: &str| {
        let found = blocks
            .iter()
            .find_map(|block| block.trim_start().strip_prefix(begin));
        found.unwrap_or_else(|| panic!("no block begins with {begin}"))
    };
    let cases = block("# cases.toml\n");
    let config = block("toml\n[[listener]]");
    let registry = block("json\n");
    let table = decided(&format!("[[listener]]{config}"), registry, cases);
    let shown = block("CALLER");
    assert_eq!(format!("CALLER{shown}").trim_end(), table.to_string());
}
