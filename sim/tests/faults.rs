//! Every kind of fault, once, in a small world: the run passes, and clients get the answers that the
//! fault causes.

use cellway_sim::fact::Answer;
use cellway_sim::scenario::faults_in_markdown;
use cellway_sim::{Report, Scenario};

const WORLD: &str = r#"
about = "two cells, two issuers"
duration = "40s"

[world]
routers = 1

[[world.issuer]]
name = "main"
tenants = ["acme"]

[[world.issuer]]
name = "partner"
tenants = ["globex"]

[[world.cell]]
id = "blue"
tier = "standard"

[[world.cell]]
id = "green"
tier = "standard"
protocol = "h2c"

[[world.tenant]]
id = "acme"
cell = "blue"

[[world.tenant]]
id = "globex"
cell = "green"
issuer = "partner"

[router.issuer.keys]
fresh_secs = 10
cooldown_secs = 3
wait_max_ms = 4000
retry_max_secs = 3

[router.upstream]
connect_timeout_ms = 1000
header_timeout_ms = 2000

[router.fetch]
total_timeout_ms = 1000

[router.registry]
retry_max_secs = 3

[[workload.client]]
name = "acme-web"
tenant = "acme"
rate = "5/s"
token_lifetime = "8s"

[[workload.client]]
name = "globex-web"
tenant = "globex"
rate = "5/s"
issuer = "partner"
token_lifetime = "8s"
protocol = "http1"

# A good token of the wrong issuer for this tenant.
[[workload.client]]
name = "impostor"
tenant = "globex"
rate = "1/s"
issuer = "main"
"#;

/// Runs the world with these faults, and these lines in its `[expect]`.
fn run(faults: &str, expect: &str) -> Report {
    run_in("turmoil", faults, expect)
}

fn run_in(engine: &str, faults: &str, expect: &str) -> Report {
    let expect = format!("[expect]\nrecovery = \"12s\"\n{expect}");
    let text = format!("engine = \"{engine}\"\n{WORLD}\n{faults}\n{expect}");
    let scenario = Scenario::parse("faults.toml", &text);
    scenario.unwrap_or_else(|error| panic!("{error}")).run(3)
}

#[track_caller]
fn passes(faults: &str, expect: &str) -> Report {
    let report = run(faults, expect);
    assert!(report.passed(), "{}", report.summary());
    assert!(
        report
            .answers()
            .contains_key(&key("impostor", "issuer_not_allowed"))
    );
    report
}

fn key(client: &str, answer: &str) -> (String, String) {
    (client.to_owned(), answer.to_owned())
}

#[track_caller]
fn shows(report: &Report, client: &str, answer: &str) {
    let seen = report.answers().contains_key(&key(client, answer));
    assert!(
        seen,
        "{client} was never answered {answer}\n{}",
        report.summary()
    );
}

fn lasting(kind: &str, fields: &str) -> String {
    format!("[[fault]]\nat = \"5s\"\nfor = \"10s\"\nkind = \"{kind}\"\n{fields}\n")
}

fn once(at: u32, kind: &str, fields: &str) -> String {
    format!("[[fault]]\nat = \"{at}s\"\nkind = \"{kind}\"\n{fields}\n")
}

#[test]
fn cells_in_trouble() {
    let blue = "target = \"blue\"";
    shows(
        &passes(&lasting("reset", blue), ""),
        "acme-web",
        "no_answer",
    );
    let slow = passes(&lasting("slow", &format!("{blue}\ndelay = \"4s\"")), "");
    shows(&slow, "acme-web", "cell_timeout_header");
    let status = passes(&lasting("status", &format!("{blue}\nstatus = 500")), "");
    shows(&status, "acme-web", "cell_status_500");
    let green = "target = \"green\"";
    shows(
        &passes(&lasting("half_open", green), ""),
        "globex-web",
        "cell_timeout_header",
    );
    shows(
        &passes(&lasting("crash", green), ""),
        "globex-web",
        "cell_timeout_connect",
    );
}

