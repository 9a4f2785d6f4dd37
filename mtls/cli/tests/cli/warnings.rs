//! Valid settings that have no effect where they are.

use crate::bad_files::good;
use crate::{CONFIG, Folder, run};

/// Catches: a setting of an external authorization listener that is read and never used, without a
/// warning.
#[test]
fn check_names_what_has_no_effect_on_a_listener_that_proxies_nothing() {
    let folder = Folder::new();
    let set = "forwarded = \"append\"\nbody_rate_min = 1000\nbody_grace_ms = 1000\n\
        explain_headers = true\n";
    let cors = "any_of = [\"jwt\"]\ncors = { origins = [\"https://app.example\"] }";
    let proxies =
        CONFIG
            .replace("any_of = [\"jwt\"]", cors)
            .replacen(":0\"\n", &format!(":0\"\n{set}"), 1);
    folder.write("cellway.toml", &proxies);
    let (code, out, error) = run(&["check", "-c", &folder.config()]);
    assert_eq!(code, 0, "{out}{error}");
    assert!(
        !format!("{out}{error}").contains("no effect"),
        "{out}{error}"
    );

    let asked = "bind = \"127.0.0.1:0\"\nserves = \"ext_authz\"\ncallers = \"loopback\"\n";
    let asked = proxies.replacen("bind = \"127.0.0.1:0\"\n", asked, 1);
    folder.write("cellway.toml", &asked);
    let (code, out, error) = run(&["check", "-c", &folder.config()]);
    assert_eq!(code, 1, "{out}{error}");
    for setting in [
        "forwarded",
        "body_rate_min",
        "body_grace_ms",
        "explain_headers",
        "policy",
    ] {
        let warning = format!("warning: listener[0].{setting}: ");
        let lines = format!("{out}{error}");
        let line = lines.lines().find(|line| line.contains(&warning));
        let line = line.unwrap_or_else(|| panic!("{setting}: {lines}"));
        assert!(line.contains("no effect"), "{line}");
    }
}

/// The warnings about a configuration, each with its place.
fn warnings(folder: &Folder, config: &str) -> Vec<String> {
    folder.write("cellway.toml", config);
    let (code, out, err) = run(&["check", "-c", &folder.config()]);
    let lines = err.lines().filter(|line| line.contains("warning: "));
    let warnings: Vec<_> = lines
        .map(|line| line.replace(&folder.config(), "cellway.toml"))
        .collect();
    assert_eq!(code, i32::from(!warnings.is_empty()), "{out}{err}");
    warnings
}

/// Catches: a table whose name is misspelled where it is named, or that was forgotten.
#[test]
fn check_names_tables_that_nothing_uses() {
    let folder = Folder::new();
    let tables =
        "[[traffic]]\nname = \"slow\"\n[[policy]]\nname = \"strict\"\nany_of = [\"jwt\"]\n";
    let unused = format!("{CONFIG}{tables}");
    assert_eq!(
        warnings(&folder, &unused),
        [
            "cellway.toml:24: warning: traffic[0]: no listener and no route has traffic = \"slow\", so \
             this table has no effect",
            "cellway.toml:26: warning: policy[1]: no listener and no route has policy = \"strict\", so \
             this table has no effect",
        ]
    );
    let route =
        "route = [{ path = \"/a\", policy = \"strict\", traffic = \"slow\" }]\n\n[[issuer]]";
    let used = unused.replace("\n[[issuer]]", route);
    assert_eq!(warnings(&folder, &used), Vec::<String>::new());
    // The one with this name applies by itself, but only where requests are forwarded.
    let default = format!("{CONFIG}[[traffic]]\nname = \"default\"\n");
    assert_eq!(warnings(&folder, &default), Vec::<String>::new());
    let asked = default.replacen(
        ":0\"",
        ":0\"\nserves = \"ext_authz\"\ncallers = \"loopback\"",
        1,
    );
    assert_eq!(warnings(&folder, &asked).len(), 1);
}

