mod forms;
mod hints;
mod mistakes;
mod proxies;
mod rates;

use cellway_core::adaptive_limit::AdaptiveSettings;
use cellway_core::policy::Mode;

use super::*;

const EXAMPLE: &str = include_str!("../../../../../docs/cellway.example.toml");

/// The shortest valid configuration.
const LEAST: &str = r#"
[[listener]]
name = "local"
bind = "127.0.0.1:8080"

[[issuer]]
name = "main"
issuer = "https://idp.example"
audience = "cellway"

[[policy]]
name = "default"
any_of = ["jwt"]

[registry]
file = "registry.json"
"#;

fn load(text: &str) -> Result<Config, ConfigErrors> {
    Config::load("etc/cellway.toml", text, [])
}

fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let variables = variables
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()));
    Config::load("etc/cellway.toml", text, variables)
}

fn errors(text: &str) -> String {
    load(text)
        .expect_err("the configuration has mistakes")
        .to_string()
}

/// Catches: an adaptive limit that is on by default, and a default that the example doesn't show.
#[test]
fn an_adaptive_limit_is_off_unless_it_is_enabled() {
    let adaptive = |table: &str| {
        let text = format!("{LEAST}[upstream.adaptive_limit]\n{table}");
        load(&text).unwrap().router.upstream.limits.adaptive
    };
    assert_eq!(adaptive("requests_min = 4\n"), None);
    let default = Some(AdaptiveSettings::default());
    assert_eq!(adaptive("enabled = true\n"), default);
    let lines = EXAMPLE.lines();
    let lines = lines.skip_while(|line| *line != "# [upstream.adaptive_limit]");
    let shown = lines.skip(2).take(4);
    let shown: Vec<_> = shown.map(|line| line.strip_prefix("# ").unwrap()).collect();
    assert!(shown[3].starts_with("remeasure_secs"), "{shown:?}");
    assert_eq!(
        adaptive(&format!("enabled = true\n{}", shown.join("\n"))),
        default
    );
}

#[test]
fn the_example_file_is_valid_and_shows_the_defaults() {
    let config = load(EXAMPLE).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.router.listeners.len(), 1);
    assert_eq!(config.admin.unwrap().port(), 9901);

    // Each commented setting must be known too, so each is turned on alone. An alternative may
    // contradict the settings around it, but must not be unknown. A setting in a commented table is
    // turned on together with the table's header line.
    let mut shown = 0;
    let mut table = None;
    for (i, line) in EXAMPLE.lines().enumerate() {
        let comment = line.strip_prefix("# ");
        match comment {
            None => table = None,
            Some(comment) if comment.starts_with('[') => table = Some(i),
            Some(_) => {}
        }
        let Some(setting) = comment.filter(|line| is_setting(line)) else {
            continue;
        };
        shown += 1;
        let on = |(j, line): (usize, &'static str)| match line.strip_prefix("# ") {
            Some(comment) if i == j || table == Some(j) => comment,
            Some(_) | None => line,
        };
        let on: Vec<_> = EXAMPLE.lines().enumerate().map(on).collect();
        if let Err(errors) = load(&on.join("\n")) {
            let text = errors.to_string();
            assert!(!text.contains("unknown setting"), "{setting}\n{text}");
            assert!(!text.contains("wrong"), "{setting}\n{text}");
        }
    }
    assert!(shown > 30, "{shown} settings are shown as comments");
}

