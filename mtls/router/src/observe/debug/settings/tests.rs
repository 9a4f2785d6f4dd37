use std::collections::BTreeSet;

use toml::Table;

use super::*;
use crate::config::Config;
use crate::config::example::every_setting;

/// Settings of tables that are shown, which the page leaves out: it only permits others.
const LEFT_OUT: [&str; 1] = ["listener.allow_plain"];

const EXAMPLE: &str = include_str!("../../../../../../docs/cellway.example.toml");

const CONFIG: &str = "
[[listener]]
name = 'public'
bind = '127.0.0.1:0'
route = [{ path = '/admin/**', policy = 'strict' }, { path = '/slow/{id}', traffic = 'slow' }]
proxy_protocol = { from = ['10.0.0.0/8', '192.0.2.1'] }
forwarded = 'append'
tls = { certificate = 'server.pem', key = 'server.key', client_certificate = 'optional' }

[[listener]]
name = 'envoys'
bind = '127.0.0.1:9001'
serves = 'ext_authz'
callers = 'loopback'

[[listener]]
name = 'far-envoys'
bind = '0.0.0.0:9002'
policy = 'strict'
serves = 'ext_authz'
callers = ['spiffe://example/envoy']
tls = { certificate = 'server.pem', key = 'server.key', client_certificate = 'required' }

[[issuer]]
name = 'main'
issuer = 'https://idp.example'
audience = 'orders'
algorithms = ['ES256']
types = ['JWT', 'application/at+jwt']
jwks_uri = 'https://idp.example/keys?key=secret'
claims = { tenant = ['org', 'id'], tenants = 'tenants', roles = 'roles', scopes = 'scp', tier = 'tier' }
tenants = 'registry'
keys = { fresh_secs = 300 }

[[issuer]]
name = 'second'
issuer = 'https://second.example'
audience = ['orders', 'invoices']
tenants = ['acme']
jwks_file = 'second.json'

[[policy]]
name = 'default'
any_of = ['jwt', 'mtls']
issuers = ['main']
cba = { mode = 'monitor' }
cors = { origins = ['https://app.example'] }

[[policy.rule]]
methods = ['GET']
path = '/orders/{id}'
roles = ['viewer']
scopes = ['orders:read']

[[policy.rule]]
name = 'calls'
grpc = 'orders.v1.Orders/List'
allow = 'verified'

[[policy]]
name = 'strict'
all_of = ['jwt', 'mtls']
subject = 'optional'

[[policy]]
name = 'open'
mode = 'disabled'
allow_insecure = true
insecure_identity = { tenant = 'acme' }

[registry]
file = 'registry.json'

[trust]
bundle = 'clients-ca.pem'
crl = ['clients.crl']
crl_stale = 'allow'
trust_domains = [
    { name = 'example', tenants = ['acme'], bundle = 'example-ca.pem' },
    { name = 'other.example', tenants = 'registry' },
]
san = ['spiffe://{trust_domain}/tenant/{tenant}/**']

[headers]
rename = { cell = 'x-cell' }

[cba]
mode = 'require'
one_use = true

[envelope]
form = 'hmac'
keys = 'envelope-keys'
lifetime_secs = 20

[trace]
start_one_in = 50
otlp_url = 'https://collector.example/v1/traces?key=secret'

[log]
level = 'debug'
subject_key = 'subjects.key'
access = { requests = 'sampled', one_in = 7, to = 'stdout' }

[[traffic]]
name = 'default'
total_timeout_ms = 0
try_timeout_ms = 400
retry_statuses = [503]
retry_resets = true
hedge_after_ms = 200
body_bytes_max = 1000
rate_limit = [{ per = 'placement', requests = 7, window_secs = 2, burst = 3, always = true }]
rate_limit_fields = true
priority = 'high'

[[traffic]]
name = 'slow'
header_timeout_ms = 50000
upgrades = []

[upstream]
header_timeout_ms = 1234
total_timeout_ms = 60000
queue_max = 9
bundle = 'cells-ca.pem'
certificate = 'router.pem'
key = 'router.key'

[upstream.outlier]
statuses = [500, 599]
grpc_statuses = [1, 16]

[upstream.adaptive_limit]
enabled = true

[[upstream.health_check]]
kind = 'http'
cells = ['a']
host = 'a.example'

[[upstream.health_check]]
kind = 'grpc'
service = 'orders.v1.Orders'
";

/// The least that a configuration has.
const LEAST: &str = "
[[listener]]
name = 'public'
bind = '127.0.0.1:0'

[[policy]]
name = 'default'
mode = 'disabled'
allow_insecure = true
insecure_identity = { tenant = 'acme' }

[registry]
file = 'registry.json'

[upstream]
when_all_ejected = 'fail'

[trace]
";

/// What the page shows of a configuration.
fn shown(config: &str) -> Value {
    let loaded = Config::load("cellway.toml", config, []);
    let settings = loaded
        .unwrap_or_else(|errors| panic!("{errors}\n{config}"))
        .router;
    in_force(&settings, &settings.policy)
}

