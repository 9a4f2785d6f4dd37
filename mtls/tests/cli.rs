//! The binary, as its users run it.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a test of the process"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use cellway_core::Unix;
use cellway_core::routing_key::Signed;
use cellway_mtls::lab::{Claims, Signer};

const CONFIG: &str = r#"
[[listener]]
name = "local"
bind = "127.0.0.1:0"

[[issuer]]
name = "main"
issuer = "https://idp.example"
audience = "cellway"
jwks_file = "keys.json"

[[policy]]
name = "default"
any_of = ["jwt"]

[registry]
file = "registry.json"

[admin]
bind = "127.0.0.1:0"

[log]
to = "stdout"
"#;

const REGISTRY: &str = r#"{"version": 1,
"cells": [{"id": "a", "tier": "std", "region": "eu", "state": "active",
           "endpoints": [{"url": "http://127.0.0.1:9"}]}],
"tenants": [{"id": "acme", "cell": "a"}, {"id": "late", "cell": "a", "status": "suspended"}]}"#;

/// A folder with a configuration and what it names; removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cellway-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let folder = Self(path);
        let signer = signer();
        folder.write("cellway.toml", CONFIG);
        folder.write("registry.json", REGISTRY);
        folder.write(
            "keys.json",
            &serde_json::json!({ "keys": [signer.jwk()] }).to_string(),
        );
        folder
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.0.join(name), content).unwrap();
    }

    fn config(&self) -> String {
        self.0.join("cellway.toml").display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn signer() -> Signer {
    Signer::from_seed("k1", [3; 32]).unwrap()
}

/// A token that holds until the year 2100 and longer than this test, or ended in 1970.
fn token(tenant: &str, expired: bool) -> String {
    let lifetime = Duration::from_secs(if expired { 60 } else { 4_102_444_800 });
    Claims::new(
        "https://idp.example",
        "cellway",
        Unix::from_secs(0),
        lifetime,
    )
    .tenant(tenant)
    .subject("alice")
    .sign(&signer())
    .unwrap()
}

fn cellway(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cellway"))
        .args(args)
        .output()
        .unwrap()
}

/// Exit code, standard output, standard error.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = cellway(args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn check_says_valid_or_every_mistake() {
    let folder = Folder::new("check");
    let config = folder.config();
    let (code, out, _) = run(&["check", "--config", &config]);
    assert_eq!((code, out), (0, format!("{config} is valid\n")));

    // The files that it names count, each with its setting.
    folder.write("keys.json", "{}");
    folder.write("registry.json", "{\"version\": 1, \"cells\": []}");
    let (code, _, err) = run(&["check", "--config", &config]);
    assert_eq!(code, 1);
    assert!(err.contains("issuer[0].jwks_file: "), "{err}");
    assert!(err.contains("registry.file: "), "{err}");

    folder.write("cellway.toml", &CONFIG.replace("audience", "audiance"));
    let (code, out, err) = run(&["check", "--config", &config]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains(&format!("{config}:9: issuer[0].audiance: ")),
        "{err}"
    );
    assert!(err.contains("did you mean `audience`?"), "{err}");

    let (code, _, err) = run(&["check", "--config", "/nowhere/cellway.toml"]);
    assert_eq!(code, 3);
    assert!(err.contains("can't read /nowhere/cellway.toml"), "{err}");
    assert_eq!(run(&["check"]).0, 2);
}

