//! The pages for people: links that lead somewhere, lines that fit, and indexes that are complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cellway_core::registry::Registry;
use cellway_router::config::Config;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The widest line of prose, in characters.
const COLUMNS_MAX: usize = 110;

/// All files below a folder with this extension, except those that a build makes.
fn files_below(folder: &Path, extension: &str, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("entries can be read").path();
        if path.is_dir() && !path.ends_with("target") {
            files_below(&path, extension, files);
        } else if path.extension().is_some_and(|it| it == extension) {
            files.push(path);
        }
    }
}

/// Every page, with its path and text: those at the top of the repository, and those in `docs/`.
fn pages() -> Vec<(PathBuf, String)> {
    let top = fs::read_dir(ROOT).expect("the repository is there");
    let mut paths: Vec<_> = top
        .map(|entry| entry.expect("entries can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    files_below(&Path::new(ROOT).join("docs"), "md", &mut paths);
    paths.sort();
    let text = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("pages are UTF-8");
        (path, text)
    };
    paths.into_iter().map(text).collect()
}

/// The lines of a page outside its code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// The targets of the links in a page.
fn links(text: &str) -> Vec<&str> {
    prose(text)
        .flat_map(|(_, line)| line.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next())
        .collect()
}

/// The anchor that a heading gets: lower case, spaces to dashes, punctuation left out.
fn anchor(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    heading.chars().filter_map(kept).collect()
}

fn has_anchor(page: &Path, wanted: &str) -> bool {
    let text = fs::read_to_string(page).expect("the page is UTF-8");
    prose(&text).any(|(_, line)| {
        let heading = line.trim_start_matches('#');
        heading.len() < line.len() && anchor(heading.trim()) == wanted
    })
}

/// A page's code blocks in this language, without the indentation of lists.
fn snippets(text: &str, language: &str) -> Vec<String> {
    let mut snippets: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match line.trim() {
            line if line.strip_prefix("```") == Some(language) => {
                open = true;
                snippets.push(String::new());
            }
            "```" => open = false,
            line if open => {
                if let Some(snippet) = snippets.last_mut() {
                    *snippet += line;
                    snippet.push('\n');
                }
            }
            _ => {}
        }
    }
    snippets
}

/// Catches: a registry that a reader copies and that the router refuses.
#[test]
fn registries_in_pages_are_valid() {
    let mut whole = 0;
    for (path, text) in pages() {
        let snippets = snippets(&text, "json").into_iter();
        for snippet in snippets.filter(|it| it.contains("\"cells\"") && it.contains("\"tenants\""))
        {
            if let Err(error) = Registry::from_json(&snippet) {
                panic!("{}: {error}\n{snippet}", path.display());
            }
            whole += 1;
        }
    }
    assert!(whole > 1, "{whole}");
}

/// Catches: a setting in a page that was renamed or removed, and a configuration that a reader copies
/// and that `cellway check` refuses.
#[test]
fn settings_in_pages_are_known_and_whole_configurations_are_valid() {
    let (mut settings, mut whole) = (0, 0);
    for (path, text) in pages() {
        let page = path.display();
        if path.ends_with("docs/scenarios.md") || path.ends_with("README.md") {
            continue;
        }
        for snippet in snippets(&text, "toml") {
            // Other files: a package's manifest, the index of a folder of keys.
            if snippet.starts_with("[dependencies]") || snippet.contains("[[key]]") {
                continue;
            }
            let is_whole = snippet.contains("[[listener]]") && snippet.contains("[registry]");
            match Config::load("cellway.toml", &snippet, []) {
                Ok(config) => {
                    assert!(config.router.warnings.is_empty(), "{page}: {snippet}");
                    (settings, whole) = (settings + 1, whole + 1);
                }
                Err(refused) if is_whole => panic!("{page}: {refused}\n{snippet}"),
                Err(refused) => {
                    settings += 1;
                    let unknown = refused.errors.iter();
                    let mut unknown = unknown.filter(|it| {
                        ["unknown setting", "unknown value", "not valid"]
                            .iter()
                            .any(|begin| it.problem.starts_with(begin))
                    });
                    let unknown = unknown.next();
                    assert!(unknown.is_none(), "{page}: {unknown:?}\n{snippet}");
                }
            }
        }
    }
    assert!(settings > 20 && whole > 0, "{settings} {whole}");
}

/// Catches: a page or heading that was moved or renamed while others still link to it.
#[test]
fn every_link_leads_somewhere() {
    let mut seen = 0;
    for (path, text) in pages() {
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.with_file_name(file),
            };
            assert!(target.exists(), "{}: no {link}", path.display());
            let known = heading.is_empty() || has_anchor(&target, heading);
            assert!(known, "{}: no heading for {link}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} links were found");
}

/// Catches: prose that can't be read in a terminal or reviewed line by line. Tables and links can't
/// be wrapped.
#[test]
fn lines_of_prose_fit() {
    for (path, text) in pages() {
        for (number, line) in prose(&text) {
            let is_exempt = line.starts_with('|') || line.starts_with('#') || line.contains("](");
            let fits = is_exempt || line.chars().count() <= COLUMNS_MAX;
            assert!(fits, "{}:{number}: wrap this line", path.display());
        }
    }
}

