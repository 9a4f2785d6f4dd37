//! `cellway serve`.

use std::fs;
use std::path::Path;

use cellway_router::build::{COMMIT, VERSION};

use crate::serving::{Serving, get};
use crate::{CONFIG, Folder, run, sealing};

#[test]
fn serve_listens_reloads_and_drains() {
    let folder = Folder::new();
    let mut serving = Serving::start(&folder.config());
    let admin = serving.address("admin");
    serving.wait("registry_applied");
    let public = serving.address("local");

    let answer = get(&public, "/");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(serving.wait("authz_deny")["reason"], "missing_token");
    assert!(get(&admin, "/healthz").starts_with("HTTP/1.1 200 "));
    serving.ready(&admin);
    assert!(get(&admin, "/readyz").contains("\"status\":\"ready\""));
    let metrics = get(&admin, "/metrics");
    assert!(metrics.contains("reason=\"missing_token\"} 1"));
    let build = format!("cellway_build_info{{version=\"{VERSION}\",commit=\"{COMMIT}\"}} 1\n");
    assert!(metrics.contains(&build), "{metrics}");
    if cfg!(target_os = "linux") {
        assert!(metrics.contains("\nprocess_open_fds "), "{metrics}");
        let threads = metrics
            .lines()
            .find_map(|line| line.strip_prefix("process_threads "));
        let threads: u32 = threads.expect("a figure").parse().unwrap();
        // The main one, two workers, and the log, and some that read files.
        assert!(threads >= 4, "{threads}");
    }
    assert!(get(&admin, "/other").starts_with("HTTP/1.1 404 "));

    reloads_what_is_good_only(folder.root(), &mut serving);
    assert!(get(&public, "/").starts_with("HTTP/1.1 401 "));

    serving.signal("-TERM");
    serving.wait("drained");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

/// Catches: a router that closes its sockets while its load balancer still sends connections, and a
/// drain that can't be cut short.
#[test]
fn serve_takes_connections_until_the_delay_is_over() {
    let folder = Folder::new();
    let delay = [("CELLWAY__RUNTIME__DRAIN_DELAY_SECS", "3600")];
    let mut serving = Serving::with(&folder.config(), &delay);
    let admin = serving.address("admin");
    let public = serving.address("local");
    serving.ready(&admin);

    serving.signal("-TERM");
    assert_eq!(serving.wait("draining")["delay_ms"], 3_600_000);
    let ready = get(&admin, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(ready.contains("\"status\":\"draining\""), "{ready}");
    assert!(get(&admin, "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(get(&public, "/").starts_with("HTTP/1.1 401 "));

    serving.signal("-TERM");
    assert_eq!(serving.end().0, Some(0));
}

/// Catches: a level that changes only at a restart, lines that are lost when the log moves, and a
/// reload that doesn't report what it changed.
#[test]
fn serve_changes_its_log_at_a_reload() {
    let folder = Folder::new();
    let mut serving = Serving::start(&folder.config());
    let starting = serving.wait("starting");
    assert_eq!(starting["version"], VERSION);
    assert_eq!(starting["commit"], COMMIT);
    assert_eq!(starting["config"], folder.config());
    let overrides = ["CELLWAY__RUNTIME__WATCH_SECS", "CELLWAY__RUNTIME__WORKERS"];
    assert_eq!(starting["overrides"], serde_json::json!(overrides));
    let public = serving.address("local");

    put_log(&folder, &serving, "to = \"stdout\"\nlevel = \"debug\"");
    let reloaded = serving.wait("reloaded");
    assert_eq!(reloaded["settings"], serde_json::json!(["log.level"]));
    assert_eq!(reloaded["files"], serde_json::json!([folder.config()]));
    get(&public, "/");
    assert_eq!(serving.wait("responded")["status"], 401);

    put_log(
        &folder,
        &serving,
        "to = \"stderr\"\nsubject_key = \"none.key\"",
    );
    let refused = serving.wait("reload_refused").to_string();
    assert!(refused.contains("log.subject_key: "), "{refused}");

    put_log(&folder, &serving, "");
    assert_eq!(serving.wait("log_moved")["to"], "stderr");
    put_log(&folder, &serving, "to = \"stdout\"");
    let back = serving.wait("reloaded");
    assert_eq!(back["settings"], serde_json::json!(["log.to"]));
    assert_eq!(back["digest"], starting["digest"]);

    serving.signal("-TERM");
    serving.wait("drained");
    let (code, said) = serving.end();
    assert_eq!(code, Some(0));
    let said: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(said[0]["event"], "reloaded");
    assert_eq!(
        said[0]["settings"],
        serde_json::json!(["log.level", "log.to"])
    );
    let last = said.last().unwrap();
    assert_eq!(
        (&last["event"], &last["to"]),
        (&"log_moved".into(), &"stdout".into())
    );
}

/// Writes the configuration with these settings of the log, and asks for a reload.
fn put_log(folder: &Folder, serving: &Serving, log: &str) {
    let config = CONFIG.replace("to = \"stdout\"", log);
    folder.write("cellway.toml", &config);
    serving.signal("-HUP");
}

#[test]
fn serve_shows_which_key_seals_and_which_is_next() {
    let folder = Folder::new();
    folder.write("cellway.toml", sealing("jws"));
    let config = folder.config();
    let new = |kid| run(&["envelope-key", "new", "-c", &config, "--kid", kid]).0;
    assert_eq!(new("k1"), 0);
    let mut serving = Serving::start(&config);
    let admin = serving.address("admin");
    let public = serving.address("local");
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
    serving.wait("reloaded");
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
    let refused = serving.wait("reload_refused");
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains("policy[0].anyof"), "{error}");

    // A setting that needs a restart is refused, and the message says so.
    let health = format!("{CONFIG}\n[health]\nbind = \"127.0.0.1:0\"\n");
    fs::write(&file, health).unwrap();
    serving.signal("-HUP");
    let refused = serving.wait("reload_refused");
    assert!(
        refused["error"].as_str().unwrap().contains("restart"),
        "{refused}"
    );

    fs::write(&file, CONFIG).unwrap();
    serving.signal("-HUP");
    serving.wait("reloaded");
}

#[test]
fn serve_says_why_it_cannot_start() {
    let folder = Folder::new();
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

/// Catches: a new drain time that is said to be in force, and is not.
#[test]
fn a_reload_changes_the_drain_time() {
    let folder = Folder::new();
    let runtime = |secs: u32| format!("{CONFIG}\n[runtime]\ndrain_secs = {secs}\n");
    folder.write("cellway.toml", runtime(3600));
    let mut serving = Serving::start(&folder.config());
    serving.address("local");
    folder.write("cellway.toml", runtime(7));
    serving.signal("-HUP");
    let changed = &serving.wait("reloaded")["settings"];
    assert_eq!(*changed, serde_json::json!(["runtime.drain_secs"]));
    serving.signal("-TERM");
    assert_eq!(serving.wait("draining")["deadline_ms"], 7_000);
}

/// Catches: a SIGHUP that ends the process, because it comes before the configuration is read.
#[cfg(target_os = "linux")]
#[test]
fn a_hangup_during_the_start_is_a_reload() {
    let folder = Folder::new();
    // Reading it takes long enough to be in the middle of it.
    let hosts: String = (0..50_000).map(|i| format!("\"h{i}.example\", ")).collect();
    let long = format!("{CONFIG}\n[fetch]\nproxy = \"off\"\nno_proxy = [{hosts}]\n");
    folder.write("cellway.toml", long);
    let mut serving = Serving::start(&folder.config());
    let stat = format!("/proc/{}/stat", serving.child.id());
    // Its handlers are there once it has used the processor for that long, in hundredths of a second.
    let busy = || {
        let stat = fs::read_to_string(&stat).unwrap();
        let user = stat.rsplit(") ").next().unwrap().split(' ').nth(11);
        user.unwrap().parse::<u32>().unwrap() >= 5
    };
    crate::serving::until("it reads its configuration", busy);
    serving.signal("-HUP");
    serving.wait("starting");
    serving.wait("reloaded");
}
