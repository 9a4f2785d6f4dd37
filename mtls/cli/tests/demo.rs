//! `cellway demo`, run as a newcomer runs it.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

const CELLWAY: &str = env!("CARGO_BIN_EXE_cellway");

/// A folder that doesn't exist yet.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn demo(folder: &PathBuf) -> Command {
    let mut command = Command::new(CELLWAY);
    command.arg("demo").arg("--dir").arg(folder);
    command
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
}

#[test]
fn every_row_is_as_expected() {
    let folder = folder("demo-exit");
    let output = demo(&folder).arg("--exit").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("All rows are as expected"));
    // The files that it leaves need its cells. It prints the commands that run them.
    let dir = folder.display();
    for said in [
        format!("`cellway demo --dir {dir}` runs everything again"),
        format!("\ncellway demo --dir {dir} --without-router\n"),
        format!("\ncellway serve --config {dir}/cellway.toml\n"),
    ] {
        assert!(text(&output).contains(&said), "{}", text(&output));
    }
    // Its configuration is valid.
    let config = folder.join("cellway.toml");
    let check = Command::new(CELLWAY)
        .args(["check", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", text(&check));
}

/// A demo that serves, ended when the test is done with it.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn its_commands_work_as_pasted() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("curl isn't installed: the demo's commands are not tested");
        return;
    }
    let mut command = demo(&folder("demo serves"));
    let mut child = Serving(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    // The commands stand between the folder's name and the last line.
    let commands: Vec<String> = lines
        .map(Result::unwrap)
        .skip_while(|line| !line.starts_with("Everything is in"))
        .skip(1)
        .take_while(|line| !line.starts_with("Ctrl-C"))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let answers: Vec<String> = commands.iter().map(|command| paste(command)).collect();
    let expected = [
        "\"cell\": \"premium-eu\"",
        "\"cell\": \"standard-us\"",
        "\"x-cellway-tenant\": \"initech\"",
        "missing_token",
        "<!doctype html>",
        "\"status\"",
        "cellway_authz_decisions_total",
        "is valid",
        "premium-eu",
    ];
    assert_eq!(commands.len(), expected.len(), "{commands:#?}");
    for ((command, answer), expected) in commands.iter().zip(&answers).zip(expected) {
        assert!(answer.contains(expected), "{command}\n{answer}");
    }
}

/// Runs a line in a shell, and returns what it prints.
fn paste(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().unwrap();
    assert!(output.status.success(), "{line}\n{}", text(&output));
    text(&output)
}
