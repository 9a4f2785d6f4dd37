//! Each mistake is named with its place, its setting and what to do.

use super::*;

/// Checks that each of these files has a mistake, and that this is said about it: place, setting,
/// problem.
pub(super) fn each_is_named(table: &[(String, &str)]) {
    for (text, expected) in table {
        let errors = errors(text);
        assert!(
            errors.contains(expected),
            "expected {expected}\nfound {errors}\nin {text}"
        );
    }
}

/// The shortest valid configuration, with one more table at its end.
pub(super) fn and(table: &str) -> String {
    LEAST.to_owned() + table
}

#[test]
fn names_mistakes_of_the_access_log() {
    each_is_named(&[
        (
            and("[log.access]\nrequests = \"all\"\n"),
            "log.access.requests: unknown value `all`",
        ),
        (
            and("[log.access]\nrequests = \"sampled\"\none_in = 0\n"),
            "log.access.one_in: is 0",
        ),
        (
            and("[log.access]\none_in = 10\n"),
            "log.access.one_in: requires log.access.requests = \"sampled\"",
        ),
    ]);
}

#[test]
fn names_mistakes_of_the_adaptive_limit() {
    let with = |setting: &str| and(&format!("[upstream.adaptive_limit]\n{setting}\n"));
    each_is_named(&[
        (
            with("requests_min = 0"),
            "upstream.adaptive_limit.requests_min: is 0",
        ),
        (
            with("tolerance_percent = 1001"),
            "upstream.adaptive_limit.tolerance_percent: is 1001",
        ),
        (
            with("window_ms = 0"),
            "upstream.adaptive_limit.window_ms: is 0 milliseconds",
        ),
        (
            with("remeasure_secs = 0"),
            "upstream.adaptive_limit.remeasure_secs: is 0 seconds",
        ),
    ]);
}

#[test]
fn names_mistakes_of_traffic() {
    each_is_named(&[
        (
            and("[[traffic]]\nname = \"a\"\npriority = \"urgent\"\n"),
            "traffic[0].priority: unknown value `urgent`",
        ),
        (and("[[traffic]]\n"), "traffic[0].name: is missing"),
        (
            and("[[traffic]]\nname = \"\"\n"),
            "traffic[0].name: is empty",
        ),
        (
            and("[[traffic]]\nname = \"a\"\n[[traffic]]\nname = \"a\"\n"),
            "traffic[1].name: another [[traffic]] has the name `a` too",
        ),
        (
            and("[[traffic]]\nname = \"a\"\nheader_timeout_ms = 0\n"),
            "traffic[0].header_timeout_ms: is 0 milliseconds",
        ),
    ]);
}

