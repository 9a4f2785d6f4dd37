//! `cellway decide`.

use crate::{CONFIG, Folder, REGISTRY, run};

const CASES: &str = r#"
[[caller]]
name = "acme"
token = { claims = { tenant_id = "acme" } }

[[caller]]
name = "acme, expired"
token = { claims = { tenant_id = "acme", exp = "-5min" } }

[[caller]]
name = "late"
token = { claims = { tenant_id = "late" } }

[[request]]
name = "home"
"#;

const TABLE: &str = "\
CALLER            REQUEST   DECISION  REASON            TENANT    CELL      POLICY    RULE
acme              home      allow     verified          acme      a         default   -
acme, expired     home      deny 401  expired_token     -         -         default   -
late              home      deny 403  tenant_suspended  late      -         default   -
";

/// A folder with cases, and without the issuer's keys: nobody may need them.
fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::remove_file(folder.path("keys.json")).unwrap();
    folder.write("cases.toml", CASES);
    folder
}

/// Runs it in the folder, with further arguments.
fn decide(folder: &Folder, more: &[&str]) -> (i32, String, String) {
    let (config, cases) = (folder.config(), folder.path("cases.toml"));
    let mut args = vec!["decide", "-c", &config, "--cases", &cases];
    args.extend(more);
    let (code, out, err) = run(&args);
    let root = folder.root().display().to_string();
    (code, out.replace(&root, "DIR"), err.replace(&root, "DIR"))
}

#[test]
fn decide_prints_a_line_for_each_case() {
    let folder = folder();
    let (code, out, err) = decide(&folder, &[]);
    assert_eq!((code, &*out, &*err), (0, TABLE, ""));
    let (code, out, _) = decide(&folder, &["--json"]);
    let rows: serde_json::Value = serde_json::from_str(&out).unwrap();
    let reasons: Vec<_> = (0..3).map(|at| rows[at]["reason"].clone()).collect();
    assert_eq!(code, 0, "{out}");
    assert_eq!(reasons, ["verified", "expired_token", "tenant_suspended"]);
    assert_eq!(
        (&rows[0]["cell"], &rows[1]["status"]),
        (&"a".into(), &401.into())
    );
    assert_eq!(out.lines().count(), 5, "one line for each: {out}");
}

