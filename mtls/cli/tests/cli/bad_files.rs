//! Every file that a configuration names, when it is missing, empty or junk: `check` refuses it,
//! `serve` doesn't start with it, and a reload keeps the old one.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use cellway_core::Unix;
use cellway_testbed::{Ca, CertificateSpec, Key, San, Usage, Validity};

use crate::serving::{Serving, get_with};
use crate::{Folder, run, token};

const CONFIG: &str = r#"
[[listener]]
name = "local"
bind = "127.0.0.1:0"

[[listener]]
name = "tls"
bind = "127.0.0.1:0"
tls = { certificate = "server.pem", key = "server.key", client_certificate = "optional" }

[[issuer]]
name = "main"
issuer = "https://idp.example"
audience = "cellway"
jwks_file = "keys.json"

[[policy]]
name = "default"
any_of = ["jwt", "mtls"]

[trust]
bundle = "clients-ca.pem"
trust_domains = ["example"]
san = ["spiffe://{trust_domain}/tenant/{tenant}"]
crl = ["clients.crl"]

[upstream]
bundle = "cells-ca.pem"
certificate = "router.pem"
key = "router.key"

[fetch]
bundle = "sources-ca.pem"

[envelope]
form = "jws"
keys = "sealing"

[registry]
file = "registry.json"

[log]
to = "stdout"
subject_key = "subject.key"
"#;

/// A file, and the setting that a message about it must name.
const FILES: [(&str, &str); 11] = [
    ("server.pem", "listener[1].tls"),
    ("server.key", "listener[1].tls"),
    ("keys.json", "issuer[0].jwks_file"),
    ("clients-ca.pem", "trust.bundle"),
    ("clients.crl", "trust.crl[0]"),
    ("cells-ca.pem", "upstream"),
    ("router.pem", "upstream"),
    ("router.key", "upstream"),
    ("sources-ca.pem", "fetch"),
    ("sealing/keys.toml", "envelope.keys"),
    ("subject.key", "log.subject_key"),
];

/// The bad contents of a file; `None`: it is missing.
const CONTENTS: [Option<&str>; 3] = [None, Some(""), Some("junk")];

fn now() -> Unix {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Unix::from_secs(now.as_secs())
}

/// A folder in which everything is good.
pub(crate) fn good(cell: u16) -> Folder {
    let folder = Folder::new();
    let validity = Validity::around(now(), Duration::from_secs(86_400));
    let ca = Ca::new("ca", &Key::from_seed([1; 32]), validity, 1).unwrap();
    for (name, usage, serial) in [("server", Usage::Server, 2), ("router", Usage::Client, 3)] {
        let own = San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let spec = CertificateSpec::new(name, own, usage, validity, serial);
        let key = Key::from_seed([serial as u8; 32]);
        folder.write_credential(name, &ca.issue(&spec, &key).unwrap());
    }
    for bundle in ["clients-ca.pem", "cells-ca.pem", "sources-ca.pem"] {
        folder.write(bundle, ca.pem());
    }
    folder.write("clients.crl", ca.revoke(&[], validity).unwrap());
    folder.write("subject.key", "k".repeat(32));
    let secret = fs::Permissions::from_mode(0o600);
    fs::set_permissions(folder.root().join("subject.key"), secret).unwrap();
    let registry = crate::REGISTRY.replace(":9\"", &format!(":{cell}\""));
    folder.write("registry.json", &registry);
    folder.write("cellway.toml", CONFIG);
    let config = folder.config();
    assert_eq!(run(&["envelope-key", "new", "-c", &config]).0, 0);
    let (code, _, err) = run(&["check", "-c", &config]);
    assert_eq!(code, 0, "{err}");
    folder
}

/// A cell that answers 200 to everything.
fn cell() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut head = [0; 16 << 10];
                while stream.read(&mut head).is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Spoils a file for as long as this lives.
struct Spoiled<'a> {
    folder: &'a Folder,
    name: &'a str,
    before: Vec<u8>,
}

impl<'a> Spoiled<'a> {
    fn new(folder: &'a Folder, name: &'a str, content: Option<&str>) -> Self {
        let path = folder.root().join(name);
        let before = fs::read(&path).unwrap();
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        Self {
            folder,
            name,
            before,
        }
    }
}

impl Drop for Spoiled<'_> {
    fn drop(&mut self) {
        let path = self.folder.root().join(self.name);
        fs::write(&path, &self.before).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// The status of a request with a good token.
fn ask(address: &str) -> String {
    let answer = get_with(address, "/", &token("acme", false));
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn check_and_start_refuse_each() {
    let folder = good(9);
    let config = folder.config();
    let registry = ("registry.json", "registry.file");
    for (name, setting) in FILES.into_iter().chain([registry]) {
        for content in CONTENTS {
            let _spoiled = Spoiled::new(&folder, name, content);
            for command in ["check", "serve"] {
                let (code, _, err) = run(&[command, "-c", &config]);
                let case = format!("{command} with {name} {content:?}: {code} {err}");
                assert_eq!(code, 1, "{case}");
                // With the line of the setting or of its table.
                let named = format!(": {setting}: ");
                let mut lines = err
                    .lines()
                    .filter(|line| line.starts_with(&format!("{config}:")));
                assert!(lines.any(|line| line.contains(&named)), "{case}");
                assert!(err.contains(name), "{case}");
            }
        }
    }
}

/// Catches: keys that are dropped because a file is missing, so that good tokens are refused.
#[test]
fn a_reload_keeps_what_is_in_force() {
    let folder = good(cell());
    let mut serving = Serving::start(&folder.config());
    let address = serving.address("local");
    assert_eq!(ask(&address), "200");
    for (name, setting) in FILES {
        for content in CONTENTS {
            let spoiled = Spoiled::new(&folder, name, content);
            serving.signal("-HUP");
            let refused = serving.wait("reload_refused");
            let error = refused["error"].as_str().unwrap();
            let case = format!("{name} {content:?}: {error}");
            assert!(error.contains(setting) && error.contains(name), "{case}");
            assert_eq!(ask(&address), "200", "{case}");
            drop(spoiled);
        }
    }
    // The registry has its own last-known-good copy, so a bad one doesn't block other changes.
    for content in [Some(""), Some("junk"), Some("{\"version\": 2}")] {
        let spoiled = Spoiled::new(&folder, "registry.json", content);
        // Whoever asks again is told again.
        for _ in 0..2 {
            serving.signal("-HUP");
            serving.wait("registry_refused");
        }
        assert_eq!(ask(&address), "200", "{content:?}");
        drop(spoiled);
    }
    // Another key file, which is missing: the good keys must stay.
    let moved = CONFIG.replace("\"keys.json\"", "\"nowhere.json\"");
    folder.write("cellway.toml", &moved);
    serving.signal("-HUP");
    let refused = serving.wait("reload_refused");
    assert!(refused["error"].as_str().unwrap().contains("nowhere.json"));
    assert_eq!(ask(&address), "200");
    // Once the file exists, its keys are used. No request meanwhile is without keys.
    fs::copy(
        folder.root().join("keys.json"),
        folder.root().join("nowhere.json"),
    )
    .unwrap();
    serving.signal("-HUP");
    serving.wait("reloaded");
    assert_eq!(ask(&address), "200");
}
