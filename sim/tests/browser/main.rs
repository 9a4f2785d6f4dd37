//! The page of a run in a real browser: it draws, it can be used by keyboard, pointer and filters, it fits a
//! phone, and nothing in a run becomes a part of it.
//!
//! Ignored unless asked for (`-- --ignored`), as CI does: it needs a Chromium (`CHROMIUM` names another one).
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A scenario that fails: the crash is answered with an error, which it doesn't expect.
const FAILING: &str = concat!(
    include_str!("../../examples/small.toml"),
    r#"
[[fault]]
at = "5s"
for = "4s"
kind = "crash"
target = "blue"

[expect]
recovery = "5s"

[[expect.answers]]
clients = ["web"]
from = "1s"
only = ["ok"]
"#
);

/// Uses the page as a person does, and tells the page around it what it found.
const CHECK: &str = include_str!("check.js");

/// Shows that page in a frame, and takes what it found.
const FRAME: &str = r#"<!doctype html>
<iframe name="WIDTH" src="used.html" style="width: WIDTHpx; height: 900px; border: 0"></iframe>
<script>
  addEventListener("message", (event) => {
    const found = document.createElement("pre");
    found.id = "checked";
    found.textContent = event.data;
    document.body.append(found);
  });
</script>
"#;

/// Text of a run that would do something if it became markup or script.
const HOSTILE: &str = "/</script><script>document.documentElement.dataset.owned=1</script>\
                       <img src=x onerror=document.documentElement.dataset.owned=2><!--";

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("shop.toml"), FAILING).unwrap();
    folder
}

fn sim(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_cellway-sim"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The page after a browser has run its scripts, as markup.
fn browsed(page: &Path, hash: &str, width: u32) -> String {
    let chromium = env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let profile = page.with_extension(format!("profile-{width}"));
    // A run that was stopped may have left one.
    let _ = fs::remove_dir_all(&profile);
    let output = Command::new(&chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
        ])
        .args(["--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--window-size={width},900"))
        .args(["--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("file://{}{hash}", page.display()))
        .output();
    let output = output.unwrap_or_else(|error| {
        panic!("{chromium}: {error}; install chromium, or name another one in CHROMIUM")
    });
    // Nothing depends on it.
    let _ = fs::remove_dir_all(profile);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "needs Chromium"]
fn a_request_opens_by_the_address() {
    let folder = folder("browser_address");
    sim(&folder, &["report", "shop.toml", "-o", "run.html"]);
    let page = browsed(&folder.join("run.html"), "#request=web-0-3", 1280);
    assert!(page.contains("data-ready=\"yes\""), "no script ran: {page}");
    for shown in [
        "expect.answers[0] at ",
        "<code>web-0-3</code>",
        "router-1 allows it to blue (verified), as acme on registry version 10",
        "router-1 had registry version 10 since ",
        "blue-1 of cell blue receives it",
        "web gets a good answer of its cell",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

#[test]
#[ignore = "needs Chromium"]
fn nothing_in_a_run_becomes_a_part_of_the_page() {
    let folder = folder("browser_hostile");
    sim(&folder, &["run", "shop.toml", "--record", "run.json"]);
    let recording = fs::read_to_string(folder.join("run.json")).unwrap();
    let mut recording: serde_json::Value = serde_json::from_str(&recording).unwrap();
    for field in ["scenario", "about", "path", "text", "replay"] {
        recording[field] = HOSTILE.into();
    }
    for request in recording["requests"].as_array_mut().unwrap() {
        for field in ["path", "client", "tenant", "to"] {
            request[field] = HOSTILE.into();
        }
    }
    fs::write(folder.join("run.json"), recording.to_string()).unwrap();
    sim(&folder, &["report", "run.json", "-o", "run.html"]);
    let page = browsed(&folder.join("run.html"), "#request=web-0-3", 1280);
    assert!(page.contains("data-ready=\"yes\""), "no script ran: {page}");
    assert!(!page.contains("data-owned"), "{page}");
    assert!(!page.contains("<img"), "{page}");
}

/// The page's policy allows only its own script, so this copy has none.
#[test]
#[ignore = "needs Chromium"]
fn it_can_be_used_on_a_desk_and_on_a_phone() {
    let folder = folder("browser_used");
    sim(
        &folder,
        &[
            "report",
            "shop.toml",
            "--against-seed",
            "2",
            "-o",
            "run.html",
        ],
    );
    let page = fs::read_to_string(folder.join("run.html")).unwrap();
    let (before, policy) = page.split_once("<meta http-equiv").unwrap();
    let (_, after) = policy.split_once('>').unwrap();
    let (body, end) = after.rsplit_once("</html>").unwrap();
    // Without a screen there are no frames after the first ones.
    let frames = "<script>window.requestAnimationFrame = (act) => setTimeout(act, 16);</script>";
    let copy = format!("{before}{frames}{body}<script>{CHECK}</script></html>{end}");
    fs::write(folder.join("used.html"), copy).unwrap();
    for width in [1280, 390] {
        // A window has at least 500 pixels, but a frame can have fewer.
        let framed = FRAME.replace("WIDTH", &width.to_string());
        fs::write(folder.join("framed.html"), framed).unwrap();
        let page = browsed(&folder.join("framed.html"), "", 1280);
        let found = page.split("id=\"checked\">").nth(1);
        let found = found.and_then(|rest| rest.split('<').next());
        assert_eq!(found, Some("all as it should be"), "{width} pixels: {page}");
    }
}
