//! The runbooks stay true: what they name exists, what they configure loads, and the scenarios that
//! they rehearse hold. (That their commands are ones of the binary, its own tests look.)

use std::collections::BTreeSet;
use std::fs;

use cellway_core::Reason;
use cellway_router::config::Config;
use cellway_sim::Scenario;
use cellway_testbed::Signer;
use cellway_tests::world::World;
use toml::{Table, Value};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const EXAMPLE: &str = include_str!("../../docs/cellway.example.toml");
/// Where the names of log events stand.
const EVENTS: &str = include_str!("../../mtls/router/src/observe/log/heading.rs");
/// Has the reasons for which a registry is refused.
const REFUSALS: &str = include_str!("../../core/src/registry/error.rs");
/// Where the values of metrics' labels stand.
const METRICS: &str = include_str!("../../docs/metrics.md");
/// Where the reasons for which services refuse envelopes stand.
const ENVELOPES: &str = include_str!("../../core/src/envelope/refused.rs");
/// Has the members of the JWKS client's timing.
const JWKS_CLIENT: &str = include_str!("../../mtls/service/src/jwks/mod.rs");
const REGISTRY: &str = include_str!("../../docs/registry.md");
/// A seed that the timelines' snapshots don't use.
const SEED: u64 = 11;

/// The pages by name, and their text.
fn pages() -> Vec<(String, String)> {
    let folder = fs::read_dir(format!("{ROOT}/docs/runbooks")).expect("the folder is there");
    let mut pages: Vec<_> = folder
        .map(|entry| entry.expect("it can be listed").path())
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy();
            let text = fs::read_to_string(&path).expect("text");
            (name.into_owned(), text)
        })
        .collect();
    pages.sort();
    assert!(pages.len() > 4, "{pages:?}");
    pages
}

/// The fenced blocks of one kind.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines().map(str::trim_start) {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(opened)) if opened == kind => open = Some(String::new()),
            (None, _) => {}
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => *block += &format!("{line}\n"),
        }
    }
    blocks
}

/// The words in backticks outside of code blocks.
fn quoted(page: &str) -> BTreeSet<String> {
    let mut outside = true;
    let mut text = String::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            outside = !outside;
        } else if outside {
            text += line;
            text.push('\n');
        }
    }
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// The words of a text that could name something of ours.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '_')
        .filter(|word| word.contains('_'))
        .collect()
}

#[test]
fn every_page_is_listed_and_names_a_scenario() {
    let pages = pages();
    let (_, list) = pages
        .iter()
        .find(|(name, _)| name == "README.md")
        .expect("a list");
    for (name, page) in pages.iter().filter(|(name, _)| name != "README.md") {
        assert!(list.contains(&format!("({name})")), "{name} isn't listed");
        assert!(page.contains("scenarios/"), "{name} rehearses nothing");
    }
}

#[tokio::test]
async fn every_name_is_one_of_the_routers() {
    let world = World::up(Signer::from_seed("k1", [1; 32]).expect("a key")).await;
    let router = world.router().await;
    let metrics = router.admin("/metrics").await.body;
    let metrics = String::from_utf8(metrics.into()).expect("text");
    let (_, ready) = router.readyz().await;
    let mut known = words(EXAMPLE);
    known.extend(words(EVENTS));
    known.extend(words(REFUSALS));
    known.extend(words(METRICS));
    known.extend(words(ENVELOPES));
    known.extend(words(JWKS_CLIENT));
    known.extend(words(REGISTRY));
    known.extend(words(&metrics));
    known.extend(Reason::ALL.iter().map(|reason| reason.as_str()));
    let ready = ready.as_object().expect("an object");
    known.extend(ready.keys().map(String::as_str));
    for (name, page) in pages() {
        let commands = blocks(&page, "sh").concat();
        let quoted = quoted(&page).into_iter().collect::<Vec<_>>().join(" ");
        for word in words(&quoted) {
            assert!(known.contains(word), "{name}: there is no `{word}`");
        }
        let asked = words(&commands);
        for word in asked.iter().filter(|word| word.starts_with("cellway_")) {
            assert!(metrics.contains(*word), "{name}: no metric is `{word}`");
        }
    }
}

/// Puts the tables of `piece` over those of the example.
fn over_example(piece: &str) -> String {
    let mut config: Table = toml::from_str(EXAMPLE).expect("the example is TOML");
    let piece: Table = toml::from_str(piece).unwrap_or_else(|error| panic!("{error}\n{piece}"));
    for (name, value) in piece {
        match (config.get_mut(&name), value) {
            (Some(Value::Table(known)), Value::Table(value)) => known.extend(value),
            (_, value) => {
                config.insert(name, value);
            }
        }
    }
    config.to_string()
}

#[test]
fn every_piece_of_configuration_is_good() {
    let mut seen = 0;
    for (name, page) in pages() {
        for piece in blocks(&page, "toml") {
            let loaded = Config::load(&name, &over_example(&piece), []);
            assert!(loaded.is_ok(), "{}\n{piece}", loaded.expect_err("refused"));
            seen += 1;
        }
    }
    assert!(seen > 3, "only {seen} pieces were found");
}

#[test]
fn every_rehearsal_holds() {
    let mut seen = BTreeSet::new();
    for (name, page) in pages() {
        for line in blocks(&page, "sh").concat().lines() {
            let Some((_, rest)) = line.split_once("-p cellway-sim -- run ") else {
                assert!(!line.contains("cellway-sim"), "{name}: {line}");
                continue;
            };
            let file = rest.split(' ').next().expect("a file");
            if seen.insert(file.to_owned()) {
                let scenario = Scenario::load(format!("{ROOT}/{file}"));
                let report = scenario.unwrap_or_else(|e| panic!("{name}: {e}")).run(SEED);
                assert!(report.passed(), "{name}: {}", report.summary());
            }
        }
    }
    assert!(seen.len() > 4, "only {seen:?} were found");
}