/// Uploads are answered before they are read, which is no failure. A cell that reads nothing is one that
/// doesn't answer.
#[test]
fn cells_that_do_not_read() {
    const UPLOADS: &str = r#"
        [[workload.client]]
        name = "acme-uploads"
        tenant = "acme"
        rate = "1/s"
        path = "/upload"
        upload = 300000
        [[workload.client]]
        name = "globex-uploads"
        tenant = "globex"
        issuer = "partner"
        rate = "1/s"
        path = "/upload"
        upload = 300000
    "#;
    for kind in ["answer_early", "answer_unread"] {
        for cell in ["blue", "green"] {
            let fault = lasting(kind, &format!("target = \"{cell}\""));
            let report = passes(&format!("{UPLOADS}\n{fault}"), "");
            let mut answers = report.requests.iter().filter(|it| it.client != "impostor");
            let fine = |answer: &Option<_>| answer.as_ref().is_none_or(|it| *it == Answer::Ok);
            let fine = answers.all(|it| fine(&it.answer));
            assert!(fine, "{}", report.summary());
        }
    }
    for (cell, client) in [("blue", "acme-web"), ("green", "globex-web")] {
        let report = passes(&lasting("deaf", &format!("target = \"{cell}\"")), "");
        shows(&report, client, "cell_timeout_header");
    }
}

/// A client that sends a body gets an error, whether or not requests without a body are retried.
#[test]
fn cells_that_refuse() {
    let green = "target = \"green\"";
    for (kind, answer) in [
        ("refuse_streams", "cell_refused"),
        ("break_off", "cell_reset"),
    ] {
        shows(&passes(&lasting(kind, green), ""), "globex-web", answer);
    }
    // The only endpoint keeps its open connections, so a crash closes them first.
    let down = [
        lasting("refuse_connections", green),
        "[[fault]]\nat = \"5s\"\nfor = \"1s\"\nkind = \"crash\"\ntarget = \"green\"\n".to_owned(),
    ];
    let report = passes(&down.concat(), "");
    shows(&report, "globex-web", "cell_unreachable");
    let report = passes(&lasting("go_away", green), "");
    let ok = report.answers()[&key("globex-web", "ok")];
    assert!(ok > 100, "{}", report.summary());
}

#[test]
fn networks_in_trouble() {
    let cut = passes(
        &lasting("partition", "between = [\"router-1\", \"blue\"]"),
        "",
    );
    shows(&cut, "acme-web", "cell_timeout_header");
    let far = "between = [\"router-1\", \"blue\"]\ndelay = \"300ms\"";
    let report = passes(&lasting("latency", far), "");
    let slowest = report
        .requests
        .iter()
        .filter_map(|r| Some(r.answered? - r.sent))
        .max();
    assert!(
        slowest.is_some_and(|slowest| slowest.as_millis() >= 600),
        "{slowest:?}"
    );
}

#[test]
fn networks_that_work_in_part() {
    let passes = |kind, fields: &str| {
        let report = run_in("events", &lasting(kind, fields), "");
        assert!(report.passed(), "{}", report.summary());
        report
    };
    let [there, back] = [["router-1", "blue"], ["blue", "router-1"]].map(|between| {
        let report = passes("one_way_partition", &format!("between = {between:?}"));
        shows(&report, "acme-web", "cell_timeout_header");
        let lost = report
            .requests
            .iter()
            .filter(|it| it.answer.as_ref() != Some(&Answer::Ok));
        lost.filter(|it| it.tag.starts_with("acme-web") && it.cell.is_some())
            .count()
    });
    assert_eq!(there, 0, "nothing arrives if the way there is cut");
    assert!(
        back > 5,
        "requests arrive if only the way back is cut: {back}"
    );

    let stalled = "between = [\"router-1\", \"blue\"]\ndelay = \"900ms\"";
    let report = passes("stalls", stalled);
    let acme = report.requests.iter().filter(|it| it.client == "acme-web");
    let taken: Vec<_> = acme
        .filter_map(|it| Some((it.answered? - it.sent).as_millis()))
        .collect();
    let late = taken.iter().filter(|taken| **taken >= 900).count();
    assert!(
        (1..taken.len() / 2).contains(&late),
        "some are late, not all: {taken:?}"
    );
}

#[test]
fn names_in_trouble() {
    for (kind, fields) in [("no_dns", ""), ("slow_dns", "delay = \"3s\"")] {
        // Its connections break, so the router needs the name again.
        let restart = "[[fault]]\nat = \"6s\"\nfor = \"1s\"\nkind = \"crash\"\ntarget = \"blue\"\n";
        let report = passes(
            &(lasting(kind, &format!("target = \"blue\"\n{fields}")) + restart),
            "",
        );
        let answer = match kind {
            "no_dns" => "cell_unreachable",
            _ => "cell_timeout_connect",
        };
        shows(&report, "acme-web", answer);
    }
}

