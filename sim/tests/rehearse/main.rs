//! `rehearse`: what a change of a configuration and its registry does.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cellway_sim::Scenario;
use cellway_sim::rehearse::{Kind, Rehearsal, Report, Side};

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rehearse/shop");

/// Two folders, `old` and `new`.
struct Folders(PathBuf);

impl Folders {
    /// The shop before its change, twice.
    fn same(test: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("rehearse-{test}"));
        let folders = Self(path);
        for side in ["old", "new"] {
            fs::create_dir_all(folders.0.join(side)).unwrap();
            for file in ["cellway.toml", "registry.json"] {
                let text = fs::read_to_string(Path::new(SHOP).join("old").join(file)).unwrap();
                fs::write(folders.0.join(side).join(file), text).unwrap();
            }
        }
        folders
    }

    /// Replaces a text in a file.
    fn with(self, file: &str, old: &str, new: &str) -> Self {
        let path = self.0.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{old}");
        fs::write(path, text.replace(old, new)).unwrap();
        self
    }

    fn without(self, file: &str) -> Self {
        fs::remove_file(self.0.join(file)).unwrap();
        self
    }

    fn side(&self, side: &str) -> Side {
        Side::load(&self.0.join(side), None).unwrap_or_else(|error| panic!("{error}"))
    }

    fn rehearsal(&self) -> Rehearsal {
        Rehearsal::new(self.side("old"), self.side("new")).unwrap()
    }

    fn report(&self) -> Report {
        self.rehearsal().report()
    }

    fn sim(&self, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cellway-sim"))
            .args(["rehearse", "--from", "old", "--to", "new"])
            .args(more)
            .current_dir(&self.0)
            .output()
            .unwrap()
    }
}

fn shown(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{out}{err}")
}

#[track_caller]
fn ends(output: &Output, code: i32, with: &str) {
    let shown = shown(output);
    assert_eq!(output.status.code(), Some(code), "{shown}");
    assert!(shown.contains(with), "{with}: {shown}");
}

/// The changes of decisions, one in a line.
fn changes(report: &Report) -> Vec<String> {
    let changes = report.decisions.changes.iter();
    let line = |it: &cellway_sim::rehearse::Change| {
        let (requests, callers) = (it.requests.join(", "), it.callers.join(", "));
        format!(
            "{} {} [{}] {requests} by {callers}: {} -> {}",
            it.tenants,
            it.example,
            it.kind.as_str(),
            it.before,
            it.after
        )
    };
    changes.map(line).collect()
}

#[test]
fn the_shop_s_decisions() {
    let side = |side: &str| Side::load(&Path::new(SHOP).join(side), None).unwrap();
    let report = Rehearsal::new(side("old"), side("new")).unwrap().report();
    insta::assert_snapshot!(changes(&report).join("\n"));
    assert_eq!((report.blast.tenants, report.blast.tenants_of), (2, 5));
    assert!(!report.passed(&[]));
    assert!(!report.passed(&[Kind::Moved]));
    assert!(report.passed(&Kind::ALL));
}

/// Nothing changes, so nothing is told.
#[test]
fn no_change() {
    let report = Folders::same("no-change").report();
    assert_eq!(changes(&report), Vec::<String>::new());
    assert!(report.passed(&[]), "{}", report.text(&[]));
}

/// Callers keep the tokens that they have, so another audience refuses them.
#[test]
fn tokens_in_use() {
    let (old, new) = ("audience = \"cellway\"", "audience = \"shop\"");
    let report = Folders::same("tokens")
        .with("new/cellway.toml", old, new)
        .report();
    let changes = changes(&report);
    let refused = changes
        .iter()
        .any(|it| it.contains("allow eu-1 -> deny 401 wrong_audience"));
    assert!(refused, "{changes:#?}");
    assert!(
        !changes.iter().any(|it| it.contains("by certificate")),
        "{changes:#?}"
    );
}

/// An issuer that is gone, and one that is new.
#[test]
fn issuers_come_and_go() {
    let (old, new) = (
        "name = \"main\"\nissuer = \"https://idp.example\"",
        "name = \"other\"\nissuer = \"https://other.example\"",
    );
    let report = Folders::same("issuers")
        .with("new/cellway.toml", old, new)
        .report();
    let changes = changes(&report);
    for part in [
        "by token of main: allow eu-1 -> deny 401 wrong_issuer",
        "by token of other: deny 401 wrong_issuer -> allow eu-1",
    ] {
        assert!(
            changes.iter().any(|it| it.contains(part)),
            "{part}: {changes:#?}"
        );
    }
}

/// Running routers would not take it, so it fails whatever decisions say.
#[test]
fn refused_changes() {
    let older = Folders::same("older")
        .with("old/registry.json", "\"version\": 1", "\"version\": 7")
        .with(
            "new/registry.json",
            "\"eu-2\" }",
            "\"eu-2\", \"default_role\": \"viewer\" }",
        );
    let report = older.report();
    assert!(
        report.notes[0].text.contains("refuse the new registry"),
        "{:?}",
        report.notes
    );
    assert!(!report.passed(&Kind::ALL));
    let moved = Folders::same("moved").with("new/cellway.toml", ":8443", ":9443");
    let report = moved.report();
    assert!(
        report.notes[0]
            .text
            .contains("listener[0].bind can't change"),
        "{:?}",
        report.notes
    );
    assert!(!report.passed(&Kind::ALL));
}

