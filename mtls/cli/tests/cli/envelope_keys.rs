//! `cellway envelope-key`, and answers that cannot be printed.

use std::fs;
use std::process::{Command, Stdio};

use crate::{Folder, run, sealing, token};

/// Runs a command of `envelope-key` on this folder's configuration.
fn key(folder: &Folder, args: &[&str]) -> (i32, String, String) {
    let config = folder.config();
    let mut all = vec!["envelope-key", args[0], "-c", &config];
    all.extend(&args[1..]);
    run(&all)
}

/// A folder whose envelopes are signed, with this key.
fn with_key(kid: &str) -> Folder {
    let folder = Folder::new();
    folder.write("cellway.toml", sealing("jws"));
    let (code, out, err) = key(&folder, &["new", "--kid", kid]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&format!("{kid}.pem: published now")), "{out}");
    folder
}

#[test]
fn a_configuration_without_envelopes_or_keys_is_refused() {
    let folder = Folder::new();
    let (code, _, err) = key(&folder, &["new"]);
    assert_eq!(code, 2);
    assert!(err.contains("add [envelope]"), "{err}");

    folder.write("cellway.toml", sealing("jws"));
    let (code, _, err) = run(&["check", "-c", &folder.config()]);
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("envelope.keys: ") && err.contains("keys.toml"),
        "{err}"
    );
    assert_eq!(key(&folder, &["list"]).0, 3, "there is no folder yet");
}

#[test]
fn only_the_owner_can_read_new_envelope_keys() {
    let folder = with_key("first");
    assert_eq!(run(&["check", "-c", &folder.config()]).0, 0);
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        let metadata = fs::metadata(folder.root().join("sealing").join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(
        (mode(""), mode("first.pem"), mode("keys.toml")),
        (0o700, 0o600, 0o600)
    );
}

/// The next key waits. A third must wait until the next key signs.
#[test]
fn one_envelope_key_waits_at_a_time() {
    let folder = with_key("first");
    assert_eq!(key(&folder, &["new"]).0, 0);
    let (_, out, _) = key(&folder, &["list"]);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("first: in use (added "), "{out}");
    assert!(lines[1].contains(": waits (added "), "{out}");
    let (code, _, err) = key(&folder, &["new"]);
    assert_eq!(code, 3);
    assert!(err.contains("already waits"), "{err}");
    let (code, out, _) = key(&folder, &["prune"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("every key is still needed; the first can be removed from 2")
            && out.contains("(in "),
        "{out}"
    );
    for (bad, code) in [
        (&["new", "--cell", "a"][..], 2),
        (&["replace", "--kid", "../x"], 2),
        (&["replace", "--kid", "first"], 3),
    ] {
        assert_eq!(key(&folder, bad).0, code, "{bad:?}");
    }
}

#[test]
fn replaced_and_old_envelope_keys_are_removed() {
    let folder = with_key("first");
    assert_eq!(key(&folder, &["new"]).0, 0);
    let (code, out, err) = key(&folder, &["replace", "--kid", "second"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("removed: first, "), "{out}");
    let left: Vec<_> = fs::read_dir(folder.root().join("sealing"))
        .unwrap()
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(run(&["check", "-c", &folder.config()]).0, 0);

    // Long after the next key began to sign, the old key can be removed.
    let index = folder.root().join("sealing/keys.toml");
    let text = fs::read_to_string(&index).unwrap();
    let old = "\n[[key]]\nkid = \"old\"\nadded = 1\nsign_from = 1\n";
    let text = text
        .replace("sign_from = 1", "sign_from = 1000 # 1")
        .replace("added = 1", "added = 500 # 1");
    fs::write(&index, text + old).unwrap();
    let (_, out, _) = key(&folder, &["list"]);
    assert!(out.contains("old: can be pruned"), "{out}");
    let (code, out, err) = key(&folder, &["prune"]);
    assert_eq!((code, out.as_str()), (0, "removed: old\n"), "{err}");
}

#[test]
fn shared_envelope_keys_are_one_for_each_cell() {
    let folder = Folder::new();
    let config = folder.config();
    folder.write("cellway.toml", sealing("hmac"));
    let new = |args: &[&str]| {
        let mut all = vec!["envelope-key", "new", "-c", &config];
        all.extend(args);
        run(&all)
    };
    let (code, _, err) = new(&[]);
    assert_eq!(code, 2);
    assert!(err.contains("--cell"), "{err}");
    assert_eq!(new(&["--cell", "b"]).0, 0);
    // The registry has a cell without one.
    let (code, _, err) = run(&["check", "-c", &config]);
    assert_eq!(code, 1);
    assert!(err.contains("has no key for cell `a`"), "{err}");
    let hint = format!("cellway envelope-key new -c {config} --cell a");
    assert!(err.contains(&hint), "{err}");
    folder.write("token", token("acme", false));
    let file = folder.root().join("token").display().to_string();
    let explain = || run(&["explain", "-c", &config, "--token-file", &file]);
    let (code, out, _) = explain();
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("503 envelope_unavailable"), "{out}");

    let (code, out, err) = new(&["--cell", "a", "--kid", "a-1"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("a-1.key: copy it to cell `a`"), "{out}");
    assert_eq!(run(&["check", "-c", &config]).0, 0);
    let (code, out, _) = explain();
    assert_eq!(code, 0, "{out}");
    assert!(out.ends_with("envelope: hmac under key a-1\n"), "{out}");

    // The same secret for two cells, and for a router that starts.
    let keys = folder.root().join("sealing");
    let other = fs::read_dir(&keys)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let other = other.filter(|path| path.extension().is_some_and(|e| e == "key"));
    let other = other
        .into_iter()
        .find(|path| !path.ends_with("a-1.key"))
        .unwrap();
    fs::copy(keys.join("a-1.key"), other).unwrap();
    for command in ["check", "serve"] {
        let (code, _, err) = run(&[command, "-c", &config]);
        assert_ne!(code, 0);
        assert!(err.contains("are the same secret"), "{err}");
    }
    // Nothing is added to a folder that no router takes.
    assert_eq!(new(&["--cell", "c"]).0, 3);
}

/// Two keys that begin in the same second are in no order, and routers refuse them.
#[test]
fn keys_made_in_one_second_are_used_one_after_the_other() {
    let folder = Folder::new();
    let config = folder.config();
    folder.write("cellway.toml", sealing("hmac"));
    let new = |kid| {
        let cell = ["--cell", "a", "--wait-secs", "3600", "--kid", kid];
        run(&[&["envelope-key", "new", "-c", &config], &cell[..]].concat())
    };
    assert_eq!(new("one").0, 0);
    let index = folder.root().join("sealing/keys.toml");
    let begins = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with("sign_from"))
            .unwrap();
        line.split(' ').nth(2).unwrap().parse::<u64>().unwrap()
    };
    let first = begins(&fs::read_to_string(&index).unwrap());
    let second = new("two");
    assert_eq!(second.0, 0, "{}", second.2);
    let text = fs::read_to_string(&index).unwrap();
    let last = begins(text.rsplit("[[key]]").next().unwrap());
    assert!(last > first, "{text}");
    let (code, _, err) = run(&["check", "-c", &config]);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = new("three");
    assert_eq!(code, 3);
    assert!(err.contains("already waits"), "{err}");
}