/// The same without `null`, which stands for an absent setting.
fn without_null(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let given = fields.iter().filter(|(_, value)| !value.is_null());
            given
                .map(|(name, value)| (name.clone(), without_null(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(without_null).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// The names in an object, and in the objects and lists in it, as the configuration calls them.
fn names(value: &Value, of: &str, found: &mut BTreeSet<String>) {
    for inner in value.as_array().into_iter().flatten() {
        names(inner, of, found);
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let name = format!("{of}.{name}");
        names(inner, &name, found);
        found.insert(name);
    }
}

/// Catches: a name or a value that isn't what an operator writes, such as a plural, a word in other letters,
/// or an empty list for "all".
#[test]
fn what_is_shown_loads_and_means_the_same() {
    for config in [EXAMPLE, CONFIG, LEAST] {
        let shown_first = shown(config);
        let mut tables: Table = config.parse().unwrap();
        let again = Table::try_from(without_null(&shown_first)).unwrap();
        assert!(again.keys().len() >= 8, "{again:?}");
        tables.extend(again);
        let config = toml::to_string(&tables).unwrap();
        assert_eq!(shown(&config), shown_first, "{config}");
    }
}

/// Catches: a name that no setting has, and a setting that somebody adds and that the page doesn't show.
#[test]
fn every_setting_is_shown_by_its_name() {
    let known = every_setting();
    let (mut found, mut tables) = (BTreeSet::new(), BTreeSet::new());
    for config in [EXAMPLE, CONFIG, LEAST] {
        let shown = shown(config);
        tables.extend(shown.as_object().unwrap().keys().cloned());
        for (table, value) in shown.as_object().unwrap() {
            found.insert(table.clone());
            names(value, table, &mut found);
        }
    }
    // The names in this table are those of headers.
    found.retain(|name| !name.starts_with("headers.rename."));
    let unknown: Vec<_> = found.difference(&known).collect();
    assert!(unknown.is_empty(), "not in the schema: {unknown:?}");
    let is_of_shown = |name: &&String| {
        let table = name.split('.').next().unwrap_or_default();
        tables.contains(table) && !LEFT_OUT.contains(&name.as_str())
    };
    let missing = known.difference(&found).filter(is_of_shown);
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "not shown: {missing:?}");
    assert!(found.len() > 150, "{found:?}");
}

/// Catches: the query of a URL, which may be a secret.
#[test]
fn no_query_is_shown() {
    let shown = shown(CONFIG);
    assert_eq!(shown["issuer"][0]["jwks_uri"], "https://idp.example/keys");
    let collector = "https://collector.example/v1/traces";
    assert_eq!(shown["trace"]["otlp_url"], collector);
    assert!(!shown.to_string().contains("secret"), "{shown}");
}

/// Catches: a default instead of what is in force, and a time limit that the `[[traffic]]` replaces.
#[test]
fn what_is_in_force_is_shown() {
    let shown = shown(CONFIG);
    let expected = json!({
        "name": "default",
        "header_timeout_ms": 1234,
        "idle_timeout_ms": 300_000,
        "total_timeout_ms": 0,
        "try_timeout_ms": 400,
        "retry_statuses": [503],
        "retry_resets": true,
        "hedge_after_ms": 200,
        "body_bytes_max": 1000,
        "rate_limit": [
            {"per": "placement", "requests": 7, "window_secs": 2, "burst": 3, "always": true},
        ],
        "rate_limit_fields": true,
        "priority": "high",
        "upgrades": ["websocket"],
        "upgrades_end_with_token": false,
    });
    assert_eq!(shown["traffic"][0], expected);
    for (pointer, value) in [
        ("/upstream/header_timeout_ms", json!(1234)),
        ("/upstream/total_timeout_ms", json!(60_000)),
        ("/upstream/keepalive_ms", json!(null)),
        ("/upstream/queue_max", json!(9)),
        ("/upstream/when_all_ejected", json!("panic")),
        ("/upstream/panic_threshold_percent", json!(0)),
        ("/upstream/slow_start_secs", json!(10)),
        ("/upstream/outlier/statuses", json!([500, 599])),
        ("/upstream/outlier/grpc_statuses", json!([1, 16])),
        ("/upstream/outlier/ejection_max_secs", json!(300)),
        ("/upstream/breaker/open_ms", json!(5000)),
        ("/upstream/adaptive_limit/window_ms", json!(250)),
        ("/upstream/health_check/0/host", json!("a.example")),
        ("/upstream/health_check/0/cells", json!(["a"])),
        ("/upstream/health_check/1/kind", json!("grpc")),
        (
            "/upstream/health_check/1/service",
            json!("orders.v1.Orders"),
        ),
        ("/upstream/health_check/1/cells", json!(null)),
        ("/issuer/0/audience", json!("orders")),
        ("/issuer/0/types", json!(["JWT", "application/at+jwt"])),
        ("/issuer/0/keys/fresh_secs", json!(300)),
        ("/issuer/1/types", json!(["JWT", "at+jwt"])),
        ("/policy/0/any_of", json!(["jwt", "mtls"])),
        ("/policy/1/all_of", json!(["jwt", "mtls"])),
        ("/listener/0/route/0/path", json!("/admin/**")),
        ("/listener/0/tls/key", json!("server.key")),
        ("/listener/1/callers", json!("loopback")),
        ("/trust/bundle", json!("clients-ca.pem")),
        ("/headers/prefix", json!("x-cellway-")),
        ("/cba/mode", json!("require")),
        ("/envelope/lifetime_secs", json!(20)),
        ("/trace/start_one_in", json!(50)),
        ("/log/access/one_in", json!(7)),
    ] {
        assert_eq!(shown.pointer(pointer), Some(&value), "{pointer}");
    }
    let off = upstream(&UpstreamSettings::default());
    assert_eq!(off["adaptive_limit"], json!({"enabled": false}));
}
