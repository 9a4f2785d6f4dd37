//! The command line: its output, its exit codes, and what it does if its output can't be written.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A scenario that passes.
const GOOD: &str = concat!(
    include_str!("../examples/small.toml"),
    "[expect]\nrecovery = \"1s\"\n"
);

/// A run of it fails, because this event never happens.
const FAILING: &str = "[expect.events]\nreloaded = 1\n";

/// A folder of scenario files.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        for (file, text) in files {
            fs::write(path.join(file), text).unwrap();
        }
        Self(path)
    }

    fn sim(&self, arguments: &[&str], out: Stdio) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cellway-sim"))
            .args(arguments)
            .current_dir(&self.0)
            .stdout(out)
            .stderr(Stdio::piped())
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn exit_codes() {
    let failing = format!("{GOOD}{FAILING}");
    let files = [
        ("good.toml", GOOD),
        ("bad.toml", "about = 1"),
        ("failing.toml", failing.as_str()),
        ("wrong.json", "{}"),
    ];
    let folder = Folder::new("exit_codes", &files);
    for (arguments, code) in [
        (&["run", "good.toml"][..], 0),
        (&["check", "good.toml"], 0),
        (&["--help"], 0),
        (&["run", "failing.toml"], 1),
        (&["sweep", "failing.toml", "--seeds", "1"], 1),
        (&["run", "bad.toml"], 1),
        (&["check", "bad.toml"], 1),
        (&["sweep", "bad.toml"], 1),
        (&["run", "none.toml"], 1),
        (&["report", "good.toml", "-o", "good.html"], 0),
        (&["report", "failing.toml", "-o", "failing.html"], 0),
        (&["report", "bad.toml"], 1),
        (&["report", "none.toml"], 1),
        (&["report", "none.json"], 1),
        (&["report", "wrong.json"], 1),
        (&["report", "good.toml", "-o", "no/such/folder"], 1),
        (&["run", "good.toml", "--record", "no/such/folder"], 1),
        (&["check", "none.toml"], 1),
        (&["run", "good.toml", "--trace", "no/such/folder"], 1),
        (&["run"], 2),
        (&["walk"], 2),
        (&["run", "good.toml", "--seed", "x"], 2),
    ] {
        let output = folder.sim(arguments, Stdio::piped());
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
    }
}

/// Every write to `/dev/full` fails. None may panic.
#[test]
fn standard_output_is_full() {
    let folder = Folder::new("full", &[("good.toml", GOOD)]);
    for arguments in [
        &["run", "good.toml"][..],
        &["run", "good.toml", "--json"],
        &["check", "good.toml"],
        &["sweep", "good.toml", "--seeds", "1"],
        &["--help"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = folder.sim(arguments, full.into());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        let explains = said.contains("can't write to standard output");
        assert!(explains || arguments == ["--help"], "{said}");
    }
}

#[test]
fn standard_error_is_full() {
    let folder = Folder::new("full_error", &[("good.toml", GOOD)]);
    for (arguments, code) in [
        (&["run", "none.toml"][..], 1),
        (&["sweep", "good.toml", "--seeds", "1"], 0),
        (&["walk"], 2),
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let status = Command::new(env!("CARGO_BIN_EXE_cellway-sim"))
            .args(arguments)
            .current_dir(&folder.0)
            .stdout(Stdio::null())
            .stderr(full)
            .status();
        assert_eq!(status.unwrap().code(), Some(code), "{arguments:?}");
    }
}

/// The command in the report runs this program, and the run fails in the same way.
#[test]
fn the_replay_line_can_be_run() {
    let failing = format!("{GOOD}{FAILING}");
    let folder = Folder::new("replay", &[("it fails.toml", failing.as_str())]);
    for arguments in [
        &["run", "it fails.toml", "--seed", "3"][..],
        &["sweep", "it fails.toml", "--from", "3", "--seeds", "1"],
    ] {
        let output = folder.sim(arguments, Stdio::piped());
        let printed = text(&output.stdout);
        let line = printed
            .lines()
            .find_map(|line| line.trim().strip_prefix("replay: "));
        let line = line.unwrap_or_else(|| panic!("no replay line: {printed}"));
        let again = Command::new("sh")
            .args(["-c", line])
            .current_dir(&folder.0)
            .output()
            .unwrap();
        assert_eq!(again.status.code(), Some(1), "{line}: {again:?}");
        let again = text(&again.stdout);
        // A sweep names what is left of the scenario.
        let named = [
            "failed: it fails, seed 3",
            "failed: it fails-3-small, seed 3",
        ];
        assert!(
            named.iter().any(|name| again.contains(name)),
            "{line}: {again}"
        );
        assert!(again.contains("FAILED expect.events.reloaded"), "{again}");
    }
}

/// The other command in the report makes a page, and so does a recording of the same run.
#[test]
fn the_report_line_makes_a_page() {
    let failing = format!("{GOOD}{FAILING}");
    let crash = "[[fault]]\nat = \"5s\"\nfor = \"4s\"\nkind = \"crash\"\ntarget = \"blue\"\n";
    let crashing = format!("{GOOD}{crash}");
    let files = [
        ("it fails.toml", failing.as_str()),
        ("crash.toml", &crashing),
    ];
    let folder = Folder::new("report", &files);
    let record = ["--record", "run.json"];
    let run = [&["run", "it fails.toml", "--seed", "3"][..], &record].concat();
    let printed = text(&folder.sim(&run, Stdio::piped()).stdout);
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("report: "));
    let line = line.unwrap_or_else(|| panic!("no report line: {printed}"));
    let made = Command::new("sh")
        .args(["-c", line])
        .current_dir(&folder.0)
        .output()
        .unwrap();
    let said = text(&made.stdout);
    assert!(
        said.contains("seed 3, failed: expect.events.reloaded"),
        "{said}"
    );
    let page = fs::read_to_string(folder.0.join("report.html")).unwrap();
    assert!(page.contains("the event was seen 0 times"));
    let compare = |with| {
        let arguments = ["report", "run.json", "--against", with];
        let more = ["--against-seed", "3", "-o", "two.html"];
        let output = folder.sim(&[arguments, more].concat(), Stdio::piped());
        text(&output.stdout)
    };
    let same = compare("it fails.toml");
    assert!(same.contains("no request and no change differs"), "{same}");
    let other = compare("crash.toml");
    assert!(other.contains("first difference: web-0-"), "{other}");
}
