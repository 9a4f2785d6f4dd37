//! The messages to users, word for word. Review a change of a snapshot as a user would read it.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a test of files"
)]

use std::fmt::Write;
use std::time::Duration;

use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use cellway_router::check::check;
use cellway_router::config::Config;
use cellway_router::tls::Provider;
use cellway_testbed::{Ca, CertificateSpec, Folder, Key, San, Signer, Usage, Validity};

const CONFIG: &str = r#"
[[listener]]
name = "public"
bind = "127.0.0.1:8443"
tls = { certificate = "server.pem", key = "server.key", client_certificate = "optional" }

[[issuer]]
name = "main"
issuer = "https://idp.example"
audience = "cellway"
algorithms = ["EdDSA"]
jwks_file = "keys.json"

[[policy]]
name = "default"
any_of = ["jwt", "mtls"]

[trust]
bundle = "ca.pem"
trust_domains = ["example"]
san = ["spiffe://{trust_domain}/tenant/{tenant}"]

[upstream]
bundle = "ca.pem"

[registry]
file = "registry.json"
"#;

const REGISTRY: &str = r#"{"version": 7,
"cells": [
  {"id": "eu-1", "tier": "std", "region": "eu", "state": "active",
   "endpoints": [{"url": "https://127.0.0.1:9001"}]},
  {"id": "eu-2", "tier": "std", "region": "eu", "state": "active",
   "endpoints": [{"url": "https://127.0.0.1:9002"}]}],
"placements": [{"id": "shared", "tier": "std", "cells": ["eu-1"]}],
"tenants": [{"id": "acme", "cell": "eu-1"}, {"id": "globex", "placement": "shared"}]}"#;

/// A folder with everything that the configuration names, good and bad.
fn folder() -> Folder {
    let folder = Folder::generate();
    let validity = Validity::around(TokioEnv::new().unix_now(), Duration::from_secs(86_400));
    let ca = Ca::new("ca", &Key::from_seed([1; 32]), validity, 1).unwrap();
    for (name, usage, serial) in [("server", Usage::Server, 2), ("client", Usage::Client, 3)] {
        let own = San::Dns("router.example".to_owned());
        let spec = CertificateSpec::new(name, own, usage, validity, serial);
        let key = Key::from_seed([serial as u8; 32]);
        folder.write_credential(name, &ca.issue(&spec, &key).unwrap());
    }
    let other = Ca::new("other", &Key::from_seed([4; 32]), validity, 4).unwrap();
    folder.write("other.crl", other.revoke(&[], validity).unwrap());
    folder.write("ca.pem", ca.pem());
    let jwk = Signer::from_seed("k1", [1; 32]).unwrap().jwk();
    let keys = serde_json::json!({ "keys": [jwk] });
    folder.write("keys.json", keys.to_string());
    folder.write("empty.json", "");
    folder.write(
        "unusable.json",
        r#"{"keys": [{"kty": "oct", "k": "YQ"}, {"kty": "RSA"}]}"#,
    );
    folder
}

