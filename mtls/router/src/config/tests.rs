use cellway_core::policy::Mode;
use cellway_env::fetch::Proxies;

use super::*;

const EXAMPLE: &str = include_str!("../../../../docs/cellway.example.toml");

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
    assert!(errors(&text).ends_with("expected a list"));
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
etc/cellway.toml:11: issuer[0].leeway_exp_secs: is \"soon\"
    expected a whole number, 0 or more
etc/cellway.toml:13: policy[0].name: is missing
    add it
etc/cellway.toml:14: policy[0].any_of[1]: unknown value `password`
    known here: jwt, mtls, routing_key
etc/cellway.toml:18: registry.identity_max_age_secs: has the wrong form
    expected a number of seconds, \"off\"
etc/cellway.toml:20: metrics: unknown setting `metrics`
    known here: listener, issuer, policy, trust, registry, upstream, fetch, headers, cba, routing_key, envelope, state, admin, health, runtime, log"
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

/// Checks that each of these files has a mistake, and that this is said about it: place, setting,
/// problem.
fn each_is_named(table: &[(String, &str)]) {
    for (text, expected) in table {
        let errors = errors(text);
        assert!(
            errors.contains(expected),
            "expected {expected}\nfound {errors}\nin {text}"
        );
    }
}

/// The shortest valid configuration, with one more table at its end.
fn and(table: &str) -> String {
    LEAST.to_owned() + table
}

#[test]
fn names_mistakes_of_listeners() {
    let tls = "\n[listener.tls]\ncertificate = \"a\"\nkey = \"b\"\n";
    each_is_named(&[
        (LEAST.replace("127.0.0.1:8080", "0.0.0.0:8080"), "etc/cellway.toml:4: listener[0].bind: is not a loopback address, and the listener has no TLS"),
        (LEAST.replace("any_of = [\"jwt\"]", "mode = \"disabled\"\nallow_insecure = true\ninsecure_identity = { tenant = \"a\" }").replace("127.0.0.1:8080\"", "0.0.0.0:8080\"\nallow_plain = true"), "listener[0].bind: is not a loopback address, and its policy is `disabled`"),
        (LEAST.replace("8080\"", "8080\"\nroute = [{ path = \"/a\", policy = \"strict\" }]"), "listener[0].route[0].policy: unknown policy \"strict\"\n    known policies: default"),
        (LEAST.replace("8080\"", "8080\"\nroute = [{ path = \"a\", policy = \"default\" }]"), "listener[0].route[0].path: \"a\" doesn't begin with a slash"),
        (LEAST.replace("8080\"", "8080\"\nroute = [{ path = \"/**\", policy = \"default\" }, { path = \"/a\", policy = \"default\" }]"), "listener[0].route[1].path: never applies: \"/**\" before it matches every path"),
        (LEAST.replace("8080\"", "8080\"\npolicy = \"strict\""), "etc/cellway.toml:5: listener[0].policy: unknown policy \"strict\"\n    known policies: default"),
        (LEAST.replace("[[issuer]]", "[[listener]]\nname = \"local\"\nbind = \"127.0.0.1:8080\"\n[[issuer]]"), "listener[1].name: another listener has the name `local` too"),
        (LEAST.replace("[[issuer]]", &format!("{tls}client_certificate = \"optional\"\n[[issuer]]")), "listener[0].tls.client_certificate: asks clients for certificates, but trust.bundle is not set\n    set trust.bundle"),
        (LEAST.replace("[[listener]]\nname = \"local\"\nbind = \"127.0.0.1:8080\"", ""), "listener: there is none"),
    ]);
}

#[test]
fn names_addresses_that_overlap_or_are_too_open() {
    each_is_named(&[
        (
            LEAST.replace(
                "[[issuer]]",
                "[[listener]]\nname = \"other\"\nbind = \"127.0.0.1:8080\"\n[[issuer]]",
            ),
            "listener[1].bind: 127.0.0.1:8080 overlaps the address of listener",
        ),
        (
            and("[admin]\nbind = \"0.0.0.0:9901\"\n"),
            "admin.bind: is not a loopback address",
        ),
        (
            and("[health]\nbind = \"0.0.0.0:8080\"\n"),
            "health.bind: 0.0.0.0:8080 overlaps the address of listener \"local\", 127.0.0.1:8080",
        ),
        (
            and("[admin]\nbind = \"127.0.0.1:9900\"\n[health]\nbind = \"0.0.0.0:9900\"\n"),
            "health.bind: 0.0.0.0:9900 overlaps the address of the admin listener, 127.0.0.1:9900",
        ),
        (
            and("[admin]\nbind = \"127.0.0.1:8080\"\n"),
            "admin.bind: 127.0.0.1:8080 overlaps the address of listener \"local\"",
        ),
    ]);
}

