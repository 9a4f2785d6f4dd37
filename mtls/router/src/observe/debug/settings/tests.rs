use std::collections::BTreeSet;

use super::*;
use crate::config::Config;
use crate::config::example::every_setting;
use crate::settings::RouterSettings;

/// The files of `[upstream]` are not shown; `/readyz` has their certificates.
const FILES: [&str; 3] = ["bundle", "certificate", "key"];

const CONFIG: &str = "
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

[upstream]
header_timeout_ms = 1234
total_timeout_ms = 60000
queue_max = 9

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

const ISSUER: &str = "
[[issuer]]
name = 'main'
issuer = 'https://idp.example'
audience = 'orders'
algorithms = ['ES256']
jwks_uri = 'https://idp.example/keys?key=secret'
keys = { fresh_secs = 300 }
";

fn loaded() -> RouterSettings {
    Config::load("cellway.toml", CONFIG, []).unwrap().router
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

/// Catches: a setting that somebody adds and that the page doesn't show.
#[test]
fn every_setting_is_shown_by_its_name() {
    let settings = loaded();
    let traffic_settings = &settings.listeners[0].traffic;
    let mut shown = BTreeSet::new();
    names(&upstream(&settings.upstream), "upstream", &mut shown);
    let of_traffic = traffic(traffic_settings, &settings.upstream);
    names(&of_traffic, "traffic", &mut shown);
    let files = FILES.map(|name| format!("upstream.{name}"));
    let known = every_setting().into_iter();
    let known = known.filter(|name| name.starts_with("upstream.") || name.starts_with("traffic."));
    let expected: BTreeSet<_> = known.filter(|name| !files.contains(name)).collect();
    assert!(expected.len() > 40, "{expected:?}");
    assert_eq!(shown, expected);
}

/// Catches: a limit of a listener or a setting of an issuer that somebody adds and that the page doesn't
/// show.
#[test]
fn every_setting_of_listeners_and_issuers_is_shown_by_its_name() {
    // The page has these of each listener anyway, and what depends on them; or they are files or claims.
    const ELSEWHERE: [&str; 11] = [
        "listener.name",
        "listener.bind",
        "listener.policy",
        "listener.traffic",
        "listener.route",
        "listener.serves",
        "listener.callers",
        "listener.allow_plain",
        "listener.tls",
        "issuer.claims",
        "issuer.tenants",
    ];
    let proxied = CONFIG.replacen(
        ":0'\n",
        ":0'\nproxy_protocol = { from = ['10.0.0.0/8'] }\n",
        1,
    );
    let settings = Config::load("cellway.toml", &format!("{proxied}{ISSUER}"), []);
    let settings = settings.unwrap().router;
    let mut shown = BTreeSet::new();
    names(&listener(&settings.listeners[0]), "listener", &mut shown);
    names(&issuer(&settings.policy.issuers[0]), "issuer", &mut shown);
    assert!(shown.remove("listener.client_certificate"));
    let known = every_setting().into_iter();
    let known = known.filter(|name| name.starts_with("listener.") || name.starts_with("issuer."));
    let is_elsewhere = |name: &String| {
        let mut all = ELSEWHERE.iter();
        all.any(|it| name == it || name.starts_with(&format!("{it}.")))
    };
    let expected: BTreeSet<_> = known.filter(|name| !is_elsewhere(name)).collect();
    assert!(expected.len() > 30, "{expected:?}");
    assert_eq!(shown, expected);
    let shown = issuer(&settings.policy.issuers[0]);
    assert_eq!(shown["keys"]["fresh_secs"], 300);
    assert_eq!(shown["algorithms"], json!(["ES256"]));
    assert_eq!(shown["jwks_uri"], "https://idp.example/keys");
}

/// Catches: a default instead of what is in force, and a time limit that the `[[traffic]]` replaces.
#[test]
fn what_is_in_force_is_shown() {
    let settings = loaded();
    let shown = traffic(&settings.listeners[0].traffic, &settings.upstream);
    let expected = json!({
        "name": "default",
        "header_timeout_ms": 1234,
        "idle_timeout_ms": 300_000,
        "total_timeout_ms": null,
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
    assert_eq!(shown, expected);
    let shown = upstream(&settings.upstream);
    for (pointer, value) in [
        ("/header_timeout_ms", json!(1234)),
        ("/total_timeout_ms", json!(60_000)),
        ("/keepalive_ms", json!(null)),
        ("/queue_max", json!(9)),
        ("/when_all_ejected", json!("panic")),
        ("/panic_threshold_percent", json!(0)),
        ("/slow_start_secs", json!(10)),
        ("/outlier/statuses", json!([500, 599])),
        ("/outlier/grpc_statuses", json!([1, 16])),
        ("/outlier/ejection_max_secs", json!(300)),
        ("/breaker/open_ms", json!(5000)),
        ("/adaptive_limit/window_ms", json!(250)),
        ("/health_check/0/host", json!("a.example")),
        ("/health_check/0/cells", json!(["a"])),
        ("/health_check/1/kind", json!("grpc")),
        ("/health_check/1/service", json!("orders.v1.Orders")),
    ] {
        assert_eq!(shown.pointer(pointer), Some(&value), "{pointer}");
    }
    let off = upstream(&UpstreamSettings::default());
    assert_eq!(off["adaptive_limit"], json!({"enabled": false}));
}