/// Everything that `cellway check` says, without the folder's name.
async fn said(folder: &Folder, config: &str, registry: &str, variables: &[(&str, &str)]) -> String {
    folder.write("registry.json", registry);
    let file = folder.path("cellway.toml");
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    let text = match Config::load(&file, config, variables) {
        Err(errors) => errors.to_string(),
        Ok(config) => {
            let provider = Provider::default();
            let found = check(&TokioEnv::new(), &provider, &config.router, &file).await;
            let line = |finding: &cellway_router::check::Finding| {
                format!("{}: {finding}", finding.severity.as_str())
            };
            found.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    };
    folder.strip(&text)
}

/// Replaces parts of the configuration.
const CONFIGS: &[(&str, &[(&str, &str)])] = &[
    (
        "a key of another certificate",
        &[("\"server.key\"", "\"client.key\"")],
    ),
    (
        "key and certificate swapped",
        &[
            ("\"server.pem\"", "\"server.key\""),
            ("key = \"server.key\"", "key = \"server.pem\""),
        ],
    ),
    (
        "a certificate for clients",
        &[("server.pem", "client.pem"), ("server.key", "client.key")],
    ),
    ("an empty key set", &[("\"keys.json\"", "\"empty.json\"")]),
    (
        "a key set without a usable key",
        &[("\"keys.json\"", "\"unusable.json\"")],
    ),
    (
        "a key set that isn't there",
        &[("\"keys.json\"", "\"nowhere.json\"")],
    ),
    ("a mistyped name", &[("bind =", "bindd =")]),
    (
        "a name that is no setting",
        &[("bind =", "colour = 1\nbind =")],
    ),
    (
        "a host name to bind",
        &[("127.0.0.1:8443", "localhost:8443")],
    ),
    ("no port to bind", &[("127.0.0.1:8443", "127.0.0.1")]),
    (
        "two sources of the registry",
        &[(
            "[registry]",
            "[registry]\nurl = \"https://control.example/cells\"",
        )],
    ),
    (
        "a token without a control plane",
        &[("[registry]", "[registry]\ntoken_file = \"token\"")],
    ),
    (
        "a router's certificate without a bundle",
        &[(
            "[upstream]\nbundle = \"ca.pem\"",
            "[upstream]\ncertificate = \"client.pem\"\nkey = \"client.key\"",
        )],
    ),
    ("a symmetric algorithm", &[("\"EdDSA\"", "\"HS256\"")]),
    (
        "an unknown policy",
        &[(
            "name = \"public\"",
            "name = \"public\"\npolicy = \"defualt\"",
        )],
    ),
    (
        "two ways to name credentials",
        &[(
            "any_of = [\"jwt\", \"mtls\"]",
            "any_of = [\"jwt\"]\nall_of = [\"mtls\"]",
        )],
    ),
    (
        "envelopes without a key",
        &[("[registry]", "[envelope]\nkeys = \"sealing\"\n\n[registry]")],
    ),
    (
        "a text for a number",
        &[("[registry]", "[registry]\npoll_secs = \"7\"")],
    ),
    (
        "the admin page on the listener's address",
        &[(
            "[registry]",
            "[admin]\nbind = \"127.0.0.1:8443\"\n\n[registry]",
        )],
    ),
    (
        "an anonymous placement that nothing has",
        &[(
            "any_of =",
            "mode = \"permissive\"\nanonymous_placement = \"public\"\nany_of =",
        )],
    ),
    (
        "https cells without a bundle",
        &[("[upstream]\nbundle = \"ca.pem\"", "")],
    ),
    (
        "an authority without a list",
        &[("trust_domains =", "crl = [\"other.crl\"]\ntrust_domains =")],
    ),
    (
        "claims that are written as paths",
        &[(
            "[[policy]]",
            "[issuer.claims]\ntenant = \"org.tenant_id\"\nroles = \"$.realm_access.roles\"\n\
             org = { claim = \"/org/id\", number = true }\n\n[[policy]]",
        )],
    ),
    (
        "an issuer that no policy asks",
        &[("any_of = [\"jwt\", \"mtls\"]", "any_of = [\"mtls\"]")],
    ),
    (
        "a router's certificate for servers",
        &[(
            "[upstream]\n",
            "[upstream]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n",
        )],
    ),
    (
        "roles that nobody can have",
        &[(
            "[trust]",
            "[[policy.rule]]\nname = \"write\"\npath = \"/**\"\nroles = [\"editor\"]\n\n[trust]",
        )],
    ),
];

/// Replaces parts of the registry.
const REGISTRIES: &[(&str, &[(&str, &str)])] = &[
    (
        "an unknown cell",
        &[("\"cell\": \"eu-1\"", "\"cell\": \"eu-9\"")],
    ),
    (
        "a default role that isn't allowed",
        &[(
            "\"cell\": \"eu-1\"",
            "\"cell\": \"eu-1\", \"allowed_roles\": [\"viewer\"], \"default_role\": \"admin\"",
        )],
    ),
    ("a version that is a text", &[("7", "\"7\"")]),
    (
        "a version that none can follow",
        &[("7", "18446744073709551615")],
    ),
    ("no JSON", &[("{", "x{")]),
    (
        "several mistakes",
        &[
            ("\"id\": \"acme\"", "\"id\": \"\""),
            ("\"cells\": [\"eu-1\"]", "\"cells\": [\"us-7\"]"),
            ("\"version\": 7", "\"version\": 0"),
        ],
    ),
    (
        "an issuer that nothing defines",
        &[(
            "\"cell\": \"eu-1\"",
            "\"cell\": \"eu-1\", \"issuer\": \"mian\"",
        )],
    ),
    (
        "a revocation by an issuer that nothing defines",
        &[(
            "\"tenants\"",
            "\"revocations\": [{\"issuer\": \"partner\", \"issued_before\": 5}], \"tenants\"",
        )],
    ),
    (
        "no cell that takes traffic",
        &[
            ("\"active\"", "\"quarantined\""),
            ("\"active\"", "\"quarantined\""),
        ],
    ),
];

fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "the change changes nothing: {old}");
        text.replacen(old, new, 1)
    })
}