/// Catches: a comment of the code that nobody wrapped, because rustfmt doesn't.
#[test]
fn lines_of_comments_fit() {
    let mut files = Vec::new();
    for folder in ["core", "mtls", "sim", "tests"] {
        files_below(&Path::new(ROOT).join(folder), "rs", &mut files);
    }
    assert!(files.len() > 100, "only {} files were found", files.len());
    let mut long = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("code is UTF-8");
        for (number, line) in (1..).zip(text.lines()) {
            let is_exempt = !line.trim_start().starts_with("//");
            if !is_exempt && line.chars().count() > COLUMNS_MAX {
                long.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "wrap these lines: {long:#?}");
}

/// Catches: a new page that no reader finds.
#[test]
fn every_page_is_in_the_index_of_its_folder() {
    for (path, _) in pages() {
        let folder = path.parent().expect("pages are in folders");
        if folder == Path::new(ROOT) || path.ends_with("README.md") {
            continue;
        }
        let index = folder.join("README.md");
        let text = fs::read_to_string(&index).unwrap_or_default();
        let name = path.file_name().and_then(|name| name.to_str());
        let listed = links(&text).into_iter().any(|link| Some(link) == name);
        assert!(listed, "{} lacks {name:?}", index.display());
    }
}

/// Catches: a recipe or a map of the code that names files which were moved.
#[test]
fn files_that_contributors_are_sent_to_exist() {
    let roots = ["core/", "mtls/", "sim/", "tests/", "docs/"];
    let mut seen = BTreeSet::new();
    let page = fs::read_to_string(format!("{ROOT}/CONTRIBUTING.md")).expect("the page is there");
    for (_, line) in prose(&page) {
        // Every second piece is between backquotes.
        for piece in line.split('`').skip(1).step_by(2) {
            if roots.iter().any(|root| piece.starts_with(root)) {
                let found = Path::new(ROOT).join(piece).exists();
                assert!(found, "CONTRIBUTING.md names {piece}");
                seen.insert(piece.to_owned());
            }
        }
    }
    assert!(seen.len() > 20, "only {seen:?} were found");
}

/// The folders of which the map of the code has every part.
const MAPPED: [&str; 5] = [
    "core/src/",
    "mtls/router/src/",
    "mtls/router/src/data_plane/",
    "mtls/router/src/control_plane/",
    "mtls/router/src/observe/",
];

/// What the rows of this page's tables name, as paths from the root of the repository.
fn mapped(page: &str) -> BTreeSet<String> {
    let page = fs::read_to_string(format!("{ROOT}/{page}")).expect("the page is there");
    let mut prefix = "";
    let mut paths = BTreeSet::new();
    for (_, line) in prose(&page) {
        if line.starts_with('#') {
            prefix = match line.split('`').nth(1) {
                Some("core/") => "core/src/",
                Some("mtls/router/") => "mtls/router/src/",
                _ => "",
            };
        }
        let Some(first) = line
            .strip_prefix("| ")
            .and_then(|row| row.split(" | ").next())
        else {
            continue;
        };
        let names = first.split('`').skip(1).step_by(2);
        let is_path = |name: &&str| name.contains('/') || name.ends_with(".rs");
        let paths_of_row = names.filter(is_path).map(|name| format!("{prefix}{name}"));
        paths.extend(paths_of_row.map(|path| path.trim_end_matches('/').to_owned()));
    }
    paths
}

/// Catches: a part of the code that was moved, or that is new, while the map shows the old code.
#[test]
fn the_map_of_the_code_is_complete_and_its_paths_exist() {
    let mapped = mapped("docs/code-map.md");
    assert!(mapped.len() > 100, "only {} were found", mapped.len());
    for path in mapped.iter().chain(&self::mapped("ARCHITECTURE.md")) {
        let found = Path::new(ROOT).join(path).exists();
        assert!(found, "the map names {path}, which is not there");
    }
    let small = ["lib.rs", "mod.rs", "tests.rs", "testing.rs"];
    for folder in MAPPED {
        for entry in fs::read_dir(format!("{ROOT}/{folder}")).expect("the folder is there") {
            let name = entry.expect("entries can be read").file_name();
            let name = name.to_str().expect("names are UTF-8");
            let known = small.contains(&name) || mapped.contains(&format!("{folder}{name}"));
            assert!(known, "docs/code-map.md lacks {folder}{name}");
        }
    }
}

#[test]
fn the_glossary_has_each_term_once_and_paths_that_exist() {
    let text = include_str!("../../docs/glossary.md");
    let mut terms = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("- **")) {
        let names = line.split("**").next().expect("a term");
        for name in names.split(", ") {
            assert!(terms.insert(name.to_lowercase()), "{name} is there twice");
        }
    }
    assert!(terms.len() > 100, "{}", terms.len());
    let quoted = text.split('`').skip(1).step_by(2);
    let is_path = |text: &&str| {
        ["core/", "mtls/", "sim/"]
            .iter()
            .any(|top| text.starts_with(top))
    };
    for path in quoted.filter(is_path) {
        assert!(Path::new(ROOT).join(path).exists(), "{path}");
    }
}
