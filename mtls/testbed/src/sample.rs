//! A small configuration and a registry that fits it, for tests that change parts of them.

/// A `cellway.toml` with one listener, one issuer and one policy. The keys are in `keys.json` and
/// the registry is in `registry.json`.
pub const CONFIG: &str = r#"
[[listener]]
name = "local"
bind = "127.0.0.1:0"

[[issuer]]
name = "main"
issuer = "https://idp.example"
audience = "cellway"
jwks_file = "keys.json"

[[policy]]
name = "default"
any_of = ["jwt"]

[registry]
file = "registry.json"

[admin]
bind = "127.0.0.1:0"

[log]
to = "stdout"
"#;

/// A registry with one cell, whose port refuses connections, and two tenants: `acme`, and `late`,
/// which is suspended.
pub const REGISTRY: &str = r#"{"version": 1,
"cells": [{"id": "a", "tier": "std", "region": "eu", "state": "active",
           "endpoints": [{"url": "http://127.0.0.1:9"}]}],
"tenants": [{"id": "acme", "cell": "a"}, {"id": "late", "cell": "a", "status": "suspended"}]}"#;