/// Checks what is said of settings of a `[[traffic]]` and of `[upstream]`: one warning with this text, or
/// nothing.
fn say_of_traffic<'a>(cases: impl IntoIterator<Item = (&'a str, &'a str, Option<&'a str>)>) {
    let folder = Folder::new();
    for (traffic, upstream, expected) in cases {
        let table = format!("[[traffic]]\nname = \"default\"\n{traffic}\n");
        let warnings = warnings(&folder, &format!("{CONFIG}{table}[upstream]\n{upstream}\n"));
        assert_eq!(
            warnings.len(),
            usize::from(expected.is_some()),
            "{traffic} {warnings:?}"
        );
        if let Some(expected) = expected {
            assert!(warnings[0].contains(expected), "{warnings:?}");
        }
    }
}

/// Catches: a retry that can never happen.
#[test]
fn check_names_settings_of_retries_without_effect() {
    say_of_traffic([
        ("try_timeout_ms = 400", "", None),
        ("try_timeout_ms = 30000", "", None),
        ("try_timeout_ms = 400\nretry_statuses = []", "", None),
        (
            "try_timeout_ms = 30001",
            "",
            Some("try_timeout_ms: has no effect: it is 30001, and header_timeout_ms (30000) ends"),
        ),
        (
            "try_timeout_ms = 400\nheader_timeout_ms = 300",
            "",
            Some("try_timeout_ms: has no effect: it is 400, and header_timeout_ms (300) ends"),
        ),
        (
            "try_timeout_ms = 400\ntotal_timeout_ms = 400",
            "",
            Some("try_timeout_ms: has no effect: it is 400, and total_timeout_ms (400) ends"),
        ),
        (
            "try_timeout_ms = 400",
            "total_timeout_ms = 300",
            Some("try_timeout_ms: has no effect: it is 400, and total_timeout_ms (300) ends"),
        ),
        (
            "try_timeout_ms = 400\ntotal_timeout_ms = 0",
            "total_timeout_ms = 300",
            None,
        ),
        (
            "try_timeout_ms = 400",
            "retry_percent = 0",
            Some("try_timeout_ms: has no effect, because upstream.retry_percent is 0"),
        ),
        (
            "retry_resets = true",
            "retry_percent = 0",
            Some("retry_resets: has no effect, because upstream.retry_percent is 0"),
        ),
        (
            "retry_statuses = [503]",
            "retry_percent = 0",
            Some("retry_statuses: has no effect, because upstream.retry_percent is 0"),
        ),
    ]);
}

/// Catches: a hedge that can never happen.
#[test]
fn check_names_settings_of_hedges_without_effect() {
    say_of_traffic([
        ("hedge_after_ms = 200", "", None),
        ("hedge_after_ms = 200\ntry_timeout_ms = 201", "", None),
        ("hedge_after_ms = 0", "retry_percent = 0", None),
        (
            "hedge_after_ms = 200",
            "retry_percent = 0",
            Some("hedge_after_ms: has no effect, because upstream.retry_percent is 0"),
        ),
        (
            "hedge_after_ms = 30000",
            "",
            Some("hedge_after_ms: has no effect: it is 30000, and header_timeout_ms (30000) ends"),
        ),
        (
            "hedge_after_ms = 200\ntry_timeout_ms = 200",
            "",
            Some("hedge_after_ms: has no effect: it is 200, and try_timeout_ms (200) ends"),
        ),
        (
            "hedge_after_ms = 200",
            "total_timeout_ms = 200",
            Some("hedge_after_ms: has no effect: it is 200, and total_timeout_ms (200) ends"),
        ),
    ]);
}

