//! Every command in the runbooks exists in the binary.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a test of the process"
)]

use std::fs;
use std::process::Command;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/runbooks");
const ADMIN: &str = include_str!("../../router/src/observe/admin/mod.rs");

/// All command lines in the pages' `sh` blocks.
fn commands() -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(FOLDER).unwrap() {
        let page = fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut inside = false;
        for line in page.lines().map(str::trim) {
            match line.strip_prefix("```") {
                Some(kind) => inside = kind == "sh",
                None if inside => lines.push(line.to_owned()),
                None => {}
            }
        }
    }
    lines
}

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_cellway"))
        .args(command)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "there is no `cellway {command:?}`");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_binary_has_every_command() {
    let commands = commands();
    let mut seen = 0;
    for line in commands
        .iter()
        .filter_map(|line| line.strip_prefix("cellway "))
    {
        let words: Vec<_> = line.split_whitespace().collect();
        let mut help_of = help(&words[..1]);
        if help_of.contains("\nCommands:\n") {
            help_of = help(&words[..2]);
        }
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(
                help_of.contains(flag),
                "`cellway {line}`: no flag is {flag}"
            );
        }
        seen += 1;
    }
    assert!(seen > 2, "only {seen} were found");
}

#[test]
fn the_admin_listener_has_every_page() {
    let mut seen = 0;
    for line in &commands() {
        if let Some((_, rest)) = line.split_once("127.0.0.1:9901") {
            let path = rest.split_whitespace().next().expect("a path");
            assert!(
                ADMIN.contains(&format!("\"{path}\"")),
                "{line}: no page is {path}"
            );
            seen += 1;
        }
    }
    assert!(seen > 2, "only {seen} were found");
}