#[test]
fn names_mistakes_of_external_authorization() {
    each_is_named(&[
        (LEAST.replace("8080\"", "8080\"\nserves = \"ext_authz\""), "listener[0].callers: is missing, so every request would be refused"),
        (LEAST.replace("8080\"", "8080\"\ncallers = \"loopback\""), "listener[0].callers: requires serves = \"ext_authz\""),
        (LEAST.replace("127.0.0.1:8080\"", "0.0.0.0:8080\"\nallow_plain = true\nserves = \"ext_authz\"\ncallers = \"loopback\""), "listener[0].callers: is \"loopback\", but the listener's address isn't one"),
        (LEAST.replace("8080\"", "8080\"\nserves = \"ext_authz\"\ncallers = []"), "listener[0].callers: is empty or has an empty name"),
        (LEAST.replace("8080\"", "8080\"\nserves = \"ext_authz\"\ncallers = [\"spiffe://a/envoy\"]"), "listener[0].tls.client_certificate: is not `required`, but the listener identifies its callers by their certificates"),
    ]);
}

/// Catches: an empty path that is joined to the configuration's folder, or that a reader reports
/// without the setting's name. An empty variable is a common mistake in a deployment's template.
#[test]
fn refuses_every_empty_path() {
    let tls = "8080\"\ntls = { certificate = \"\", key = \"\" }";
    let text = LEAST.replace("8080\"", tls)
        + "[trust]\nbundle = \"\"\ncrl = [\"\"]\n\
           trust_domains = [{ name = \"example\", bundle = \"\" }]\n\
           [upstream]\nbundle = \"\"\ncertificate = \"\"\nkey = \"\"\n\
           [fetch]\nbundle = \"\"\ncertificate = \"\"\nkey = \"\"\n\
           [envelope]\nkeys = \"\"\n[log]\nsubject = \"hash\"\nsubject_key = \"\"\n";
    let variables = [
        "STATE__DIRECTORY",
        "REGISTRY__FILE",
        "REGISTRY__TOKEN_FILE",
        "ISSUER__0__JWKS_FILE",
    ];
    let variables = variables.map(|name| format!("CELLWAY__{name}"));
    let empty: Vec<_> = variables.iter().map(|name| (&**name, "")).collect();
    let found = load_with(&text, &empty).unwrap_err().to_string();
    for place in [
        "etc/cellway.toml:5: listener[0].tls.certificate",
        "etc/cellway.toml:5: listener[0].tls.key",
        "etc/cellway.toml:19: trust.bundle",
        "etc/cellway.toml:20: trust.crl[0]",
        "etc/cellway.toml:21: trust.trust_domains[0].bundle",
        "etc/cellway.toml:23: upstream.bundle",
        "etc/cellway.toml:24: upstream.certificate",
        "etc/cellway.toml:25: upstream.key",
        "etc/cellway.toml:27: fetch.bundle",
        "etc/cellway.toml:28: fetch.certificate",
        "etc/cellway.toml:29: fetch.key",
        "etc/cellway.toml:31: envelope.keys",
        "etc/cellway.toml:34: log.subject_key",
        "CELLWAY__STATE__DIRECTORY: state.directory",
        "CELLWAY__REGISTRY__FILE: registry.file",
        "CELLWAY__REGISTRY__TOKEN_FILE: registry.token_file",
        "CELLWAY__ISSUER__0__JWKS_FILE: issuer[0].jwks_file",
    ] {
        let expected = format!("{place}: is empty\n    write a path, or remove the setting");
        assert_eq!(found.matches(&expected).count(), 1, "{expected}\n{found}");
    }
}