#[test]
fn identity_providers_in_trouble() {
    let idp = "target = \"idp-main\"";
    let refused = "errors = [\"keys_refused\"]";
    // Known keys are accepted all the time.
    for (kind, fields, expect) in [
        ("crash", "", ""),
        ("slow", "delay = \"3s\"", ""),
        ("status", "status = 500", ""),
        ("garbage", "", refused),
        ("empty_keys", "", refused),
        ("huge_keys", "", refused),
        ("wrong_issuer", "", refused),
    ] {
        let report = passes(&lasting(kind, &format!("{idp}\n{fields}")), expect);
        let answers = report.answers();
        let acme: Vec<_> = answers
            .keys()
            .filter(|(client, _)| client == "acme-web")
            .collect();
        assert_eq!(
            acme,
            [&key("acme-web", "ok")],
            "{kind}: {}",
            report.summary()
        );
    }
}

/// All keys are replaced at once: tokens with the new key wait for it, and those with the old key are
/// refused.
#[test]
fn a_surprise_rotation() {
    let replace = once(5, "replace_keys", "target = \"idp-main\"\nkey = \"key-2\"");
    let report = passes(&replace, "");
    shows(&report, "impostor", "no_matching_key");
    let refused = report
        .answers()
        .contains_key(&key("acme-web", "no_matching_key"));
    assert!(
        !refused,
        "a token of the new key must wait for it\n{}",
        report.summary()
    );
    assert!(report.events["keys_forced"] >= 1, "{}", report.summary());
}

#[test]
fn control_planes_in_trouble() {
    let plane = "target = \"control-plane\"";
    for (kind, fields, expect) in [
        ("crash", "", ""),
        ("slow", "delay = \"3s\"", ""),
        ("status", "status = 503", ""),
        ("no_dns", "", ""),
        ("slow_dns", "delay = \"3s\"", ""),
        ("lagging_replica", "", "errors = [\"registry_refused\"]"),
        ("garbage", "", "errors = [\"registry_refused\"]"),
    ] {
        // The control plane sends a body, and so garbage, only if the document is new.
        let news = once(7, "publish", "document = \"same\"");
        let report = passes(
            &(lasting(kind, &format!("{plane}\n{fields}")) + &news),
            expect,
        );
        let answers = report.answers();
        let acme: Vec<_> = answers
            .keys()
            .filter(|(client, _)| client == "acme-web")
            .collect();
        assert_eq!(
            acme,
            [&key("acme-web", "ok")],
            "{kind}: {}",
            report.summary()
        );
    }
}

#[test]
fn cells_change_their_state() {
    let to = |at, state| {
        let fields = format!("document = \"cell_state\"\ncell = \"blue\"\nstate = \"{state}\"");
        once(at, "publish", &fields)
    };
    let report = passes(
        &(to(5, "quarantined") + &to(12, "draining") + &to(18, "active")),
        "",
    );
    shows(&report, "acme-web", "cell_quarantined");
}

#[test]
fn disks_in_trouble() {
    let news = once(
        6,
        "publish",
        "document = \"move\"\ntenant = \"acme\"\ncell = \"green\"",
    );
    let restart =
        "[[fault]]\nat = \"18s\"\nfor = \"2s\"\nkind = \"crash\"\ntarget = \"router-1\"\n";
    let full = lasting("disk_full", "target = \"router-1\"") + &news + restart;
    passes(&full, "errors = [\"keep_failed\"]");
    // The file has half a document: the router must not use it when it starts again.
    let torn = once(5, "torn_write", "target = \"router-1\"") + &news;
    let gone =
        "[[fault]]\nat = \"17s\"\nfor = \"5s\"\nkind = \"crash\"\ntarget = \"control-plane\"\n";
    let damaged = once(10, "damaged_files", "target = \"router-1\"");
    for faults in [torn, damaged] {
        let report = passes(&(faults + gone + restart), "");
        assert!(
            report.events.contains_key("kept_refused"),
            "{}",
            report.summary()
        );
    }
    // Reading takes its time, and the answers don't.
    let slow = "target = \"router-1\"\ndelay = \"2s\"";
    let report = passes(&(lasting("slow_disk", slow) + &news), "");
    let answers = report.answers();
    let acme: Vec<_> = answers
        .keys()
        .filter(|(client, _)| client == "acme-web")
        .collect();
    assert_eq!(acme, [&key("acme-web", "ok")]);
}

#[test]
fn clocks_in_trouble() {
    // Tokens are valid for 8 s and renewed after 6 s: a router 5 s ahead refuses the older ones.
    let ahead = passes(
        &lasting("clock_skew", "target = \"router-1\"\nahead = \"5s\""),
        "",
    );
    shows(&ahead, "acme-web", "expired_token");
    // For a router 20 s behind, new tokens are not valid yet.
    let behind = passes(
        &lasting("clock_skew", "target = \"router-1\"\nbehind = \"20s\""),
        "",
    );
    shows(&behind, "acme-web", "not_yet_valid");
}

