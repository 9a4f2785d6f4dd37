//! The JSON of `cellway check`, and its findings about files that only a running router would
//! refuse.

use serde_json::{Value, json};

use crate::serving::{Serving, until};
use crate::{CONFIG, Folder, REGISTRY, run};

/// Its JSON output and its exit code.
fn checked(folder: &Folder, more: &[&str]) -> (i32, Value) {
    let config = folder.config();
    let (code, out, err) = run(&[&["check", "-c", &config, "--json"], more].concat());
    assert_eq!(err, "", "everything is in the JSON");
    (code, serde_json::from_str(&out).unwrap())
}

/// A configuration with which a router starts but refuses some requests.
fn doubtful() -> String {
    CONFIG.replace(
        "any_of =",
        "mode = \"permissive\"\nanonymous_placement = \"public\"\nany_of =",
    )
}

/// Catches: a warning that counts as an error or is ignored, output besides the JSON, a mistake that
/// only one of the two outputs shows.
#[test]
fn programs_tell_errors_from_warnings() {
    let folder = Folder::new();
    let file = folder.config();
    let none = json!({ "file": file, "valid": true, "errors": [], "warnings": [] });
    assert_eq!(checked(&folder, &[]), (0, none));

    folder.write("cellway.toml", doubtful());
    let (code, page) = checked(&folder, &[]);
    assert_eq!((code, &page["valid"]), (1, &json!(true)));
    assert_eq!(page["errors"], json!([]));
    let warning = &page["warnings"][0];
    assert_eq!(warning["setting"], "policy[0].anonymous_placement");
    assert!(
        warning["problem"].is_string() && warning["fix"].is_string(),
        "{page}"
    );
    let (code, allowed) = checked(&folder, &["--allow-warnings"]);
    assert_eq!((code, allowed), (0, page));

    // With an additional error, the flag doesn't help.
    folder.write("keys.json", "{}");
    let (code, page) = checked(&folder, &["--allow-warnings"]);
    assert_eq!((code, &page["valid"]), (1, &json!(false)));
    assert_eq!(page["errors"][0]["setting"], "issuer[0].jwks_file");
    assert_eq!(page["warnings"].as_array().unwrap().len(), 1);

    folder.write("cellway.toml", CONFIG.replace("audience", "audiance"));
    let (code, page) = checked(&folder, &[]);
    assert_eq!((code, &page["errors"][0]["line"]), (1, &json!(9)));
}

#[test]
fn allowed_warnings_are_still_said() {
    let folder = Folder::new();
    folder.write("cellway.toml", doubtful());
    for (flag, expected) in [(None, 1), (Some("--allow-warnings"), 0)] {
        let config = folder.config();
        let arguments: Vec<&str> = ["check", "-c", &config].into_iter().chain(flag).collect();
        let (code, out, err) = run(&arguments);
        assert_eq!(code, expected, "{out}{err}");
        assert!(
            err.contains("warning: policy[0].anonymous_placement: "),
            "{err}"
        );
        assert!(err.contains("\n1 warning in "), "{err}");
        assert!(!out.contains("is valid"), "{out}");
    }
}

/// Catches: a check that ends at the mistakes of the configuration, so that a missing file is found
/// only after they are corrected; and a finding without its line.
#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_line() {
    let folder = Folder::new();
    let config = CONFIG.replace("audience", "audiance").replace(
        "[admin]",
        "[upstream]\nbundle = \"cells.pem\"\n[state]\ndirectory = \"keys.json\"\n\
         [fetch]\nbundle = 3\n[envelope]\n[admin]",
    );
    let config = config.replace(
        "bind = \"127.0.0.1:0\"\n\n[[issuer",
        "bind = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"keys.json\"\nkey = \"a.key\"\n[[issuer",
    );
    folder.write(
        "cellway.toml",
        config.replace(
            "[registry]\nfile = \"registry.json\"",
            "[registry]\nfile = \"nowhere.json\"",
        ),
    );
    let (code, page) = checked(&folder, &[]);
    assert_eq!(code, 1, "{page}");
    let errors = page["errors"].as_array().unwrap().iter();
    let told: Vec<_> = errors
        .map(|error| format!("{} {}", error["line"], error["setting"].as_str().unwrap()))
        .collect();
    let expected = [
        "7 listener[0].tls.key",
        "11 issuer[0].audiance",
        "19 registry.file",
        "22 upstream.bundle",
        "24 state.directory",
        "26 fetch.bundle",
        "27 envelope.keys",
    ];
    assert_eq!(told, expected, "{page}");
    let missing = page["errors"][0]["problem"].as_str().unwrap();
    assert!(
        missing.contains("a.key can't be read: No such file"),
        "{page}"
    );

    // Without mistakes, the files are looked into, and their findings have lines too.
    folder.write("cellway.toml", CONFIG);
    folder.write("keys.json", "{}");
    let (_, page) = checked(&folder, &[]);
    assert_eq!(page["errors"][0]["line"], 10, "{page}");
    let (code, _, err) = run(&["serve", "-c", &folder.config()]);
    let expected = format!("{}:10: issuer[0].jwks_file: ", folder.config());
    assert!(code == 1 && err.contains(&expected), "{code} {err}");
    let variable = [("CELLWAY__ISSUER__0__JWKS_FILE", "nowhere.json")];
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_cellway"))
        .args(["check", "-c", &folder.config()])
        .envs(variable)
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        err.starts_with("CELLWAY__ISSUER__0__JWKS_FILE: issuer[0]"),
        "{err}"
    );
}