/// Catches: a changed decision that CI doesn't see, and a table that `--accept` doesn't bring up to date.
#[test]
fn decide_compares_with_what_was_accepted() {
    let folder = folder();
    for name in ["decisions.txt", "decisions.json"] {
        folder.write("registry.json", REGISTRY);
        let file = folder.path(name);
        let check = ["--check", &file];
        let accept = ["--check", &file, "--accept"];
        let (code, _, err) = decide(&folder, &check);
        assert_eq!(code, 3);
        let command = format!(
            "    cellway decide -c DIR/cellway.toml --cases DIR/cases.toml --check DIR/{name} --accept\n"
        );
        assert!(err.ends_with(&command), "{err}");
        let (code, out, _) = decide(&folder, &accept);
        assert_eq!(
            (code, out),
            (0, format!("DIR/{name}: 3 decisions written\n"))
        );
        let (code, out, _) = decide(&folder, &check);
        let same = format!("DIR/{name}: all 3 decisions are the same\n");
        assert_eq!((code, &out), (0, &same));

        let active = REGISTRY.replace(r#", "status": "suspended""#, "");
        folder.write("registry.json", active);
        let (code, out, _) = decide(&folder, &check);
        assert_eq!(code, 1, "{out}");
        let mut lines = out.lines();
        let (old, new) = (lines.next().unwrap(), lines.next().unwrap());
        assert!(
            old.starts_with("- ") && old.contains("tenant_suspended"),
            "{out}"
        );
        assert!(new.starts_with("+ ") && new.contains("verified"), "{out}");
        assert!(
            out.contains("\n1 decision changed; 2 are the same\nto accept: "),
            "{out}"
        );
        let (code, out, _) = decide(&folder, &accept);
        assert_eq!(code, 0);
        assert!(out.ends_with(&format!("DIR/{name} is written\n")), "{out}");
        let (code, out, _) = decide(&folder, &check);
        assert_eq!((code, out), (0, same));
    }
    // The first table, by hand.
    assert_eq!(
        std::fs::read_to_string(folder.path("decisions.txt"))
            .unwrap()
            .lines()
            .count(),
        4
    );
    folder.write("decisions.txt", "something else\n");
    let file = folder.path("decisions.txt");
    let (code, _, err) = decide(&folder, &["--check", &file]);
    assert_eq!(code, 2);
    assert!(
        err.contains("is not a table of decisions: line 1 has 1 columns"),
        "{err}"
    );
    assert_eq!(decide(&folder, &["--check", &file, "--accept"]).0, 0);
    assert_eq!(decide(&folder, &["--check", &file]).0, 0);
}

/// Catches: a table that was written by one run and differs in the next, though nothing has changed.
#[test]
fn decide_says_the_same_in_each_run() {
    let folder = folder();
    let keys = r#"jwks_file = "keys.json"
algorithms = ["RS256"]"#;
    folder.write(
        "cellway.toml",
        CONFIG.replace(r#"jwks_file = "keys.json""#, keys),
    );
    assert_eq!(decide(&folder, &[]), (0, TABLE.to_owned(), String::new()));
}

#[test]
fn decide_takes_the_registry_from_a_file() {
    let folder = folder();
    let config = CONFIG.replace(
        r#"file = "registry.json""#,
        r#"url = "https://control.example/manage/cells""#,
    );
    folder.write("cellway.toml", config);
    let (code, _, err) = decide(&folder, &[]);
    assert_eq!(code, 2);
    assert!(err.contains("name a file with --registry"), "{err}");
    let file = folder.path("registry.json");
    let (code, out, _) = decide(&folder, &["--registry", &file]);
    assert_eq!((code, &*out), (0, TABLE));
    // Relative to the file of cases.
    folder.write(
        "cases.toml",
        format!("registry = \"registry.json\"\n{CASES}"),
    );
    let (code, out, _) = decide(&folder, &[]);
    assert_eq!((code, &*out), (0, TABLE));

    folder.write("registry.json", "{\"version\": 1, \"cells\": []}");
    let (code, _, err) = decide(&folder, &[]);
    assert_eq!(code, 2);
    assert!(err.starts_with("cellway: DIR/registry.json: "), "{err}");
    std::fs::remove_file(folder.path("registry.json")).unwrap();
    let (code, _, err) = decide(&folder, &[]);
    assert_eq!(code, 3);
    assert!(err.contains("can't read DIR/registry.json"), "{err}");
}

/// Catches: a mistake in the cases that is ignored, so that a row tests something else than it says.
#[test]
fn decide_names_each_mistake_with_its_line() {
    let folder = folder();
    let caller =
        |rest: &str| format!("[[caller]]\nname = \"x\"\n{rest}\n[[request]]\nname = \"r\"\n");
    let token = |rest: &str| caller(&format!("token = {{ {rest} }}"));
    let request = |rest: &str| format!("{CASES}{rest}\n");
    for (cases, expected) in [
        (String::new(), "DIR/cases.toml: there are no cases"),
        (
            "callers = []".to_owned(),
            ":1: callers: unknown setting `callers`\n    it belongs in [[request]]; or did you mean `caller`?",
        ),
        (
            "now = 2026-01-01\n".to_owned() + CASES,
            ":1: now: 2026-01-01 is not a moment",
        ),
        (
            token("claim = {}"),
            ":3: caller[0].token.claim: unknown setting `claim`",
        ),
        (
            token("issuer = \"mian\""),
            ":3: caller[0].token.issuer: no [[issuer]] has the name \"mian\"\n    did you mean \"main\"?",
        ),
        (
            token("signed_by = \"mia\""),
            ":3: caller[0].token.signed_by: no [[issuer]] has the name",
        ),
        (
            token("algorithm = \"RS265\""),
            "token.algorithm: \"RS265\" is no algorithm\n    did you mean \"RS256\"?",
        ),
        (
            token("claims = { exp = \"5min\" }"),
            "token.claims.exp: \"5min\" is not a time\n    write \"-5min\"",
        ),
        (
            token("claims = { nbf = 2026-01-01 }"),
            "token.claims.nbf: \"2026-01-01\" is not a time",
        ),
        (
            token("without = [\"nbf\"]"),
            "token.without[0]: there is no claim \"nbf\"\n    there are: aud, exp, iat, iss, sub",
        ),
        (
            token("bound_to = \"x\""),
            "token.bound_to: no caller with a certificate has the name",
        ),
        (
            caller("certificate = { sans = [\"a.example\"] }"),
            "caller[0].certificate: the configuration trusts no client certificates",
        ),
        (
            caller("certificate = { sans = [], expires = \"soon\" }"),
            "caller[0].certificate.expires: \"soon\" is not a time",
        ),
        (
            caller("routing_key = { key = \"a\", signer = \"k\" }"),
            "caller[0].routing_key.signer: no [[routing_key.signer]] has the kid \"k\"",
        ),
        (
            caller("headers = { \"a b\" = \"x\" }"),
            "\"a b\" can't be the name of a header",
        ),
        (
            caller("requests = [\"s\"]"),
            "caller[0].requests[0]: nothing here has the name \"s\"\n    known: r",
        ),
        (
            caller("[[caller]]\nname = \"x\""),
            "caller[1].name: \"x\" is the name of caller[0] too",
        ),
        (
            caller("[[caller]]\nname = \"x  y\""),
            "caller[1].name: \"x  y\" doesn't fit a column",
        ),
        (
            request("path = \"/a#b\""),
            "request[0].path: no request has the path \"/a#b\"",
        ),
        (
            request("listener = \"lokal\""),
            "request[0].listener: no [[listener]] has the name \"lokal\"\n    did you mean \"local\"?",
        ),
        (
            request("method = \"A B\""),
            "request[0].method: \"A B\" can't be a method",
        ),
        (
            format!("unreachable_cells = [\"b\"]\n{CASES}"),
            ":1: unreachable_cells[0]: the registry has no cell \"b\"\n    known: a",
        ),
        (
            format!("unreachable_issuers = [\"x\"]\n{CASES}"),
            ":1: unreachable_issuers[0]: no [[issuer]]",
        ),
    ] {
        folder.write("cases.toml", &cases);
        let (code, out, err) = decide(&folder, &[]);
        assert_eq!((code, &*out), (2, ""), "{cases}\n{err}");
        assert!(
            err.starts_with("DIR/cases.toml:") && err.contains(expected),
            "{expected}\n{err}"
        );
        assert!(err.contains("error"), "{err}");
    }
    folder.write("cellway.toml", CONFIG.replace("audience", "audiance"));
    let (code, _, err) = decide(&folder, &[]);
    assert_eq!(code, 2);
    assert!(
        err.starts_with("DIR/cellway.toml:9: issuer[0].audiance"),
        "{err}"
    );
    assert_eq!(run(&["decide", "-c", "x", "--cases", "y", "--accept"]).0, 2);
    assert_eq!(run(&["decide", "-c", "/nowhere/x", "--cases", "y"]).0, 3);
}