#[test]
fn an_answer_that_cannot_be_printed_is_no_panic() {
    let folder = Folder::new();
    let config = folder.config();
    folder.write("cellway.toml", sealing("jws"));
    let run = |args: &[&str], out: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cellway"));
        let output = command.args(args).args(["-c", &config]).stdout(out);
        let output = output.stderr(Stdio::piped()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), err)
    };
    let full = || Stdio::from(fs::File::create("/dev/full").unwrap());
    let gone = || Stdio::from(std::io::pipe().unwrap().1);
    let new = ["envelope-key", "new", "--kid", "first"];
    let (code, err) = run(&new, full());
    assert_eq!(code, 3, "{err}");
    assert!(
        err.contains("can't write to standard output") && err.contains("first.pem: published"),
        "{err}"
    );
    for (command, exit) in [
        (&["envelope-key", "list"][..], 0),
        (&["check"], 0),
        (&["explain"], 1),
    ] {
        let (code, err) = run(command, full());
        assert_eq!(code, 3, "{command:?}: {err}");
        assert!(err.contains("can't write to standard output"), "{err}");
        assert_eq!(run(command, gone()), (exit, String::new()), "{command:?}");
    }
}

#[test]
fn only_one_command_changes_envelope_keys_at_a_time() {
    let folder = Folder::new();
    folder.write("cellway.toml", sealing("jws"));
    let new = || run(&["envelope-key", "new", "-c", &folder.config()]);
    assert_eq!(new().0, 0);
    let held = fs::File::open(folder.root().join("sealing")).unwrap();
    held.lock().unwrap();
    let (code, _, err) = new();
    assert_eq!(code, 3);
    assert!(err.contains("another command works on"), "{err}");
    drop(held);
    assert_eq!(new().0, 0);
}
