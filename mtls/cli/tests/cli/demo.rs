//! `cellway demo --without-router` and `cellway serve`: what the demo writes, served by the binary.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::run;
use crate::serving::Serving;

const README: &str = include_str!("../../../../README.md");

/// Everything around a router. It ends with the test.
struct Surroundings {
    child: Child,
    folder: PathBuf,
}

impl Surroundings {
    /// Runs until the configuration is written.
    fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        let child = Command::new(env!("CARGO_BIN_EXE_cellway"))
            .args(["demo", "--without-router", "--dir"])
            .arg(&folder)
            .stdout(Stdio::piped())
            .spawn();
        let mut surroundings = Self {
            child: child.unwrap(),
            folder,
        };
        let said = surroundings.child.stdout.take().unwrap();
        let mut said = BufReader::new(said).lines().map(Result::unwrap);
        assert!(said.any(|line| line.starts_with("Ctrl-C")), "it ended");
        surroundings
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn curl(&self, public: &str, arguments: &[&str]) -> String {
        let output = Command::new("curl")
            .args(["-sS", "--cacert", &self.path("ca.pem")])
            .args(arguments)
            .arg(format!("https://{public}/orders"))
            .output()
            .unwrap();
        let (out, err) = (&output.stdout, &output.stderr);
        String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
    }
}

impl Drop for Surroundings {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Catches: a valid setup whose router answers 502 or 503 because its cells don't run.
#[test]
fn what_the_demo_writes_can_be_served() {
    let demo = Surroundings::start("served-demo");
    let config = demo.path("cellway.toml");
    let (code, _, err) = run(&["check", "--config", &config]);
    assert_eq!(code, 0, "{err}");
    // The lines that say that it runs have the level info.
    let mut serving = Serving::with(&config, &[("CELLWAY__LOG__TO", "stdout")]);
    let admin = serving.address("admin");
    let public = serving.address("public");
    // The router has fetched keys then, so no request has to wait for them.
    serving.ready(&admin);
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("curl isn't installed: nothing is sent through the router here");
        return;
    }
    let token = std::fs::read_to_string(demo.path("acme.token")).unwrap();
    let bearer = format!("authorization: Bearer {token}");
    let answer = demo.curl(&public, &["-H", &bearer]);
    assert!(answer.contains("\"cell\": \"premium-eu\""), "{answer}");
    let (certificate, key) = (demo.path("globex.pem"), demo.path("globex.key"));
    let answer = demo.curl(&public, &["--cert", &certificate, "--key", &key]);
    assert!(answer.contains("\"cell\": \"standard-us\""), "{answer}");
}

/// The commands of the README that read the demo's files, run as they are but for the folder. Catches:
/// a command that ends in 503 because its issuer was never asked.
#[test]
fn the_commands_of_the_readme_explain_the_demo() {
    let demo = Surroundings::start("readme-demo");
    let lines = README.lines().map(str::trim);
    let commands: Vec<&str> = lines
        .filter(|line| line.starts_with("cellway ") && line.contains("demo/cellway.toml"))
        .filter(|line| !line.starts_with("cellway serve"))
        .collect();
    assert!(commands.len() >= 2, "{commands:?}");
    for command in commands {
        let command = command.split('#').next().unwrap();
        let folder = format!("{}/", demo.folder.display());
        let words: Vec<String> = command
            .split_whitespace()
            .skip(1)
            .map(|word| word.replace("demo/", &folder))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (code, out, err) = run(&words);
        assert_eq!(code, 0, "{command}\n{out}{err}");
        let expected = match words[0] {
            "explain" => "allow verified: cell premium-eu",
            _ => "is valid",
        };
        assert!(out.contains(expected), "{command}\n{out}");
    }
}

/// Catches: private keys and tokens that stay in the temporary folder when the demo is over.
#[test]
fn a_temporary_folder_is_removed_at_the_end() {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo-temporary");
    std::fs::create_dir_all(&temporary).unwrap();
    for signal in ["TERM", "INT"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cellway"))
            .args(["demo", "--without-router"])
            .env("TMPDIR", &temporary)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = child.stdout.take().unwrap();
        let mut said = BufReader::new(said).lines().map(Result::unwrap);
        let folder =
            said.find_map(|line| line.strip_prefix("Everything is in ").map(PathBuf::from));
        let folder = folder.unwrap();
        assert!(folder.join("cellway.toml").exists());
        assert!(said.any(|line| line.starts_with("Ctrl-C")), "it ended");
        let pid = child.id().to_string();
        let kill = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(kill.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let last = said.last().unwrap();
        assert!(last.contains("is removed"), "{last}");
        assert!(!folder.exists(), "{}", folder.display());
    }
}

/// Catches: a second demo that replaces the keys and the ports of one that is running.
#[test]
fn two_demos_do_not_share_a_folder() {
    let demo = Surroundings::start("shared-demo");
    let before = std::fs::read(demo.folder.join("cellway.toml")).unwrap();
    let folder = demo.folder.display().to_string();
    let (code, _, err) = run(&["demo", "--exit", "--dir", &folder]);
    assert_eq!(code, 3, "{err}");
    let expected =
        format!("a running demo uses {folder}; end it, or name another folder with --dir");
    assert!(err.contains(&expected), "{err}");
    assert_eq!(
        std::fs::read(demo.folder.join("cellway.toml")).unwrap(),
        before
    );
}