#[test]
fn names_mistakes_of_credentials() {
    let by_gateway = LEAST.replace("[\"jwt\"]", "[\"routing_key\"]").replace(
        "[[issuer]]",
        "[listener.tls]\ncertificate = \"s.pem\"\nkey = \"s.key\"\n[trust]\nbundle = \"ca.pem\"\n\
         trust_domains = [\"example\"]\n[routing_key]\n\
         gateways = [{ san = \"spiffe://example/gateway\", tenants = \"any\" }]\n[[issuer]]",
    );
    each_is_named(&[
        (
            LEAST.replace("[\"jwt\"]", "[\"routing_key\"]"),
            "routing_key.gateways: is missing, and a policy accepts routing keys",
        ),
        (
            by_gateway.clone(),
            "listener[0].tls.client_certificate: asks for none, but the listener's policy requires a gateway's certificate",
        ),
        (
            by_gateway.replace(
                "[listener.tls]",
                "[listener.tls]\nclient_certificate = \"none\"",
            ),
            "listener[0].tls.client_certificate: asks for none, but the listener's policy",
        ),
        (
            and("[routing_key]\nmax_age_secs = 61\n"),
            "routing_key.max_age_secs: is 61\n    write 1 to 60",
        ),
        (
            and("[routing_key]\nheader = \"Host\"\n"),
            "routing_key.header: \"Host\" has a meaning of its own",
        ),
        (
            and("[routing_key]\nsigners = []\n"),
            "routing_key.signers: unknown setting `signers`",
        ),
        (
            LEAST.replace("audience = \"cellway\"", ""),
            "issuer[0].audience",
        ),
        (
            LEAST.replace("[\"jwt\"]", "[\"jwt\"]\nmode = \"permissive\""),
            "policy[0].anonymous_placement",
        ),
        (
            LEAST.replace("audience =", "algorithms = [\"HS256\"]\naudience ="),
            "issuer[0].algorithms",
        ),
    ]);
}

#[test]
fn names_mistakes_of_sources() {
    each_is_named(&[
        (
            LEAST.replace("file = \"registry.json\"", ""),
            "registry: has no source\n    set registry.file or registry.url",
        ),
        (
            LEAST.replace(
                "file = ",
                "url = \"https://c.example/manage/cells\"\nfile = ",
            ),
            "registry.url: is set, and registry.file too",
        ),
        (
            LEAST.replace(
                "file = \"registry.json\"",
                "url = \"http://control.example/manage/cells\"",
            ),
            "etc/cellway.toml:16: registry.url: is http, which is for this machine only\n    use https",
        ),
        (
            LEAST.replace("file = ", "token_file = \"t\"\nfile = "),
            "registry.token_file: requires registry.url",
        ),
        (
            LEAST.replace("[registry]", "jwks_uri = 1\n[registry]"),
            "policy[0].jwks_uri: unknown setting `jwks_uri`",
        ),
        (
            LEAST.replace(
                "audience =",
                "jwks_uri = \"http://idp.example/jwks\"\naudience =",
            ),
            "issuer[0].jwks_uri: is http",
        ),
        (
            LEAST.replace("\"https://idp.example\"", "\"joe\""),
            "issuer[0].issuer: is not an https URL, so its keys can't be discovered\n    set jwks_uri or jwks_file",
        ),
        (and("poll_secs = 0\n"), "registry.poll_secs: is 0 seconds"),
        (String::new(), "registry: is missing"),
    ]);
}

#[test]
fn names_mistakes_of_cells_and_limits() {
    each_is_named(&[
        (
            and("[upstream]\nbundle = \"b\"\ncertificate = \"a\"\n"),
            "upstream.certificate: has no key\n    set upstream.key",
        ),
        (
            and("[upstream]\nrequests_max = 0\n"),
            "upstream.requests_max: is 0",
        ),
        (
            and("[upstream]\nkeepalive_ms = 9999\n"),
            "upstream.keepalive_ms: is 9999 milliseconds\n    give at least 10000, and at least 300000 for gRPC servers",
        ),
        (
            and("[upstream]\nretry_percent = 101\n"),
            "upstream.retry_percent: is 101\n    give 0 to 100",
        ),
        (
            and("[upstream]\nanswer_header_bytes_max = 0\n"),
            "upstream.answer_header_bytes_max: is 0",
        ),
        (
            and("[upstream]\nanswer_header_fields_max = 1025\n"),
            "upstream.answer_header_fields_max: is 1025, more than the router reads of one answer\n    give at most 1024",
        ),
        (and("[runtime]\nworkers = 0\n"), "runtime.workers: is 0"),
        (and("[headers]\nprefix = \"y\"\n"), "headers.prefix"),
    ]);
}

