//! Mistakes of form that people make who know other programs.

use super::*;

/// Each text, and the whole of what is said about it.
fn each_says(table: &[(String, &str)]) {
    for (text, expected) in table {
        assert_eq!(errors(text), *expected, "in {text}");
    }
}

/// A table where a list belongs, at each level, and the reverse. What is inside is still checked.
#[test]
fn brackets_are_corrected_for_every_kind_of_table() {
    let and = |table: &str| format!("{LEAST}{table}");
    let at_listener = |table: &str| LEAST.replace("[[issuer]]", &format!("{table}\n[[issuer]]"));
    each_says(&[
        (
            LEAST.replace("[[policy]]", "[policy]"),
            "etc/cellway.toml:11: policy: is a table\n    write it as [[policy]]: there may be several",
        ),
        (
            and("[traffic]\nname = \"a\"\nheader_timeout = 3\n"),
            "etc/cellway.toml:17: traffic: is a table\n    \
             write it as [[traffic]]: there may be several\n\
             etc/cellway.toml:19: traffic[0].header_timeout: unknown setting `header_timeout`\n    \
             did you mean `header_timeout_ms`?",
        ),
        (
            and("[upstream.health_check]\nkind = \"tcp\"\n"),
            "etc/cellway.toml:17: upstream.health_check: is a table\n    \
             write it as [[upstream.health_check]]: there may be several",
        ),
        (
            at_listener("[listener.route]\npath = \"/a\"\npolicy = \"default\"\n"),
            "etc/cellway.toml:6: listener[0].route: is a table\n    \
             write it as [[listener.route]]: there may be several",
        ),
        (
            and("[[traffic]]\nname = \"a\"\nrate_limit = { per = \"tenant\", requests = 3 }\n"),
            "etc/cellway.toml:19: traffic[0].rate_limit: is a table\n    \
             write it as [[traffic.rate_limit]]: there may be several",
        ),
        (
            LEAST.replace("[registry]", "[[registry]]"),
            "etc/cellway.toml:15: registry: is a list of tables\n    \
             write it as [registry]: there is only one",
        ),
        (
            and("[[admin]]\nbind = \"127.0.0.1:9\"\n"),
            "etc/cellway.toml:17: admin: is a list of tables\n    write it as [admin]: there is only one",
        ),
        (
            and("[[log]]\nlevel = \"info\"\n"),
            "etc/cellway.toml:17: log: is a list of tables\n    write it as [log]: there is only one",
        ),
        (
            and("[[upstream.outlier]]\nconnection_failure = 3\n"),
            "etc/cellway.toml:17: upstream.outlier: is a list of tables\n    \
             write it as [upstream.outlier]: there is only one\n\
             etc/cellway.toml:18: upstream.outlier.connection_failure: unknown setting \
             `connection_failure`\n    did you mean `connection_failures`?",
        ),
        (
            and("[[listener.tls]]\n"),
            "etc/cellway.toml:17: listener[0].tls: is a list of tables\n    \
             write it as [listener.tls]: there is only one\n\
             etc/cellway.toml:17: listener[0].tls.certificate: is missing\n    add it\n\
             etc/cellway.toml:17: listener[0].tls.key: is missing\n    add it",
        ),
        (
            and("[trust]\ncrl = { file = \"a\" }\n"),
            "etc/cellway.toml:18: trust.crl: is a table\n    expected a list",
        ),
    ]);
}

/// A table that stands twice is not TOML.
#[test]
fn a_header_that_stands_twice_is_told_both_corrections() {
    let found = errors(&format!("{LEAST}[upstream]\n[upstream]\n"));
    assert_eq!(
        found,
        "etc/cellway.toml:18: not valid TOML: duplicate key\n    join the two tables; or, if there \
         may be several, write each as [[upstream]]"
    );
}