#[test]
fn a_clock_that_drifts() {
    // After 10 s it is 5 s ahead: tokens are refused that are older than 3 s of their 8.
    let drift = "target = \"router-1\"\nahead = \"500ms\"";
    let report = passes(&lasting("clock_drift", drift), "");
    let refused =
        |it: &&cellway_sim::Request| it.answer == Some(Answer::Router("expired_token".to_owned()));
    let first = report
        .requests
        .iter()
        .find(refused)
        .map(|it| it.sent.as_secs());
    assert!(first.is_some_and(|at| at >= 7), "not at once: {first:?}");
    shows(&report, "acme-web", "expired_token");
}

/// A broken configuration is refused, and the old one stays in force. A good one is used.
#[test]
fn configurations_change() {
    let broken = lasting("break_configuration", "target = \"router-1\"");
    let limit = "target = \"router-1\"\nsettings = { upstream = { connect_timeout_ms = 500 } }";
    let report = passes(
        &(broken + &once(18, "configure", limit)),
        "errors = [\"reload_refused\"]",
    );
    assert!(report.events["reload_refused"] >= 1, "{}", report.summary());
    assert!(report.events["reloaded"] >= 2, "{}", report.summary());
    assert!(
        report
            .answers()
            .keys()
            .all(|(client, answer)| client == "impostor" || answer == "ok"),
        "{}",
        report.summary()
    );
}

/// Another configuration takes the place of the one before, with the simulator's settings for all others.
#[test]
fn a_configuration_is_replaced() {
    let rules = "target = \"router-1\"\nsettings = { policy = { rule = [{ path = \"/none\", allow = \"verified\" }] } }";
    let none = "target = \"router-1\"\nsettings = {}";
    let report = passes(
        &(once(5, "configure", rules) + &once(18, "replace_configuration", none)),
        "",
    );
    shows(&report, "acme-web", "role_forbidden");
    // The rules are gone at the end, or the run would not recover.
    assert!(report.events["reloaded"] >= 2, "{}", report.summary());
}

/// Another registry takes the place of the one before: a cell and a tenant are gone, one has moved.
#[test]
fn a_registry_is_replaced() {
    let registry = "document = \"registry\"\nregistry = { allow_shrink = true, \
        cell = [{ id = \"green\", tier = \"standard\", endpoints = [\"green-1\"] }], \
        tenant = [{ id = \"acme\", cell = \"green\" }] }";
    let report = run(&once(10, "publish", registry), "");
    assert!(report.passed(), "{}", report.summary());
    shows(&report, "globex-web", "tenant_unknown");
    let acme = report.requests.iter().filter(|it| it.client == "acme-web");
    let cells: std::collections::BTreeSet<_> = acme.filter_map(|it| it.cell.as_deref()).collect();
    assert_eq!(cells, ["blue", "green"].into(), "{}", report.summary());
}

/// If an issuer serves another issuer's keys, its clients are refused, and no other client gets in.
#[test]
fn an_identity_provider_serves_the_keys_of_another() {
    let wrong = "target = \"idp-main\"\nkeys_of = \"idp-partner\"";
    let report = run(&lasting("wrong_keys", wrong), "");
    assert!(report.passed(), "{}", report.summary());
    shows(&report, "acme-web", "bad_signature");
    let let_in = report.answers().contains_key(&key("impostor", "ok"));
    assert!(!let_in, "{}", report.summary());
}

/// The tables in the docs are generated from the table of faults.
#[test]
fn the_docs_list_every_fault() {
    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenarios.md");
    const MARKS: [&str; 2] = ["<!-- faults: begin -->\n", "<!-- faults: end -->\n"];
    let page = std::fs::read_to_string(PATH).expect("the page can be read");
    let (before, rest) = page
        .split_once(MARKS[0])
        .expect("the page has a first mark");
    let (_, after) = rest.split_once(MARKS[1]).expect("the page has a last mark");
    let right = [before, MARKS[0], &faults_in_markdown(), MARKS[1], after].concat();
    if std::env::var_os("CELLWAY_WRITE_DOCS").is_some() {
        std::fs::write(PATH, &right).expect("docs/ is writable");
        return;
    }
    assert!(
        page == right,
        "docs/scenarios.md is out of date; write it again with\n    \
         CELLWAY_WRITE_DOCS=1 cargo test -p cellway-sim --test faults the_docs_list_every_fault"
    );
}