/// Catches: the certificate of a server where that of its CA belongs, with which nobody is trusted.
#[test]
fn check_names_a_leaf_in_a_bundle() {
    let folder = good(9);
    let config = folder.read("cellway.toml");
    let leaf = |bundle: &str| {
        let config = config.replace(&format!("bundle = \"{bundle}\""), "bundle = \"server.pem\"");
        let warnings = warnings(&folder, &config);
        warnings
            .into_iter()
            .find(|it| it.contains("is not a CA's (number 1, \"CN=server\")"))
    };
    let warned = [
        ("cells-ca.pem", "upstream.bundle"),
        ("sources-ca.pem", "fetch.bundle"),
    ];
    for (bundle, setting) in warned {
        let warning = leaf(bundle).unwrap_or_else(|| panic!("{bundle}"));
        assert!(
            warning.contains(&format!("warning: {setting}: ")),
            "{warning}"
        );
    }
    assert_eq!(warnings(&folder, &config), Vec::<String>::new());
}

/// Catches: a health check for a cell whose name is misspelled, so that the cell isn't checked.
#[test]
fn check_names_a_health_check_of_a_cell_that_the_registry_lacks() {
    let folder = Folder::new();
    let check = "\n[[upstream.health_check]]\nkind = \"tcp\"\ncells = [\"no-such-cell\"]\n";
    folder.write("cellway.toml", format!("{CONFIG}{check}"));
    let (code, out, error) = run(&["check", "-c", &folder.config()]);
    assert_eq!(code, 1, "{out}{error}");
    let lines = format!("{out}{error}");
    let warning = "upstream.health_check[0].cells: names cell \"no-such-cell\"";
    assert!(lines.contains(warning), "{lines}");
}

/// The only warning about a configuration with this text at its end.
fn one_warning(text: &str) -> String {
    let warnings = warnings(&Folder::new(), &format!("{CONFIG}{text}"));
    assert_eq!(warnings.len(), 1, "{text} {warnings:?}");
    warnings[0].clone()
}

/// Catches: an access log that its operator waits for, because only its output is set.
#[test]
fn check_names_an_output_of_an_access_log_that_is_off() {
    for text in ["", "requests = \"off\"\n"] {
        let warning = one_warning(&format!("\n[log.access]\n{text}to = \"stdout\"\n"));
        let expected = "log.access.to: has no effect, because log.access.requests is \"off\"";
        assert!(warning.contains(expected), "{warning}");
    }
    let on = format!("{CONFIG}\n[log.access]\nrequests = \"full\"\nto = \"stdout\"\n");
    assert_eq!(warnings(&Folder::new(), &on), Vec::<String>::new());
}

/// Catches: a check that an HTTP/1.1 endpoint can only fail, which then looks like a broken cell.
#[test]
fn check_names_grpc_checks_of_cells_that_speak_only_http1() {
    let check = |kind: &str| format!("\n[[upstream.health_check]]\nkind = \"{kind}\"\n");
    let warning = one_warning(&check("grpc"));
    let expected = "upstream.health_check[0].kind: is \"grpc\", which needs HTTP/2, and cells have http \
                    endpoints";
    assert!(warning.contains(expected), "{warning}");
    let folder = Folder::new();
    let http = format!("{CONFIG}{}", check("http"));
    assert_eq!(warnings(&folder, &http), Vec::<String>::new());
    let registry = folder.read("registry.json").replace("http://", "h2c://");
    folder.write("registry.json", registry);
    let grpc = format!("{CONFIG}{}", check("grpc"));
    assert_eq!(warnings(&folder, &grpc), Vec::<String>::new());
}

/// Catches: a check that never comes to its turn, behind one for all cells.
#[test]
fn check_names_a_health_check_that_is_never_used() {
    let check = "\n[[upstream.health_check]]\nkind = \"tcp\"\n";
    let warning = one_warning(&format!("{check}{check}"));
    let expected =
        "upstream.health_check[1]: is never used: upstream.health_check[0] has no `cells`";
    assert!(warning.contains(expected), "{warning}");
}

/// Catches: the time of a breaker that never opens.
#[test]
fn check_names_the_time_of_a_breaker_that_is_off() {
    let warning = one_warning("\n[upstream.breaker]\nfailures = 0\nopen_ms = 1000\n");
    let expected =
        "upstream.breaker.open_ms: has no effect, because upstream.breaker.failures is 0";
    assert!(warning.contains(expected), "{warning}");
}