/// Catches: a folder for state that can't become one, so that nothing would be kept.
#[test]
fn a_state_directory_that_is_a_file_is_an_error() {
    let folder = Folder::new();
    for directory in ["keys.json", "keys.json/below"] {
        let state = format!("[state]\ndirectory = \"{directory}\"\n[admin]");
        folder.write("cellway.toml", CONFIG.replace("[admin]", &state));
        let (code, page) = checked(&folder, &[]);
        assert_eq!((code, &page["warnings"]), (1, &json!([])), "{page}");
        let error = &page["errors"][0];
        assert_eq!(error["setting"], "state.directory");
        let problem = error["problem"].as_str().unwrap();
        assert!(problem.contains(&folder.path(directory)), "{page}");
        assert!(problem.contains(" is a file"), "{page}");
        let (code, _, err) = run(&["serve", "-c", &folder.config()]);
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("state.directory: "), "{err}");
    }
}

/// A router saved a registry on disk, and the file was changed later. Catches: a file that is valid
/// by itself but is refused at the next start.
#[test]
fn check_compares_the_registry_with_what_was_kept_on_disk() {
    let folder = Folder::new();
    let config = format!("{CONFIG}\n[state]\ndirectory = \"state\"\n");
    folder.write("cellway.toml", &config);
    let tenants: Vec<String> = (0..10)
        .map(|n| format!("{{\"id\": \"t{n}\", \"cell\": \"a\"}}"))
        .collect();
    let kept = REGISTRY.replace("\"version\": 1", "\"version\": 5");
    let kept = kept.replace(
        "\"tenants\": [",
        &format!("\"tenants\": [{}, ", tenants.join(", ")),
    );
    folder.write("registry.json", &kept);
    let mut serving = Serving::start(&folder.config());
    serving.wait("registry_applied");
    // The router writes it in the background and then moves it into place.
    let kept_file = folder.root().join("state/registry.keep");
    until("the registry is kept", || kept_file.exists());
    drop(serving);
    assert_eq!(run(&["check", "-c", &folder.config()]).0, 0);

    let older = kept.replace("\"version\": 5", "\"version\": 4");
    let other = kept.replace("\"t0\"", "\"other\"");
    let fewer = REGISTRY.replace("\"version\": 1", "\"version\": 6");
    for (registry, problem, fix) in [
        (
            &older,
            "version 4 is older than version 5",
            "under a higher version, or remove that file",
        ),
        (
            &other,
            "version 5 was in use with other content",
            "under a higher version",
        ),
        (&fewer, "2 tenants after 12", "allow_shrink_from = 5"),
    ] {
        folder.write("registry.json", registry);
        let (code, page) = checked(&folder, &[]);
        assert_eq!(code, 1, "{page}");
        let error = &page["errors"][0];
        assert_eq!(error["setting"], "registry.file");
        assert!(
            error["problem"].as_str().unwrap().contains(problem),
            "{page}"
        );
        assert!(error["fix"].as_str().unwrap().contains(fix), "{page}");
        assert!(
            error["fix"].as_str().unwrap().contains("registry.keep"),
            "{page}"
        );
    }
}