#[test]
fn explain_tells_each_step_and_what_follows() {
    let folder = Folder::new("explain");
    let config = folder.config();
    folder.write("token", &token("acme", false));
    let file = folder.0.join("token").display().to_string();
    let (code, out, err) = run(&["explain", "-c", &config, "--token-file", &file]);
    assert_eq!(code, 0, "{out}{err}");
    let out = out.replace(&folder.0.display().to_string(), "DIR");
    let expected = "\
policy default (required)
from  keys of https://idp.example at DIR/keys.json: read
from  file:DIR/registry.json: read
";
    assert!(out.starts_with(expected), "{out}");
    for check in [
        "token.signature",
        "token.times",
        "registry.loaded",
        "placement",
    ] {
        let passed = |line: &&str| line.starts_with("pass") && line.contains(check);
        assert!(out.lines().any(|line| passed(&line)), "{check} in {out}");
    }
    assert!(
        out.contains("allow verified: cell a by its own cell"),
        "{out}"
    );
    assert!(
        !out.contains("alice") && !out.contains(&token("acme", false)),
        "{out}"
    );

    let denied = [
        (vec![], "deny 401 missing_token: "),
        (vec![token("acme", true)], "deny 401 expired_token: "),
        (vec![token("late", false)], "deny 403 tenant_suspended: "),
        (vec![token("else", false)], "deny 403 tenant_unknown: "),
        (vec!["a.b.c".to_owned()], "deny 401 malformed_token: "),
    ];
    for (tokens, expected) in denied {
        let mut args = vec!["explain", "-c", &config];
        args.extend(tokens.iter().flat_map(|token| ["--token", token]));
        let (code, out, err) = run(&args);
        assert_eq!(code, 1, "{out}{err}");
        assert!(out.contains(expected), "{expected} in {out}");
        assert!(out.lines().any(|line| line.starts_with("FAIL")), "{out}");
    }

    let (_, out, _) = run(&["explain", "-c", &config, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["decision"]["reason"], "missing_token");
    assert_eq!(
        json["steps"].as_array().unwrap().last().unwrap()["passed"],
        false
    );

    let (code, _, err) = run(&["explain", "-c", &config, "--listener", "other"]);
    assert_eq!(code, 3);
    assert!(
        err.contains("no listener is called other; there is: local"),
        "{err}"
    );
}

const ROUTES: &str = r#"
[[listener.route]]
path = "/admin/**"
policy = "admin"
"#;

const RULES: &str = r#"
[[policy]]
name = "admin"
any_of = ["jwt"]

[[policy.rule]]
path = "/admin/**"
methods = ["GET"]
allow = "verified"

[[policy.rule]]
grpc = "admin.Cells/*"
allow = "verified"
"#;

const REGISTRY_TOML: &str = r#"
version = 1
[[cells]]
id = "a"
tier = "std"
region = "eu"
state = "active"
endpoints = [{ url = "http://127.0.0.1:9" }]
[[tenants]]
id = "acme"
cell = "a"
[[revocations]]
tenant = "acme"
sub = "mallory"
"#;

/// Catches: an explanation by the listener's policy where a route names another, rules that are
/// held against another request than the one described, revocations that TOML loses.
#[test]
fn explain_follows_routes_rules_and_revocations() {
    let folder = Folder::new("explain-routes");
    let config = CONFIG
        .replacen("[[issuer]]", &format!("{ROUTES}\n[[issuer]]"), 1)
        .replacen("registry.json", "registry.toml", 1);
    folder.write("cellway.toml", &format!("{config}{RULES}"));
    folder.write("registry.toml", REGISTRY_TOML);
    let config = folder.config();
    let token = token("acme", false);
    for (asked, code, policy, expected) in [
        (&["--path", "/orders"][..], 0, "default", "allow verified: "),
        (&["--path", "/admin/cells"], 0, "admin", "allow verified: "),
        (
            &["--path", "/admin/cells", "--method", "DELETE"],
            1,
            "admin",
            "deny 403 role_forbidden: ",
        ),
        // No policy is picked for it: it could have either.
        (
            &["--path", "/admin/../admin/cells"],
            1,
            "",
            "deny 400 ambiguous_request: ",
        ),
        (
            &["--path", "/admin.Cells/List", "--grpc"],
            0,
            "default",
            "allow verified: ",
        ),
    ] {
        let mut args = vec!["explain", "-c", &config, "--token", &token];
        args.extend(asked);
        let (found, out, err) = run(&args);
        assert_eq!(found, code, "{asked:?} {out}{err}");
        let named = out.contains(&format!("policy {policy} "));
        assert_eq!(named, !policy.is_empty(), "{asked:?} {out}");
        assert!(out.contains(expected), "{asked:?} {out}");
    }

    let revoked = REGISTRY_TOML.replacen("mallory", "alice", 1);
    folder.write("registry.toml", &revoked);
    let (code, out, _) = run(&["explain", "-c", &config, "--token", &token]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("deny 401 revoked: "), "{out}");
    assert!(!out.contains("alice"), "{out}");
}

#[test]
fn explain_shows_the_checks_of_a_routing_key() {
    let folder = Folder::new("explain-key");
    let jwk = signer().jwk();
    let keys = format!(
        "[[routing_key.signer]]\nkid = \"k1\"\ntenants = [\"acme\"]\n\
         jwk = {{ kty = \"OKP\", crv = \"Ed25519\", x = {} }}\n[registry]",
        jwk["x"]
    );
    let config = CONFIG.replace("[\"jwt\"]", "[\"jwt\", \"routing_key\"]");
    folder.write("cellway.toml", &config.replace("[registry]", &keys));
    let config = folder.config();
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let signature = signer().sign_routing_key(&Signed {
        kid: "k1",
        time: now.as_secs(),
        method: &http::Method::PUT,
        authority: "api.example",
        path: "/orders",
        key: "acme",
    });
    let signature = signature.unwrap();
    let ask = |path: &str, more: &[&str]| {
        let base = [
            "explain",
            "-c",
            &config,
            "--routing-key",
            "acme",
            "--path",
            path,
        ];
        let target = ["--method", "PUT", "--authority", "api.example"];
        run(&[&base[..], &target, more].concat())
    };
    let signed = ["--routing-key-signature", &signature];
    let (code, out, err) = ask("/orders", &signed);
    assert_eq!(code, 0, "{out}{err}");
    for check in [
        "routing_key.time",
        "routing_key.signature",
        "routing_key.sender",
    ] {
        let passed = |line: &&str| line.starts_with("pass") && line.contains(check);
        assert!(out.lines().any(|line| passed(&line)), "{check} in {out}");
    }
    let (code, _, err) = run(&[&["explain", "-c", &config], &signed[..]].concat());
    assert_eq!(code, 2, "a signature is over the authority");
    assert!(err.contains("--authority"), "{err}");
    for (path, more, expected) in [
        ("/other", &signed[..], "FAIL  routing_key.signature"),
        ("/orders", &[], "deny 401 untrusted_routing_key: "),
    ] {
        let (code, out, err) = ask(path, more);
        assert_eq!(code, 1, "{out}{err}");
        assert!(out.contains(expected), "{expected} in {out}");
    }
}

#[test]
fn help_is_complete_and_shows_examples() {
    for command in ["serve", "check", "explain", "envelope-key"] {
        let (code, out, _) = run(&[command, "--help"]);
        assert_eq!(code, 0);
        assert!(
            out.contains("Examples:") && out.contains("Exit codes:"),
            "{out}"
        );
    }
    let (_, out, _) = run(&["--help"]);
    assert!(out.contains("Exit codes:"), "{out}");
}

/// The configuration, with envelopes of this form.
fn sealing(form: &str) -> String {
    let envelope = format!("[envelope]\nform = \"{form}\"\nkeys = \"sealing\"\n");
    CONFIG.replace("[admin]", &format!("{envelope}\n[admin]"))
}

#[test]
fn envelope_keys_are_made_shown_and_removed() {
    let folder = Folder::new("envelope-keys");
    let config = folder.config();
    let key = |args: &[&str]| {
        let mut all = vec!["envelope-key", args[0], "-c", &config];
        all.extend(&args[1..]);
        run(&all)
    };
    let (code, _, err) = key(&["new"]);
    assert_eq!(code, 3);
    assert!(err.contains("add [envelope]"), "{err}");

    folder.write("cellway.toml", &sealing("jws"));
    let (code, _, err) = run(&["check", "-c", &config]);
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("envelope.keys: ") && err.contains("keys.toml"),
        "{err}"
    );
    assert_eq!(key(&["list"]).0, 3, "there is no folder yet");

    let (code, out, err) = key(&["new", "--kid", "first"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("first.pem: published from now on"), "{out}");
    assert_eq!(run(&["check", "-c", &config]).0, 0);
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        let metadata = fs::metadata(folder.0.join("sealing").join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(
        (mode(""), mode("first.pem"), mode("keys.toml")),
        (0o700, 0o600, 0o600)
    );

    // The next one waits; a third must, until that one signs.
    assert_eq!(key(&["new"]).0, 0);
    let (_, out, _) = key(&["list"]);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("first: in use (added "), "{out}");
    assert!(lines[1].contains(": waits (added "), "{out}");
    let (code, _, err) = key(&["new"]);
    assert_eq!(code, 3);
    assert!(err.contains("waits already"), "{err}");
    let (code, out, _) = key(&["prune"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("every key is needed still; one can be removed from 2")
            && out.contains("(in "),
        "{out}"
    );
    for bad in [
        &["new", "--cell", "a"][..],
        &["replace", "--kid", "../x"],
        &["replace", "--kid", "first"],
    ] {
        assert_eq!(key(bad).0, 3, "{bad:?}");
    }

    let (code, out, err) = key(&["replace", "--kid", "second"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("removed: first, "), "{out}");
    let left: Vec<_> = fs::read_dir(folder.0.join("sealing")).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(run(&["check", "-c", &config]).0, 0);

    // Long after the next one has begun, the old one can go.
    let index = folder.0.join("sealing/keys.toml");
    let text = fs::read_to_string(&index).unwrap();
    let old = "\n[[key]]\nkid = \"old\"\nadded = 1\nsign_from = 1\n";
    let text = text
        .replace("sign_from = 1", "sign_from = 1000 # 1")
        .replace("added = 1", "added = 500 # 1");
    fs::write(&index, text + old).unwrap();
    let (_, out, _) = key(&["list"]);
    assert!(out.contains("old: can be pruned"), "{out}");
    let (code, out, err) = key(&["prune"]);
    assert_eq!((code, out.as_str()), (0, "removed: old\n"), "{err}");
}

#[test]
fn shared_envelope_keys_are_one_for_each_cell() {
    let folder = Folder::new("shared-keys");
    let config = folder.config();
    folder.write("cellway.toml", &sealing("hmac"));
    let new = |args: &[&str]| {
        let mut all = vec!["envelope-key", "new", "-c", &config];
        all.extend(args);
        run(&all)
    };
    let (code, _, err) = new(&[]);
    assert_eq!(code, 3);
    assert!(err.contains("--cell"), "{err}");
    assert_eq!(new(&["--cell", "b"]).0, 0);
    // The registry has a cell without one.
    let (code, _, err) = run(&["check", "-c", &config]);
    assert_eq!(code, 1);
    assert!(err.contains("no key is shared with cell `a`"), "{err}");
    let hint = format!("cellway envelope-key new -c {config} --cell a");
    assert!(err.contains(&hint), "{err}");
    folder.write("token", &token("acme", false));
    let file = folder.0.join("token").display().to_string();
    let explain = || run(&["explain", "-c", &config, "--token-file", &file]);
    let (code, out, _) = explain();
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("503 envelope_unavailable"), "{out}");

    let (code, out, err) = new(&["--cell", "a", "--kid", "a-1"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("a-1.key: take it to cell `a`"), "{out}");
    assert_eq!(run(&["check", "-c", &config]).0, 0);
    let (code, out, _) = explain();
    assert_eq!(code, 0, "{out}");
    assert!(out.ends_with("envelope: hmac under key a-1\n"), "{out}");

    // The same secret for two cells, and for a router that starts.
    let keys = folder.0.join("sealing");
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
    let folder = Folder::new("same-second");
    let config = folder.config();
    folder.write("cellway.toml", &sealing("hmac"));
    let new = |kid| {
        let cell = ["--cell", "a", "--wait-secs", "3600", "--kid", kid];
        run(&[&["envelope-key", "new", "-c", &config], &cell[..]].concat())
    };
    assert_eq!(new("one").0, 0);
    let index = folder.0.join("sealing/keys.toml");
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
    assert!(err.contains("waits already"), "{err}");
}

#[test]
fn an_answer_that_cannot_be_printed_is_no_panic() {
    let folder = Folder::new("unprinted");
    let config = folder.config();
    folder.write("cellway.toml", &sealing("jws"));
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
    let folder = Folder::new("locked-keys");
    folder.write("cellway.toml", &sealing("jws"));
    let new = || run(&["envelope-key", "new", "-c", &folder.config()]);
    assert_eq!(new().0, 0);
    let held = fs::File::open(folder.0.join("sealing")).unwrap();
    held.lock().unwrap();
    let (code, _, err) = new();
    assert_eq!(code, 3);
    assert!(err.contains("another command works on"), "{err}");
    drop(held);
    assert_eq!(new().0, 0);
}

/// A router in a process of its own, ended with the test.
struct Serving {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Serving {
    fn start(config: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cellway"))
            .args(["serve", "--config", config])
            .env("CELLWAY__RUNTIME__WORKERS", "2")
            // Long, so that what the tests see came of what they asked for.
            .env("CELLWAY__RUNTIME__WATCH_SECS", "3600")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Waits for the next line of this event (and, for `listening`, of this listener).
    fn wait(&mut self, event: &str, listener: Option<&str>) -> serde_json::Value {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.lines.read_line(&mut line).unwrap();
            assert!(read > 0, "the log ended before {event}");
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            if value["event"] == event && listener.is_none_or(|name| value["listener"] == name) {
                return value;
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn serve_listens_reloads_and_drains() {
    let folder = Folder::new("serve");
    let mut serving = Serving::start(&folder.config());
    let address = |line: serde_json::Value| line["address"].as_str().unwrap().to_owned();
    let public = address(serving.wait("listening", Some("local")));
    let admin = address(serving.wait("listening", Some("admin")));
    serving.wait("registry_applied", None);

    let answer = get(&public, "/");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(serving.wait("authz_deny", None)["reason"], "missing_token");
    assert!(get(&admin, "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(get(&admin, "/readyz").contains("\"status\":\"ready\""));
    assert!(get(&admin, "/metrics").contains("reason=\"missing_token\"} 1"));
    assert!(get(&admin, "/other").starts_with("HTTP/1.1 404 "));

    reloads_what_is_good_only(&folder.0, &mut serving);
    assert!(get(&public, "/").starts_with("HTTP/1.1 401 "));

    serving.signal("-TERM");
    serving.wait("drained", None);
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn serve_shows_which_key_seals_and_which_is_next() {
    let folder = Folder::new("serve-keys");
    folder.write("cellway.toml", &sealing("jws"));
    let config = folder.config();
    let new = |kid| run(&["envelope-key", "new", "-c", &config, "--kid", kid]).0;
    assert_eq!(new("k1"), 0);
    let mut serving = Serving::start(&config);
    let address = |line: serde_json::Value| line["address"].as_str().unwrap().to_owned();
    let public = address(serving.wait("listening", Some("local")));
    let admin = address(serving.wait("listening", Some("admin")));
    let page = |path: &str| {
        let answer = get(&admin, path);
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        serde_json::from_str::<serde_json::Value>(body).unwrap()
    };
    let envelope = page("/readyz")["envelope"].clone();
    assert_eq!(
        envelope,
        serde_json::json!({"form": "jws", "signing_kid": "k1"})
    );
    let keys = "/.well-known/cellway/jwks.json";
    assert_eq!(page(keys)["keys"].as_array().unwrap().len(), 1);

    // No restart: the next key is published before it signs.
    assert_eq!(new("k2"), 0);
    serving.signal("-HUP");
    serving.wait("reloaded", None);
    let envelope = page("/readyz")["envelope"].clone();
    assert_eq!(
        (&envelope["signing_kid"], &envelope["next_kid"]),
        (&"k1".into(), &"k2".into())
    );
    assert!(envelope["next_from"].as_u64().is_some(), "{envelope}");
    assert_eq!(page(keys)["keys"].as_array().unwrap().len(), 2);
    assert!(get(&public, keys).contains("\"kid\":\"k2\""));
    let missing = get(&public, "/.well-known/cellway/other.json");
    assert!(missing.starts_with("HTTP/1.1 401 "), "{missing}");
}

fn reloads_what_is_good_only(folder: &Path, serving: &mut Serving) {
    let file = folder.join("cellway.toml");
    fs::write(&file, CONFIG.replace("any_of", "anyof")).unwrap();
    serving.signal("-HUP");
    let refused = serving.wait("reload_refused", None);
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains("policy[0].anyof"), "{error}");

    // What is set once for good is refused, too, and says so.
    fs::write(&file, CONFIG.replace("to = \"stdout\"", "to = \"stderr\"")).unwrap();
    serving.signal("-HUP");
    let refused = serving.wait("reload_refused", None);
    assert!(
        refused["error"].as_str().unwrap().contains("restart"),
        "{refused}"
    );

    fs::write(&file, CONFIG).unwrap();
    serving.signal("-HUP");
    serving.wait("reloaded", None);
}

#[test]
fn serve_says_why_it_cannot_start() {
    let folder = Folder::new("nostart");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = CONFIG.replacen("127.0.0.1:0", &address, 1);
    folder.write("cellway.toml", &config);
    let (code, _, err) = run(&["serve", "-c", &folder.config()]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains(&address) && err.contains("local"), "{err}");

    folder.write("cellway.toml", "");
    let (code, _, err) = run(&["serve", "-c", &folder.config()]);
    assert_eq!(code, 1, "{err}");
}