/// The scenario of the change is one that the other commands take.
#[test]
fn the_scenario_parses() {
    let side = |side: &str| Side::load(&Path::new(SHOP).join(side), None).unwrap();
    let rehearsal = Rehearsal::new(side("old"), side("new")).unwrap();
    let scenarios: Vec<_> = rehearsal.scenarios().collect();
    let [(listener, text)] = &scenarios[..] else {
        panic!("{scenarios:?}");
    };
    assert_eq!(*listener, "public");
    let scenario = Scenario::parse("change.toml", text).unwrap();
    assert_eq!((scenario.cells.len(), scenario.tenants.len()), (2, 5));
    // The registry, two routers, and two cells that are slow for a while.
    assert_eq!(scenario.faults.len(), 5, "{text}");
}

/// The example of all settings is rehearsed too, and each setting that isn't simulated has a reason.
#[test]
fn the_example_is_derived() {
    let example = include_str!("../../../docs/cellway.example.toml");
    let folders = Folders::same("example");
    for side in ["old", "new"] {
        fs::write(folders.0.join(side).join("cellway.toml"), example).unwrap();
    }
    let rehearsal = folders.rehearsal();
    assert_eq!(rehearsal.scenarios().count(), 1);
    let left = rehearsal.report().not_simulated;
    for it in &left {
        let is_reason = !it.why.contains("refuses") && !it.why.contains("know it");
        assert!(is_reason, "{it:?}");
    }
    let named = left.iter().flat_map(|it| &it.settings);
    let named: Vec<_> = named.map(String::as_str).collect();
    for setting in [
        "listener[0].bind",
        "headers.prefix",
        "log.level",
        "trust.san",
        "state.directory",
    ] {
        assert!(named.contains(&setting), "{setting}: {named:?}");
    }
}

#[test]
fn mistakes() {
    ends(
        &Folders::same("folder")
            .without("new/cellway.toml")
            .sim(&["--decisions-only"]),
        3,
        "can't read new/cellway.toml: ",
    );
    ends(
        &Folders::same("setting")
            .with("new/cellway.toml", "header_timeout_ms", "header_timeout")
            .sim(&["--decisions-only"]),
        2,
        "new/cellway.toml:39: upstream.header_timeout",
    );
    // The cell of a tenant is gone.
    ends(
        &Folders::same("cell")
            .with("new/registry.json", "\"id\": \"eu-2\"", "\"id\": \"eu-3\"")
            .sim(&["--decisions-only"]),
        2,
        "new/registry.json: ",
    );
    let url = "url = \"https://control.example/manage/cells\"";
    ends(
        &Folders::same("control-plane")
            .with("old/cellway.toml", "file = \"registry.json\"", url)
            .without("old/registry.json")
            .sim(&["--decisions-only"]),
        2,
        "put its document into the folder as registry.json",
    );
    ends(
        &Folders::same("ways").sim(&["--allow", "some"]),
        2,
        "write refused, allowed, moved, other or all",
    );
}

#[test]
fn formats() {
    let suspended = Folders::same("formats").with(
        "new/registry.json",
        "\"initech\", \"cell\": \"eu-2\"",
        "\"initech\", \"cell\": \"eu-2\", \"status\": \"suspended\"",
    );
    // The version must grow.
    let suspended = suspended.with("new/registry.json", "\"version\": 1", "\"version\": 2");
    for (format, part) in [
        ("text", "FAILED: decisions change (refused, 1 tenant)"),
        ("json", "\"kind\": \"refused\""),
        (
            "junit",
            "<failure message=\"decisions change: other, refused\">",
        ),
        (
            "markdown",
            "| 1 | standard at eu-2 | GET /orders/x of every caller |",
        ),
    ] {
        ends(
            &suspended.sim(&["--decisions-only", "--format", format]),
            1,
            part,
        );
    }
    let allowed = ["--decisions-only", "--allow", "refused,other"];
    ends(&suspended.sim(&allowed), 0, "PASSED");
}

/// Cells that answer in time before the change are too slow after it.
#[test]
fn a_shorter_timeout_loses_requests() {
    let (old, new) = ("header_timeout_ms = 5000", "header_timeout_ms = 2000");
    let shorter = Folders::same("timeout").with("new/cellway.toml", old, new);
    let output = shorter.sim(&["--seeds", "1", "--shrink-runs", "0"]);
    ends(&output, 1, "requests are lost");
    assert!(
        shown(&output).contains("cell_timeout_header"),
        "{}",
        shown(&output)
    );
    assert!(shown(&output).contains("none of "), "{}", shown(&output));
}

/// A tenant moves, a cell comes and a policy asks for more, and nobody is lost.
#[test]
fn a_good_change_loses_nothing() {
    let good = Folders::same("good")
        .with("new/registry.json", "\"version\": 1", "\"version\": 2")
        .with("new/registry.json", "\"acme\", \"cell\": \"eu-1\"", "\"acme\", \"cell\": \"eu-3\"")
        .with(
            "new/registry.json",
            "\"cells\": [\n",
            "\"cells\": [\n{ \"id\": \"eu-3\", \"tier\": \"standard\", \"region\": \"eu\", \
             \"state\": \"active\", \"endpoints\": [{ \"url\": \"https://eu-3.internal:8443\" }] },\n",
        );
    let output = good.sim(&["--allow", "moved", "--faults", "--seeds", "1"]);
    ends(&output, 0, "no request is lost because of the change");
    assert!(
        shown(&output).contains("allow eu-1 -> allow eu-3"),
        "{}",
        shown(&output)
    );
}