/// Catches: the path of a private file twice in one message.
#[cfg(unix)]
#[test]
fn a_message_about_a_private_file_names_it_once() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let private = "to = \"stdout\"\nsubject_key = \"subject.key\"";
    folder.write("cellway.toml", CONFIG.replace("to = \"stdout\"", private));
    folder.write("subject.key", "k".repeat(32));
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(folder.root().join("subject.key"), mode(0o644)).unwrap();
    let (code, _, err) = run(&["check", "-c", &folder.config()]);
    assert_eq!(code, 1);
    assert!(
        err.contains("subject.key: can be read by others than its owner"),
        "{err}"
    );
    assert_eq!(err.matches("subject.key").count(), 1, "{err}");
}

/// Catches: a message about a mistake in a long file that doesn't name the line.
#[test]
fn a_mistake_in_a_named_file_is_told_with_its_line() {
    let folder = Folder::new();
    folder.write("cellway.toml", CONFIG);
    let says = |expected: &str| {
        let (code, out, err) = run(&["check", "-c", &folder.config()]);
        assert_eq!(code, 1, "{out}{err}");
        assert!(err.contains(expected), "{expected}: {err}");
    };
    // The right JSON with a wrong meaning: the cell of the last tenant, on the fourth line.
    let wrong = REGISTRY.replace("\"late\", \"cell\": \"a\"", "\"late\", \"cell\": \"b\"");
    folder.write("registry.json", &wrong);
    says("registry.json: tenants[1] \"late\": unknown cell \"b\"; known cells: a (line 4)");
    folder.write(
        "registry.json",
        REGISTRY.replace("\"tenants\":", "\"tenants\""),
    );
    says("line 4");
    folder.write("registry.json", REGISTRY);

    // The mark that some editors write at the start moves no line.
    for mark in ["", "\u{feff}"] {
        for (keys, expected) in [
            (
                "{\"keys\": [\n]",
                "not JSON from line 2, column 1 on; expected {\"keys\": [...]}\n",
            ),
            ("{\n\"keys\": []}\n", "there are no entries (line 2)"),
            (
                "{\"keys\": [\n\n{\"kty\": \"RSA\", \"e\": \"AQAB\"}]}",
                "without \"n\" (line 3)",
            ),
        ] {
            folder.write("keys.json", format!("{mark}{keys}"));
            says(expected);
        }
    }
}

/// Catches: a registry that `check` calls valid, and about which a running router warns.
#[test]
fn a_cells_keys_that_cannot_be_used_are_a_warning() {
    let folder = Folder::new();
    for keys in ["{\\\"keys\\\": []}", ""] {
        let with = format!("\"annotations\": {{\"cba-jwks\": \"{keys}\"}}, \"endpoints\"");
        folder.write(
            "registry.json",
            REGISTRY.replacen("\"endpoints\"", &with, 1),
        );
        let (code, page) = checked(&folder, &[]);
        assert_eq!((code, &page["errors"]), (1, &json!([])), "{page}");
        let warnings = page["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 1, "{page}");
        assert_eq!(warnings[0]["setting"], "registry.file");
        let problem = warnings[0]["problem"].as_str().unwrap();
        assert!(
            problem.starts_with("cell `a` can't call other cells: "),
            "{page}"
        );
    }
}

/// Catches: a warning for each of any number of names in a registry, at every check and reload.
#[test]
fn warnings_have_a_bound_by_kind() {
    let folder = Folder::new();
    let tenant =
        |i: u32| format!("{{\"id\": \"t{i}\", \"cell\": \"a\", \"issuer\": \"strange-{i}\"}}, ");
    let tenants: String = (0..3_000).map(tenant).collect();
    let more = format!("\"tenants\": [{tenants}");
    folder.write("registry.json", REGISTRY.replace("\"tenants\": [", &more));
    let (code, page) = checked(&folder, &[]);
    assert_eq!(code, 1);
    let warnings = page["warnings"].as_array().unwrap();
    assert!(warnings.len() < 40, "{}", warnings.len());
    let last = warnings.last().unwrap()["problem"].as_str().unwrap();
    assert!(
        last.ends_with(
            "more issuers of tenants are not issuers or trust domains of the configuration"
        ),
        "{last}"
    );
}

/// Catches: a variable that can't be read and is ignored.
#[test]
fn a_variable_that_is_not_utf8_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = Folder::new();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_cellway"))
        .args(["check", "-c", &folder.config()])
        .env("CELLWAY__LOG__LEVEL", OsStr::from_bytes(b"de\xffbug"))
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.starts_with("CELLWAY__LOG__LEVEL: is not UTF-8 text"),
        "{err}"
    );
}