#[test]
fn times_with_units_are_told_the_number() {
    let upstream = |value: &str| format!("{LEAST}[upstream.breaker]\nopen_ms = {value}\n");
    let registry = |setting: &str| format!("{LEAST}{setting}\n");
    let millis = "etc/cellway.toml:18: upstream.breaker.open_ms: ";
    let says = |problem: &str| format!("{millis}{problem}");
    for (text, expected) in [
        (
            upstream("\"3s\""),
            says("\"3s\" is a string\n    write a number of milliseconds, as 3000"),
        ),
        (
            upstream("\"1.5 s\""),
            says("\"1.5 s\" is a string\n    write a number of milliseconds, as 1500"),
        ),
        (
            upstream("\"250\""),
            says("\"250\" is a string\n    write a number of milliseconds, as 250, without quotes"),
        ),
        (
            upstream("\"soon\""),
            says("\"soon\" is a string\n    write a number of milliseconds, as 3000"),
        ),
        (
            upstream("2.5"),
            says("is 2.5\n    write a number of milliseconds, as 3000"),
        ),
        (upstream("-1"), says("is -1\n    give 1 to 31536000000")),
        (
            upstream("3s"),
            "etc/cellway.toml:18: not valid TOML: open_ms = 3s\n    \
             write a number of milliseconds, as 3000"
                .to_owned(),
        ),
        (
            registry("poll_secs = \"2m\""),
            "etc/cellway.toml:17: registry.poll_secs: \"2m\" is a string\n    \
             write a number of seconds, as 120"
                .to_owned(),
        ),
        (
            registry("poll_secs = \"1500ms\""),
            "etc/cellway.toml:17: registry.poll_secs: \"1500ms\" is a string\n    \
             write a number of seconds, as 30"
                .to_owned(),
        ),
        (
            registry("identity_max_age_secs = \"1h\""),
            "etc/cellway.toml:17: registry.identity_max_age_secs: has the wrong form\n    \
             write a number of seconds, as 3600, or \"off\""
                .to_owned(),
        ),
    ] {
        assert_eq!(errors(&text), expected, "in {text}");
    }
    let variable = [("CELLWAY__UPSTREAM__HEADER_TIMEOUT_MS", "30s")];
    assert_eq!(
        load_with(LEAST, &variable).unwrap_err().to_string(),
        "CELLWAY__UPSTREAM__HEADER_TIMEOUT_MS: upstream.header_timeout_ms: \"30s\" is a string\n    \
         write a number of milliseconds, as 30000"
    );
}

/// One message for the whole file, not one for each of its lines.
#[test]
fn a_file_in_another_format_is_recognized() {
    for (text, format) in [
        ("{\n  \"listener\": []\n}\n", "JSON"),
        ("\n# ours\nlistener:\n  - name: a\n", "YAML"),
        ("bind: 127.0.0.1:80\n", "YAML"),
        ("---\na: b\n", "YAML"),
        ("<!doctype html>\n", "HTML or XML"),
        ("-----BEGIN CERTIFICATE-----\nAA==\n", "PEM"),
    ] {
        let found = errors(text);
        let expected = format!("this is {format}, and the configuration is TOML\n    write tables");
        assert!(found.contains(&expected), "{found}\nin {text}");
        assert_eq!(found.lines().count(), 2, "{found}");
    }
    let found = errors("a = 1\nb 2\n");
    assert!(
        found.starts_with("etc/cellway.toml:2: not valid TOML"),
        "{found}"
    );
}

#[test]
fn urls_without_the_right_scheme_are_told_what_was_found() {
    let with = |url: &str| format!("{LEAST}[trace]\notlp_url = \"{url}\"\n");
    let says = |problem: &str| {
        format!(
            "etc/cellway.toml:18: trace.otlp_url: {problem}\n    \
             write it as https://collector.example:4318/v1/traces"
        )
    };
    for (url, problem) in [
        (
            "grpc://c.example:4317",
            "has the scheme \"grpc\", and must have https",
        ),
        (
            "ftp://c.example",
            "has the scheme \"ftp\", and must have https",
        ),
        ("c.example:4317", "\"c.example:4317\" has no scheme"),
        ("u:p@c.example", "is not an absolute URL"),
    ] {
        assert_eq!(errors(&with(url)), says(problem));
    }
    let jwks = LEAST.replace("audience", "jwks_uri = \"idp.example/keys\"\naudience");
    assert_eq!(
        errors(&jwks),
        "etc/cellway.toml:9: issuer[0].jwks_uri: \"idp.example/keys\" has no scheme\n    \
         write it as https://host/path"
    );
}

/// Catches: an address in a form of other programs, with a message about types.
#[test]
fn addresses_in_other_forms_are_told_the_right_one() {
    for (bind, expected) in [
        (
            "\":8080\"",
            "\":8080\" is not an address with a port\n    \
             write 0.0.0.0:8080 for all addresses, or 127.0.0.1:8080",
        ),
        (
            "8080",
            "is 8080\n    write it as address:port, such as \"127.0.0.1:8443\"",
        ),
        (
            "\"127.0.0.1\"",
            "\"127.0.0.1\" is not an address with a port\n    \
             write it as address:port, such as \"127.0.0.1:8443\"",
        ),
    ] {
        let text = LEAST.replace("\"127.0.0.1:8080\"", bind);
        let expected = format!("etc/cellway.toml:4: listener[0].bind: {expected}");
        assert_eq!(errors(&text), expected);
    }
}

/// Catches: two messages for one mistake.
#[test]
fn an_issuer_without_a_scheme_is_told_once() {
    let text = LEAST.replace("https://idp.example", "idp.example");
    let found = errors(&text);
    assert_eq!(found.lines().count(), 2, "{found}");
}