fn is_setting(line: &str) -> bool {
    let name = line.split(" = ").next().unwrap_or_default();
    line.contains(" = ") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

#[test]
fn a_table_where_a_list_belongs_is_told_its_brackets() {
    let text = LEAST.replace("[[listener]]", "[listener]");
    assert_eq!(
        errors(&text),
        "etc/cellway.toml:2: listener: is a table\n    \
         write it as [[listener]]: there may be several"
    );
    let text = LEAST.replace("any_of = [\"jwt\"]", "any_of = \"jwt\"");
    assert!(errors(&text).ends_with("write it as a list: [\"jwt\"]"));
}

#[test]
fn commented_defaults_are_the_defaults() {
    let shown = load(
        &EXAMPLE
            .replace("# connect_timeout_ms", "connect_timeout_ms")
            .replace("# header_timeout_ms", "header_timeout_ms")
            .replace("# idle_timeout_ms", "idle_timeout_ms")
            .replace("# tls_timeout_ms", "tls_timeout_ms")
            .replace("# keep_ms", "keep_ms")
            .replace("# slow_start_secs", "slow_start_secs")
            .replace("# [upstream.breaker]", "[upstream.breaker]")
            .replace("# failures", "failures")
            .replace("# open_ms", "open_ms")
            .replace("# [upstream.outlier]", "[upstream.outlier]")
            .replace("# connection_failures", "connection_failures")
            .replace("# answer_failures", "answer_failures")
            .replace("# statuses = [502", "statuses = [502")
            .replace("# grpc_statuses", "grpc_statuses")
            .replace("# ejection_secs", "ejection_secs")
            .replace("# ejection_factor", "ejection_factor")
            .replace("# ejection_max_secs", "ejection_max_secs")
            .replace("# ejected_percent_max", "ejected_percent_max")
            .replace("# handshake_timeout_ms", "handshake_timeout_ms")
            .replace("# first_byte_timeout_ms", "first_byte_timeout_ms")
            .replace("# connections_max", "connections_max")
            .replace("# streams_max", "streams_max")
            .replace("# requests_max", "requests_max")
            .replace("# stale_after_secs", "stale_after_secs")
            .replace("# identity_max_age_secs", "identity_max_age_secs")
            .replace("# bytes_max", "bytes_max")
            .replace("# retry_max_secs", "retry_max_secs")
            .replace("# drain_secs", "drain_secs")
            .replace("# watch_secs", "watch_secs"),
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    let least = load(EXAMPLE).unwrap();
    let (a, b) = (&shown.router, &least.router);
    assert_eq!(a.upstream.timeouts, b.upstream.timeouts);
    assert_eq!(a.upstream.limits, b.upstream.limits);
    assert_eq!(a.upstream.health, b.upstream.health);
    assert_eq!(a.upstream.breaker, b.upstream.breaker);
    assert_eq!(a.upstream.failing_answers, b.upstream.failing_answers);
    assert_eq!(a.listeners[0].timeouts, b.listeners[0].timeouts);
    assert_eq!(
        a.listeners[0].connections_max,
        b.listeners[0].connections_max
    );
    assert_eq!(a.listeners[0].streams_max, b.listeners[0].streams_max);
    assert_eq!(a.sources.registry.timing, b.sources.registry.timing);
    assert_eq!(a.sources.registry.limits, b.sources.registry.limits);
    assert_eq!(shown.watch, least.watch);
    assert_eq!(shown.drain, least.drain);
}

/// Catches: a listener that ignores the table called "default", a route that doesn't inherit, and a
/// 0 that is taken for a limit.
#[test]
fn traffic_is_found_by_its_name_and_inherited_by_routes() {
    let listener = "8080\"\nroute = [{ path = \"/a\", traffic = \"long\" }, { path = \"/b\", policy = \"default\" }]";
    let text = LEAST.replace("8080\"", listener)
        + "[[traffic]]\nname = \"long\"\ntotal_timeout_ms = 0\n\
           [[traffic]]\nname = \"default\"\nheader_timeout_ms = 5\ntotal_timeout_ms = 7\n";
    let config = load(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let listener = &config.router.listeners[0];
    let upstream = &config.router.upstream.timeouts;
    let of = |path| {
        let routed = listener.route_of(path).unwrap();
        let timeouts = routed.traffic.timeouts(upstream);
        (&*routed.traffic.name, timeouts.header, timeouts.total)
    };
    let ms = Duration::from_millis;
    assert_eq!(of("/a"), ("long", upstream.header, None));
    assert_eq!(of("/b"), ("default", ms(5), Some(ms(7))));
    assert_eq!(of("/c"), ("default", ms(5), Some(ms(7))));
}

#[test]
fn paths_are_taken_from_the_folder_of_the_file() {
    let config = load(LEAST).unwrap();
    let location = config.router.sources.registry.location;
    assert_eq!(location.source(), "file:etc/registry.json");
    let absolute = LEAST.replace("registry.json", "/srv/registry.json");
    let location = load(&absolute).unwrap().router.sources.registry.location;
    assert_eq!(location.source(), "file:/srv/registry.json");
}

#[test]
fn names_every_mistake_of_form_at_once() {
    let text = r#"
[[listener]]
name = "public"
bind = "nowhere"
polcy = "default"

[[issuer]]
name = "main"
issuer = "https://idp.example"
audience = "cellway"
leeway_exp_secs = "soon"

[[policy]]
any_of = ["jwt", "password"]

[registry]
file = "registry.json"
identity_max_age_secs = "never"

[metrics]
"#;
    assert_eq!(
        errors(text),
        "\
etc/cellway.toml:4: listener[0].bind: \"nowhere\": host names are not accepted here
    use an IP address, such as 127.0.0.1:8443
etc/cellway.toml:5: listener[0].polcy: unknown setting `polcy`
    did you mean `policy`?
etc/cellway.toml:11: issuer[0].leeway_exp_secs: \"soon\" is a string
    write a number of seconds, as 30
etc/cellway.toml:13: policy[0].name: is missing
    add it
etc/cellway.toml:14: policy[0].any_of[1]: unknown value `password`
    known here: jwt, mtls, routing_key
etc/cellway.toml:18: registry.identity_max_age_secs: has the wrong form
    write a number of seconds, as 30, or \"off\"
etc/cellway.toml:20: metrics: unknown setting `metrics`
    known here: listener, issuer, policy, traffic, rate_limits, trust, registry, upstream, fetch, headers, cba, routing_key, envelope, state, admin, health, runtime, log, trace, explain"
    );
}

#[test]
fn names_every_syntax_error_with_its_line() {
    let text = errors("a = \nb = 1\nc = [1,\n");
    assert!(
        text.contains("etc/cellway.toml:1: not valid TOML"),
        "{text}"
    );
    assert!(text.lines().count() >= 2, "{text}");
}

/// Catches: a message about numbers for the most common mistake in TOML.
#[test]
fn text_without_quotes_is_shown() {
    for (line, value) in [
        ("issuer = idp", "idp"),
        (
            "jwks_uri = https://idp.example/keys # no quotes",
            "https://idp.example/keys",
        ),
        ("bind = 127.0.0.1:8443", "127.0.0.1:8443"),
        ("bundle = /etc/ca.pem", "/etc/ca.pem"),
    ] {
        let name = line.split(' ').next().unwrap();
        let text = errors(&format!("[a]\n{line}\n"));
        let expected = format!(
            "etc/cellway.toml:2: not valid TOML: {name} = {value}\n    text needs quotes: {name} = \"{value}\""
        );
        assert!(text.contains(&expected), "{text}");
    }
    // Other mistakes keep the parser's words.
    let text = errors("a = [1,\n");
    assert!(!text.contains("quotes"), "{text}");
}

#[test]
fn variables_override_the_file() {
    let config = load_with(
        LEAST,
        &[
            ("CELLWAY__LISTENER__0__BIND", "127.0.0.1:9999"),
            ("CELLWAY__LISTENER__1__NAME", "second"),
            ("CELLWAY__LISTENER__1__BIND", "127.0.0.1:9998"),
            ("CELLWAY__UPSTREAM__REQUESTS_MAX", "7"),
            ("CELLWAY__POLICY__0__MODE", "permissive"),
            // This looks like a number, but the setting needs a string.
            ("CELLWAY__POLICY__0__ANONYMOUS_PLACEMENT", "17"),
            ("CELLWAY__ISSUER__0__AUDIENCE", r#"["a", "b"]"#),
            ("CELLWAY__ROUTING_KEY__MAX_AGE_SECS", "7"),
            ("CELLWAY__ROUTING_KEY__HEADER", "x-shard"),
            ("CELLWAY__LOG__LEVEL", "debug"),
            ("CELLWAY__ENVELOPE__KEYS", "sealing"),
            ("CELLWAY__ENVELOPE__LIFETIME_SECS", "7"),
            // Kubernetes sets this for a service called cellway.
            ("CELLWAY_SERVICE_HOST", "10.0.0.1"),
            ("CELLWAY_PORT", "tcp://10.0.0.1:80"),
        ],
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    let listeners = &config.router.listeners;
    let listeners: Vec<_> = listeners
        .iter()
        .map(|l| (&*l.name, l.bind.port()))
        .collect();
    assert_eq!(listeners, [("local", 9999), ("second", 9998)]);
    assert_eq!(config.router.upstream.limits.requests_max, 7);
    let auth = &config.router.policy.auths()[0];
    assert_eq!(auth.mode, Mode::Permissive);
    assert_eq!(auth.anonymous_placement.as_ref().unwrap().as_str(), "17");
    assert_eq!(config.router.policy.issuers[0].audiences.len(), 2);
    let headers = &config.router.policy.headers;
    assert_eq!(headers.routing_key_signature(), "x-shard-signature");
    assert_eq!(config.log.level, crate::observe::log::Level::Debug);
    let envelope = config.router.envelope.unwrap();
    assert_eq!(envelope.keys, "etc/sealing");
    assert_eq!(envelope.lifetime.as_secs(), 7);
    assert_eq!(envelope.jwks_max_age.as_secs(), 300);
    assert_eq!(&*envelope.issuer, "cellway");
}

#[test]
fn a_key_for_subjects_is_beside_the_file_and_only_for_hashes() {
    let with = |log: &str| format!("{LEAST}\n[log]\n{log}\n");
    let config = load(&with("subject_key = \"subjects.key\"")).unwrap();
    assert_eq!(config.log.subject_key.as_deref(), Some("etc/subjects.key"));
    let text = errors(&with("subject = \"raw\"\nsubject_key = \"subjects.key\""));
    assert!(
        text.contains("log.subject_key: requires log.subject"),
        "{text}"
    );
    let text = errors(&with("subject = \"plain\""));
    assert!(text.contains("known here: hash, raw, off"), "{text}");
    let config = load_with(LEAST, &[("CELLWAY__LOG__SUBJECT", "off")]).unwrap();
    assert_eq!(config.log.subject, crate::observe::log::SubjectForm::Off);
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let errors = load_with(
        LEAST,
        &[
            ("CELLWAY__LISTENER__0__BIND", "nowhere"),
            ("CELLWAY__LISTENER__3__BIND", "127.0.0.1:1"),
            ("CELLWAY__LISTENER__BIND", "127.0.0.1:1"),
            ("CELLWAY__REGISTRY__FILE__NAME", "x"),
            ("CELLWAY__UPSTREM__REQUESTS_MAX", "7"),
            ("CELLWAY____X", "7"),
        ],
    )
    .unwrap_err()
    .to_string();
    for expected in [
        "CELLWAY__LISTENER__0__BIND: listener[0].bind: \"nowhere\": host names are not accepted here",
        "CELLWAY__LISTENER__3__BIND: `listener` has 1 entries, so the next one is number 1, not 3",
        "CELLWAY__LISTENER__BIND: `listener` is a list",
        "CELLWAY__REGISTRY__FILE__NAME: `registry.file` is a string",
        "CELLWAY__UPSTREM__REQUESTS_MAX: upstrem: unknown setting `upstrem`\n    did you mean `upstream`?",
        "CELLWAY____X: has an empty part",
    ] {
        assert!(
            errors.contains(expected),
            "expected {expected}\nfound {errors}"
        );
    }
}

#[test]
fn a_variable_cannot_bring_settings_of_its_own() {
    let smuggled = "\"x\"\n[admin]\nbind = \"127.0.0.1:1\"";
    let config = load_with(LEAST, &[("CELLWAY__LISTENER__0__NAME", smuggled)]).unwrap();
    assert_eq!(&*config.router.listeners[0].name, smuggled);
    assert_eq!(config.admin, None);
}

/// Catches: a mistake in a variable that is reported as a line of the file, because the file had
/// written the same setting, or the list or table that holds it.
#[test]
fn a_mistake_in_a_variable_is_not_reported_as_a_line() {
    let text = LEAST.to_owned()
        + "\n[log]\nlevel = \"info\"\n[upstream]\nrequests_max = 7\n\
           [fetch]\nproxy = \"http://proxy.example:3128\"\nno_proxy = [\"a.example\"]\n";
    for (name, value, expected) in [
        (
            "LOG",
            "{ level = \"nope\" }",
            "log.level: unknown value `nope`",
        ),
        (
            "UPSTREAM",
            "{ requests_max = 0 }",
            "upstream.requests_max: is 0",
        ),
        (
            "LISTENER__0",
            "{ name = \"local\", bind = \"x\" }",
            "listener[0].bind: ",
        ),
        (
            "ISSUER",
            "[{ name = \"main\", issuer = \"\", audience = \"a\" }]",
            "issuer[0].issuer: ",
        ),
        ("POLICY__0__ANY_OF__0", "nope", "policy[0].any_of[0]: "),
        (
            "FETCH__NO_PROXY__0",
            "10.0.0.0/99",
            "fetch.no_proxy: \"10.0.0.0/99\" ",
        ),
    ] {
        let name = format!("CELLWAY__{name}");
        let found = load_with(&text, &[(&name, value)]).unwrap_err();
        let found = found.to_string();
        let expected = format!("{name}: {expected}");
        assert!(found.contains(&expected), "{expected}\n{found}");
    }
}

/// Catches: a variable that is ignored, and a router that runs without it.
#[test]
fn a_variable_that_is_not_text_is_refused() {
    for (name, value) in [
        ("CELLWAY__LOG__LEVEL", "de\u{fffd}bug"),
        ("CELLWAY__LOG__LEV\u{fffd}L", "debug"),
    ] {
        let found = load_with(LEAST, &[(name, value)]).unwrap_err().to_string();
        assert!(
            found.starts_with(&format!("{name}: is not UTF-8 text")),
            "{found}"
        );
    }
}