#[tokio::test]
async fn what_a_user_is_told() {
    let folder = folder();
    assert_eq!(
        said(&folder, CONFIG, REGISTRY, &[]).await,
        "",
        "all is good at first"
    );
    let mut page = String::new();
    for (case, changes) in CONFIGS {
        let said = said(&folder, &changed(CONFIG, changes), REGISTRY, &[]).await;
        writeln!(page, "# {case}\n{said}\n").unwrap();
    }
    for (case, changes) in REGISTRIES {
        let said = said(&folder, CONFIG, &changed(REGISTRY, changes), &[]).await;
        writeln!(page, "# {case}\n{said}\n").unwrap();
    }
    let list = [("CELLWAY__POLICY__0__ANY_OF", "jwt")];
    let said = said(&folder, CONFIG, REGISTRY, &list).await;
    writeln!(page, "# a variable that is to be a list\n{said}\n").unwrap();
    insta::assert_snapshot!("messages", page);
}

/// Catches: a warning about a claim name with dots that is correct, which no change could silence.
#[tokio::test]
async fn names_with_dots_can_be_meant() {
    let folder = folder();
    for claim in [
        "\"https://example/tenant_id\"",
        "\"urn:example:tenant\"",
        "[\"org.tenant_id\"]",
        "[\"org\", \"tenant.id\"]",
        "{ claim = [\"org.tenant_id\"], number = true }",
        "\"tenant-id\"",
    ] {
        let claims = format!("[issuer.claims]\ntenant = {claim}\n\n[[policy]]");
        let config = CONFIG.replacen("[[policy]]", &claims, 1);
        assert_eq!(said(&folder, &config, REGISTRY, &[]).await, "", "{claim}");
    }
}

/// Catches: a number in a variable, an account's id for instance, that no string setting takes.
#[tokio::test]
async fn a_variable_of_digits_is_a_string_where_one_is_wanted() {
    let folder = folder();
    for name in ["CELLWAY__ISSUER__0__AUDIENCE", "CELLWAY__LISTENER__0__NAME"] {
        let said = said(&folder, CONFIG, REGISTRY, &[(name, "123456789012")]).await;
        assert_eq!(said, "", "{name}");
    }
    let wrong = [("CELLWAY__RUNTIME__WATCH_SECS", "soon")];
    let said = said(&folder, CONFIG, REGISTRY, &wrong).await;
    assert!(said.contains("runtime.watch_secs"), "{said}");
}