#[test]
fn names_mistakes_of_listeners() {
    let tls = "\n[listener.tls]\ncertificate = \"a\"\nkey = \"b\"\n";
    each_is_named(&[
        (LEAST.replace("127.0.0.1:8080", "0.0.0.0:8080"), "etc/cellway.toml:4: listener[0].bind: is not a loopback address, and the listener has no TLS"),
        (LEAST.replace("any_of = [\"jwt\"]", "mode = \"disabled\"\nallow_insecure = true\ninsecure_identity = { tenant = \"a\" }").replace("127.0.0.1:8080\"", "0.0.0.0:8080\"\nallow_plain = true"), "listener[0].bind: is not a loopback address, and its policy is `disabled`"),
        (LEAST.replace("8080\"", "8080\"\nroute = [{ path = \"/a\", policy = \"strict\" }]"), "listener[0].route[0].policy: unknown policy \"strict\"\n    known policies: default"),
        (LEAST.replace("8080\"", "8080\"\nroute = [{ path = \"/a\" }]"), "listener[0].route[0]: says nothing about its path\n    set policy, traffic or both"),
        (LEAST.replace("8080\"", "8080\"\ntraffic = \"slow\"") + "[[traffic]]\nname = \"slo\"\n", "listener[0].traffic: unknown [[traffic]] \"slow\"\n    did you mean \"slo\"?"),
        (LEAST.replace("8080\"", "8080\"\nroute = [{ path = \"/a\", traffic = \"slow\" }]"), "listener[0].route[0].traffic: unknown [[traffic]] \"slow\""),
        (LEAST.replace("8080\"", "8080\"\nserves = \"ext_authz\"\ncallers = \"loopback\"\ntraffic = \"default\""), "listener[0].traffic: has no effect, because the listener forwards nothing"),
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
            "admin.bind: is not a loopback address, and without [admin.tls]",
        ),
        (
            and(
                "[admin]\nbind = \"0.0.0.0:9901\"\ntls = { certificate = \"a\", key = \"b\", \
                 bundle = \"c\", clients = [] }\n",
            ),
            "admin.tls.clients: is empty",
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
fn names_mistakes_of_traces() {
    each_is_named(&[
        (
            and("[trace]\notlp_url = \"http://collector.example:4318/v1/traces\"\n"),
            "trace.otlp_url: ",
        ),
        (
            and("[trace]\nservice = \"edge\"\n"),
            "trace.service: requires trace.otlp_url",
        ),
        (
            and("[trace]\notlp_url = \"https://collector.example/v1/traces\"\nservice = \"\"\n"),
            "trace.service: has 0 bytes",
        ),
    ]);
}

#[test]
fn names_mistakes_of_explanations() {
    let with = |digest: &str| and(&format!("[explain]\ntoken_sha256 = [\"{digest}\"]\n"));
    let empty = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
    each_is_named(&[
        (
            and("[explain]\ntoken_sha256 = []\n"),
            "explain.token_sha256: has 0 digests",
        ),
        (
            with("secret"),
            "explain.token_sha256[0]: is not a SHA-256 digest",
        ),
        (
            with(&"g".repeat(64)),
            "explain.token_sha256[0]: is not a SHA-256 digest",
        ),
        (
            with(empty),
            "explain.token_sha256[0]: is the digest of an empty token",
        ),
        (
            with(&"a".repeat(64)) + "per_second = 0\n",
            "explain.per_second: is 0",
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
        (LEAST.replace("8080\"", "8080\"\nserves = \"ext_authz\"\ncallers = [\"loopback\"]"), "listener[0].callers: has \"loopback\" in a list, where it would be a name in a client certificate"),
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
        (
            and("[[traffic]]\nname = \"t\"\nretry_statuses = [200]\n"),
            "traffic[0].retry_statuses: has 200\n    list statuses from 400 to 599",
        ),
        (and("[runtime]\nworkers = 0\n"), "runtime.workers: is 0"),
        (and("[headers]\nprefix = \"y\"\n"), "headers.prefix"),
    ]);
}

#[test]
fn names_mistakes_of_endpoints_health() {
    each_is_named(&[
        (
            and("[upstream]\npanic_threshold_percent = 101\n"),
            "upstream.panic_threshold_percent: is 101\n    give 0 to 100",
        ),
        (
            and("[upstream]\nwhen_all_ejected = \"fail\"\npanic_threshold_percent = 50\n"),
            "upstream.panic_threshold_percent: has no effect with upstream.when_all_ejected = \"fail\"",
        ),
        (
            and("[upstream]\nwhen_all_ejected = \"retry\"\n"),
            "upstream.when_all_ejected: unknown value `retry`\n    known here: panic, fail",
        ),
        (
            and("[upstream.outlier]\nstatuses = [503, 200]\n"),
            "upstream.outlier.statuses: has 200\n    list statuses from 400 to 599",
        ),
        (
            and("[upstream.outlier]\ngrpc_statuses = [0]\n"),
            "upstream.outlier.grpc_statuses: has 0\n    list gRPC statuses from 1 to 16",
        ),
        (
            and("[upstream.outlier]\nejection_factor = 0\n"),
            "upstream.outlier.ejection_factor: is 0\n    give 1 to 10",
        ),
        (
            and("[[upstream.health_check]]\nkind = \"tcp\"\npath = \"/\"\n"),
            "upstream.health_check[0].path: is not for this kind of check\n    remove it",
        ),
        (
            and("[[upstream.health_check]]\nkind = \"http\"\npath = \"healthz\"\n"),
            "upstream.health_check[0].path: \"healthz\" is not a path",
        ),
        (
            and("[[upstream.health_check]]\nkind = \"http\"\nstatuses = [100]\n"),
            "upstream.health_check[0].statuses: has 100\n    list statuses from 200 to 599",
        ),
        (
            and("[[upstream.health_check]]\nkind = \"grpc\"\ninterval_ms = 99\n"),
            "upstream.health_check[0].interval_ms: is 99 milliseconds\n    give at least 100",
        ),
        (
            and("[[upstream.health_check]]\nkind = \"grpc\"\ncells = []\n"),
            "upstream.health_check[0].cells: is empty",
        ),
        (
            and("[[upstream.health_check]]\nkind = \"ping\"\n"),
            "upstream.health_check[0].kind: unknown value `ping`\n    known here: http, grpc, tcp",
        ),
        (
            and("[upstream.outlier]\nejection_secs = 60\nejection_max_secs = 59\n"),
            "upstream.outlier.ejection_max_secs: is shorter than ejection_secs",
        ),
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
