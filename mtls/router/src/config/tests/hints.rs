//! What serde's own messages don't say: ranges, words, and where a setting belongs.

use super::mistakes::{and, each_is_named};
use super::*;

/// Catches: a number outside of its type, which gets another message than one outside of the setting's
/// range.
#[test]
fn gives_the_range_of_numbers_that_their_type_does_not_hold() {
    let upstream = |setting: &str| and(&format!("[upstream]\n{setting}\n"));
    let traffic = |setting: &str| and(&format!("[[traffic]]\nname = \"t\"\n{setting}\n"));
    each_is_named(&[
        (
            upstream("retry_percent = 500"),
            "etc/cellway.toml:18: upstream.retry_percent: is 500\n    give 0 to 100",
        ),
        (
            upstream("panic_threshold_percent = 256"),
            "panic_threshold_percent: is 256\n    give 0 to 100",
        ),
        (
            upstream("tenant_share_percent = -5"),
            "tenant_share_percent: is -5\n    give 1 to 100",
        ),
        (
            upstream("connect_timeout_ms = -5"),
            "connect_timeout_ms: is -5\n    give 1 to 31536000000",
        ),
        (
            upstream("connections_max = -5"),
            "connections_max: is -5\n    write a whole number, 0 or more",
        ),
        (
            upstream("retry_percent = 0.2"),
            "retry_percent: is 0.2\n    write a whole number",
        ),
        (
            upstream("connect_timeout_ms = 0.5"),
            "connect_timeout_ms: is 0.5\n    write a number of milliseconds, as 3000",
        ),
        (
            traffic("retry_statuses = [503, 70000]"),
            "traffic[0].retry_statuses[1]: is 70000\n    list statuses from 400 to 599",
        ),
        (
            LEAST.replace("8080\"", "8080\"\nstreams_max = 5000000000"),
            "listener[0].streams_max: is 5000000000\n    give at most 4294967295",
        ),
    ]);
    // Another setting of the table doesn't hide the range.
    each_is_named(&[(
        upstream("retry_percent = 500\nqueue = 1"),
        "retry_percent: is 500\n    give 0 to 100",
    )]);
    let variable = ("CELLWAY__UPSTREAM__RETRY_PERCENT", "500");
    let found = load_with(LEAST, &[variable]).unwrap_err().to_string();
    assert_eq!(
        found,
        "CELLWAY__UPSTREAM__RETRY_PERCENT: upstream.retry_percent: is 500\n    give 0 to 100"
    );
}

/// Catches: the words of a setting that a user must guess, because the message is about Rust's types.
#[test]
fn names_the_words_of_a_setting_with_a_value_of_another_type() {
    let words = "write one of \"off\", \"errors\", \"sampled\", \"full\"";
    let requests = |value: &str| and(&format!("[log.access]\nrequests = {value}\n"));
    each_is_named(&[
        (
            requests("true"),
            &format!("log.access.requests: is true\n    {words}"),
        ),
        (
            requests("{ a = 1, b = 2 }"),
            &format!("log.access.requests: is a table\n    {words}"),
        ),
        (
            requests("[]"),
            &format!("log.access.requests: is a list\n    {words}"),
        ),
        (
            LEAST.replace("[\"jwt\"]", "[1]"),
            "policy[0].any_of[0]: is 1\n    write one of \"jwt\", \"mtls\", \"routing_key\"",
        ),
        (
            and("[[traffic]]\nname = \"a\"\npriority = 1\n"),
            "traffic[0].priority: is 1\n    write one of \"normal\", \"high\"",
        ),
        (
            and("[log]\naccess = \"full\"\n"),
            "log.access: \"full\" is a string\n    write access = { requests = \"full\" }",
        ),
        (
            and("[log]\naccess = \"stdout\"\n"),
            "log.access: \"stdout\" is a string\n    write access = { to = \"stdout\" }",
        ),
        (
            and("[log]\naccess = \"x\"\n"),
            "log.access: \"x\" is a string\n    expected a table",
        ),
        (
            and("[[upstream.health_check]]\npath = \"/\"\n"),
            "upstream.health_check[0].kind: is missing\n    add it: one of \"http\", \"grpc\", \"tcp\"",
        ),
    ]);
    let variable = ("CELLWAY__LOG__ACCESS__REQUESTS", "true");
    let found = load_with(LEAST, &[variable]).unwrap_err().to_string();
    assert!(
        found.contains(&format!("log.access.requests: is true\n    {words}")),
        "{found}"
    );
}

/// Catches: a message that lists all settings of a table, although the setting just belongs in another table.
#[test]
fn names_the_table_that_a_setting_belongs_in() {
    let upstream = |setting: &str| and(&format!("[upstream]\n{setting}\n"));
    each_is_named(&[
        (
            upstream("hedge_after_ms = 20"),
            "upstream.hedge_after_ms: unknown setting `hedge_after_ms`\n    it belongs in [[traffic]]",
        ),
        (
            upstream("retry_statuses = [503]"),
            "upstream.retry_statuses: unknown setting `retry_statuses`\n    it belongs in [[traffic]]",
        ),
        (
            upstream("try_timeout_ms = 20"),
            "it belongs in [[traffic]]; or did you mean `tls_timeout_ms`?",
        ),
        (
            and("[breaker]\nfailures = 1\n"),
            "breaker: unknown setting `breaker`\n    write [upstream.breaker]",
        ),
        (
            and("[[health_check]]\nkind = \"tcp\"\n"),
            "health_check: unknown setting `health_check`\n    write [[upstream.health_check]]",
        ),
        (
            and("[tls]\ncertificate = \"a\"\n"),
            "tls: unknown setting `tls`\n    write [listener.tls] or [admin.tls]",
        ),
        // Too many tables have it.
        (
            and("[trust]\nname = \"a\"\n"),
            "trust.name: unknown setting `name`\n    known here: ",
        ),
    ]);
}