#[test]
fn names_mistakes_of_envelopes() {
    each_is_named(&[
        (
            and("[envelope]\nform = \"hmac\"\nkeys = \"k\"\nlifetime_secs = 61\n"),
            "envelope.lifetime_secs: is 61 seconds\n    give 1 to 60",
        ),
        (and("[envelope]\nkeys = \"\"\n"), "envelope.keys: is empty"),
        (
            and("[envelope]\nform = \"jws\"\n"),
            "envelope.keys: is missing",
        ),
        (
            and("[envelope]\nkeys = \"k\"\nissuer = \"\"\n"),
            "envelope.issuer: is empty",
        ),
        (
            and("[envelope]\nkeys = \"k\"\njwks_max_age_secs = 86401\n"),
            "envelope.jwks_max_age_secs: is 86401 seconds\n    give 1 to 86400",
        ),
        (
            and("[envelope]\nkeys = \"k\"\nform = \"hmac\"\njwks_max_age_secs = 60\n"),
            "envelope.jwks_max_age_secs: requires form = \"jws\"",
        ),
        (
            and("[envelope]\nkeys = \"k\"\nform = \"rsa\"\n"),
            "envelope.form: unknown value `rsa`\n    known here: jws, hmac, compatible",
        ),
    ]);
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

/// The proxies of the example with these lines in `[fetch]` and these variables.
fn proxies(settings: &str, variables: &[(&str, &str)]) -> Result<Proxies, ConfigErrors> {
    let text = EXAMPLE.replace("[fetch]", &format!("[fetch]\n{settings}"));
    load_with(&text, variables).map(|config| config.router.sources.fetch.proxies)
}

const ENVIRONMENT: [(&str, &str); 2] = [
    ("HTTPS_PROXY", "http://a:1"),
    ("NO_PROXY", "x.example, 10.0.0.0/8"),
];

/// Catches: a proxy that is bypassed, and one that can't be turned off.
#[test]
fn a_proxy_comes_from_the_file_or_from_the_environment() {
    let through = |url: &str, except: &[&str]| {
        let mut proxies = Proxies::through(url).unwrap();
        for entry in except {
            proxies.except(entry).unwrap();
        }
        proxies
    };
    let none = Proxies::default;
    let networks = ["x.example", "10.0.0.0/8"];
    let own = "proxy = \"http://b:2\"";
    let lower = [("https_proxy", "a:1"), ("no_proxy", "*")];
    let both = [("HTTPS_PROXY", "a:1"), ("https_proxy", "c:3")];
    let setting = [("CELLWAY__FETCH__PROXY", "http://b:2")];
    for (settings, variables, expected) in [
        ("", &[][..], none()),
        ("", &ENVIRONMENT, through("a:1", &networks)),
        ("", &lower, through("a:1", &["*"])),
        ("", &both, through("c:3", &[])),
        ("", &[("HTTPS_PROXY", "")], none()),
        ("", &[("NO_PROXY", "x.example")], none()),
        ("", &[("HTTP_PROXY", "a:1")], none()),
        (own, &[], through("b:2", &[])),
        (own, &ENVIRONMENT, through("b:2", &networks)),
        ("no_proxy = []", &ENVIRONMENT, through("a:1", &[])),
        ("proxy = \"off\"", &ENVIRONMENT, none()),
        ("", &setting, through("b:2", &[])),
    ] {
        let found = proxies(settings, variables).unwrap();
        assert_eq!(found, expected, "{settings} {variables:?}");
    }
}

/// Catches: a proxy whose password is printed.
#[test]
fn a_bad_proxy_is_named_without_its_password() {
    let with_password = [("HTTPS_PROXY", "https://u:secret@a"), ("NO_PROXY", "*")];
    let no_network = [("HTTPS_PROXY", "a:1"), ("NO_PROXY", "10.0.0.0/99")];
    let scheme = "proxy = \"socks5://u:secret@a\"";
    let exception = "no_proxy = [\"http://x\"]";
    for (settings, variables, place) in [
        ("", with_password, "HTTPS_PROXY: fetch.proxy: "),
        ("", no_network, "NO_PROXY: fetch.no_proxy: "),
        (scheme, ENVIRONMENT, "etc/cellway.toml:"),
        (exception, ENVIRONMENT, "etc/cellway.toml:"),
    ] {
        let error = proxies(settings, &variables).unwrap_err();
        assert_eq!(error.errors.len(), 1, "{error}");
        let error = error.to_string();
        assert!(
            error.starts_with(place) && !error.contains("secret"),
            "{error}"
        );
    }
}
