//! `cellway explain`.

use cellway_core::routing_key::Signed;

use crate::{CONFIG, Folder, bad_files, run, signer, token};

/// Catches: a refused key set without a message that says what is wrong with it.
#[test]
fn explain_says_what_a_refused_key_set_lacks() {
    let folder = Folder::new();
    let config = folder.config();
    let token = token("acme", false);
    for (keys, expected) in [
        (
            r#"{"keys":[{"kty":"RSA","kid":"r"},{"kty":"RSA"},{"kty":"oct","k":"AAAA"}]}"#,
            r#": 3 entries, 2 without "n", 1 of type "oct""#,
        ),
        (
            r#"{"keys":[{"kty":"RSA","kid":"r"}]}"#,
            r#"keys.json: r: without "n""#,
        ),
        ("", r#": empty; expected {"keys": [...]}"#),
        ("[]", ": not a JSON object; expected"),
    ] {
        folder.write("keys.json", keys);
        let (code, out, _) = run(&["explain", "-c", &config, "--token", &token]);
        assert_eq!(code, 1, "{out}");
        assert!(out.contains(expected), "{expected} in {out}");
    }
}

/// Catches: a setting that looks like a path into the claims but is one claim's name, and a denial
/// that doesn't mention it.
#[test]
fn explain_says_which_settings_are_never_looked_at() {
    let folder = Folder::new();
    let claims = "jwks_file = \"keys.json\"\nclaims = { tenant = \"org.tenant_id\" }";
    let config = CONFIG.replace("jwks_file = \"keys.json\"", claims);
    folder.write("cellway.toml", &config);
    let (path, token) = (folder.config(), token("acme", false));
    let expected = "warn  issuer[0].claims.tenant: \"org.tenant_id\" is the name of one claim";
    let (code, out, _) = run(&["explain", "-c", &path, "--token", &token]);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains(expected) && out.contains("missing_claim"),
        "{out}"
    );
    let (_, out, _) = run(&["explain", "-c", &path, "--token", &token, "--json"]);
    let page: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(page["warnings"][0]["setting"], "issuer[0].claims.tenant");
    let (code, _, err) = run(&["check", "-c", &path]);
    assert_eq!(code, 1);
    assert!(err.contains("warning: issuer[0].claims.tenant: "), "{err}");
}

#[test]
fn explain_shows_each_step_and_the_decision() {
    let folder = Folder::new();
    let config = folder.config();
    folder.write("token", token("acme", false));
    let file = folder.root().join("token").display().to_string();
    let (code, out, err) = run(&["explain", "-c", &config, "--token-file", &file]);
    assert_eq!(code, 0, "{out}{err}");
    let out = out.replace(&folder.root().display().to_string(), "DIR");
    let expected = "\
policy default (required)
for   listener local, traffic default
from  keys of https://idp.example at DIR/keys.json: read
from  file:DIR/registry.json: read
";
    assert!(out.starts_with(expected), "{out}");
    for check in [
        "token.signature",
        "token.times",
        "registry.loaded",
        "placement",
    ] {
        let passed = |line: &&str| line.starts_with("pass") && line.contains(check);
        assert!(out.lines().any(|line| passed(&line)), "{check} in {out}");
    }
    assert!(
        out.contains("allow verified: cell a by its own cell"),
        "{out}"
    );
    assert!(
        !out.contains("alice") && !out.contains(&token("acme", false)),
        "{out}"
    );
}

/// Catches: an explanation that doesn't say which route it is about, or names another one.
#[test]
fn explain_says_which_route_and_traffic_apply() {
    let folder = Folder::new();
    let route = "route = [{ path = \"/orders/**\", traffic = \"slow\" }]";
    let routed = CONFIG.replacen("[[listener]]", &format!("[[listener]]\n{route}"), 1);
    let traffic = "\n[[traffic]]\nname = \"slow\"\ntotal_timeout_ms = 60000\n";
    folder.write("cellway.toml", format!("{routed}{traffic}"));
    let (path, token) = (folder.config(), token("acme", false));
    let args = ["explain", "-c", &path, "--token", &token, "--path"];
    for (asked, expected) in [
        (
            "/orders/7",
            "for   listener local, route /orders/**, traffic slow\n",
        ),
        (
            "/",
            "for   listener local, no route matches, traffic default\n",
        ),
    ] {
        let (code, out, err) = run(&[&args[..], &[asked]].concat());
        assert_eq!(code, 0, "{out}{err}");
        assert!(out.contains(expected), "{expected} in {out}");
    }
    let (_, out, _) = run(&[&args[..], &["/orders/7", "--json"]].concat());
    let page: serde_json::Value = serde_json::from_str(&out).unwrap();
    let found = ["listener", "route", "traffic"].map(|key| page[key].as_str());
    assert_eq!(found, [Some("local"), Some("/orders/**"), Some("slow")]);
}

/// Catches: an explanation that allows a request whose handshake fails, or that decides by a
/// certificate that the router never asks for.
#[test]
fn explain_goes_by_what_the_listener_asks_of_clients() {
    let folder = bad_files::good(1);
    let file = folder.config();
    let config = std::fs::read_to_string(&file).unwrap();
    let token = token("acme", false);
    let explain = |more: &[&str]| {
        let args = [
            &["explain", "-c", &file, "--offline", "--token", &token],
            more,
        ]
        .concat();
        run(&args)
    };
    let (code, out, err) = explain(&["--listener", "tls"]);
    assert_eq!(code, 0, "{out}{err}");
    let (code, _, err) = explain(&["--listener", "local", "--cert", "none.pem"]);
    assert_eq!(code, 2, "{err}");
    let problem = "listener local doesn't ask clients for a certificate";
    assert!(err.contains(problem), "{err}");

    folder.write(
        "cellway.toml",
        config.replace("\"optional\"", "\"required\""),
    );
    let (code, out, err) = explain(&["--listener", "tls"]);
    assert_eq!((code, &*out), (1, ""), "{err}");
    for expected in [
        "listener tls requires a client certificate; give it with --cert",
        "there is no decision",
    ] {
        assert!(err.contains(expected), "{expected} in {err}");
    }
}

#[test]
fn explain_shows_the_step_that_failed() {
    let folder = Folder::new();
    let config = folder.config();
    let denied = [
        (vec![], "deny 401 missing_token: "),
        (vec![token("acme", true)], "deny 401 expired_token: "),
        (vec![token("late", false)], "deny 403 tenant_suspended: "),
        (vec![token("else", false)], "deny 403 tenant_unknown: "),
        (vec!["a.b.c".to_owned()], "deny 401 malformed_token: "),
    ];
    for (tokens, expected) in denied {
        let mut args = vec!["explain", "-c", &config];
        args.extend(tokens.iter().flat_map(|token| ["--token", token]));
        let (code, out, err) = run(&args);
        assert_eq!(code, 1, "{out}{err}");
        assert!(out.contains(expected), "{expected} in {out}");
        assert!(out.lines().any(|line| line.starts_with("FAIL")), "{out}");
    }
}

/// Catches: a refused token of which the operator can't see what is wrong; and one whose page names the
/// person that it is for.
#[test]
fn explain_shows_what_the_token_says_and_what_is_accepted() {
    let folder = Folder::new();
    let config = folder.config();
    let said = "token alg \"EdDSA\", kid \"k1\", iss \"https://idp.example\", aud \"cellway\", ";
    for (token, times) in [
        (token("acme", false), "exp 2100-01-01T00:00:00.000Z (in "),
        (token("acme", true), "exp 1970-01-01T00:01:00.000Z ("),
    ] {
        let (_, out, _) = run(&["explain", "-c", &config, "--token", &token]);
        assert!(out.contains(said) && out.contains(times), "{out}");
        assert!(!out.contains("alice"), "{out}");
        let (_, out, _) = run(&["explain", "-c", &config, "--token", &token, "--json"]);
        let page: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(page["token"].as_str().unwrap().contains(times), "{page}");
    }
    let token = token("acme", false);
    for (from, to, expected) in [
        (
            "\"cellway\"",
            "\"orders\"",
            "deny 401 wrong_audience: `aud` does not contain a configured audience; accepted: \"orders\"",
        ),
        (
            "https://idp.example",
            "https://other.example",
            "deny 401 wrong_issuer: `iss` is not an issuer that is accepted here; accepted: \
             \"https://other.example\"",
        ),
    ] {
        folder.write("cellway.toml", CONFIG.replace(from, to));
        let (code, out, _) = run(&["explain", "-c", &config, "--token", &token]);
        assert_eq!(code, 1, "{out}");
        assert!(out.contains(expected), "{expected} in {out}");
    }
    // Not a token: nothing to show, and no panic.
    let (_, out, _) = run(&["explain", "-c", &config, "--token", "a.b.c"]);
    assert!(!out.contains("\ntoken "), "{out}");
}

/// Catches: a command line that doesn't fit the configuration, with the code for a file that can't be
/// read.
#[test]
fn explain_tells_bad_usage_from_files_that_cannot_be_read() {
    let folder = Folder::new();
    folder.write("token", "two\nlines");
    let (config, file) = (folder.config(), folder.path("token"));
    for (more, expected, said) in [
        (
            ["--listener", "other"],
            2,
            "no listener is called other; known: local",
        ),
        (
            ["--cert", "none.pem"],
            2,
            "listener local doesn't ask clients for a certificate",
        ),
        (
            ["--token", "two\nlines"],
            2,
            "--token has bytes that a header",
        ),
        (
            ["--routing-key", "a\nb"],
            2,
            "--routing-key has bytes that a header",
        ),
        (["--path", "orders"], 2, "invalid value 'orders'"),
        (["--token-file", &file], 3, "token has bytes that a header"),
        (["--token-file", "/nowhere"], 3, "can't read /nowhere"),
    ] {
        let args = [&["explain", "-c", &config, "--offline"], more.as_slice()].concat();
        let (code, out, err) = run(&args);
        assert_eq!(code, expected, "{more:?} {out}{err}");
        assert!(err.contains(said), "{said} in {err}");
    }
    let several = CONFIG.replacen(
        "[[listener]]",
        "[[listener]]\nname = \"second\"\nbind = \"127.0.0.1:0\"\n[[listener]]",
        1,
    );
    folder.write("cellway.toml", several);
    let (code, _, err) = run(&["explain", "-c", &config, "--offline"]);
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("name one with --listener: second, local"),
        "{err}"
    );
}

#[test]
fn explain_has_the_steps_in_json_too() {
    let folder = Folder::new();
    let (_, out, _) = run(&["explain", "-c", &folder.config(), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["decision"]["reason"], "missing_token");
    assert_eq!(
        json["steps"].as_array().unwrap().last().unwrap()["passed"],
        false
    );
}

const ROUTES: &str = r#"
[[listener.route]]
path = "/admin/**"
policy = "admin"
"#;

const RULES: &str = r#"
[[policy]]
name = "admin"
any_of = ["jwt"]

[[policy.rule]]
path = "/admin/**"
methods = ["GET"]
allow = "verified"

[[policy.rule]]
grpc = "admin.Cells/*"
allow = "verified"
"#;

const REGISTRY_TOML: &str = r#"
version = 1
[[cells]]
id = "a"
tier = "std"
region = "eu"
state = "active"
endpoints = [{ url = "http://127.0.0.1:9" }]
[[tenants]]
id = "acme"
cell = "a"
[[revocations]]
tenant = "acme"
sub = "mallory"
"#;

/// Catches: an explanation that uses the listener's policy although a route names another, rules that
/// are checked against another request than the described one, revocations that TOML loses.
#[test]
fn explain_follows_routes_rules_and_revocations() {
    let folder = Folder::new();
    let config = CONFIG
        .replacen("[[issuer]]", &format!("{ROUTES}\n[[issuer]]"), 1)
        .replacen("registry.json", "registry.toml", 1);
    folder.write("cellway.toml", format!("{config}{RULES}"));
    folder.write("registry.toml", REGISTRY_TOML);
    let config = folder.config();
    let token = token("acme", false);
    for (asked, code, policy, expected) in [
        (&["--path", "/orders"][..], 0, "default", "allow verified: "),
        (&["--path", "/admin/cells"], 0, "admin", "allow verified: "),
        (
            &["--path", "/admin/cells", "--method", "DELETE"],
            1,
            "admin",
            "deny 403 role_forbidden: ",
        ),
        // It could match either policy, so none is picked.
        (
            &["--path", "/admin/../admin/cells"],
            1,
            "",
            "deny 400 ambiguous_request: ",
        ),
        (
            &["--path", "/admin.Cells/List", "--grpc"],
            0,
            "default",
            "allow verified: ",
        ),
    ] {
        let mut args = vec!["explain", "-c", &config, "--token", &token];
        args.extend(asked);
        let (found, out, err) = run(&args);
        assert_eq!(found, code, "{asked:?} {out}{err}");
        let named = out.contains(&format!("policy {policy} "));
        assert_eq!(named, !policy.is_empty(), "{asked:?} {out}");
        assert!(out.contains(expected), "{asked:?} {out}");
    }

    let revoked = REGISTRY_TOML.replacen("mallory", "alice", 1);
    folder.write("registry.toml", &revoked);
    let (code, out, _) = run(&["explain", "-c", &config, "--token", &token]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("deny 401 revoked: "), "{out}");
    assert!(!out.contains("alice"), "{out}");
}

#[test]
fn explain_shows_the_checks_of_a_routing_key() {
    let folder = Folder::new();
    let jwk = signer().jwk();
    let keys = format!(
        "[[routing_key.signer]]\nkid = \"k1\"\ntenants = [\"acme\"]\n\
         jwk = {{ kty = \"OKP\", crv = \"Ed25519\", x = {} }}\n[registry]",
        jwk["x"]
    );
    let config = CONFIG.replace("[\"jwt\"]", "[\"jwt\", \"routing_key\"]");
    folder.write("cellway.toml", config.replace("[registry]", &keys));
    let config = folder.config();
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let signature = signer().sign_routing_key(&Signed {
        kid: "k1",
        time: now.as_secs(),
        method: &http::Method::PUT,
        authority: "api.example",
        path: "/orders",
        key: "acme",
    });
    let signature = signature.unwrap();
    let ask = |path: &str, more: &[&str]| {
        let base = [
            "explain",
            "-c",
            &config,
            "--routing-key",
            "acme",
            "--path",
            path,
        ];
        let target = ["--method", "PUT", "--authority", "api.example"];
        run(&[&base[..], &target, more].concat())
    };
    let signed = ["--routing-key-signature", &signature];
    let (code, out, err) = ask("/orders", &signed);
    assert_eq!(code, 0, "{out}{err}");
    for check in [
        "routing_key.time",
        "routing_key.signature",
        "routing_key.sender",
    ] {
        let passed = |line: &&str| line.starts_with("pass") && line.contains(check);
        assert!(out.lines().any(|line| passed(&line)), "{check} in {out}");
    }
    let (code, _, err) = run(&[&["explain", "-c", &config], &signed[..]].concat());
    assert_eq!(code, 2, "a signature is over the authority");
    assert!(err.contains("--authority"), "{err}");
    for (path, more, expected) in [
        ("/other", &signed[..], "FAIL  routing_key.signature"),
        ("/orders", &[], "deny 401 untrusted_routing_key: "),
    ] {
        let (code, out, err) = ask(path, more);
        assert_eq!(code, 1, "{out}{err}");
        assert!(out.contains(expected), "{expected} in {out}");
    }
}

/// Catches: an explanation of a request that can't reach the router.
#[test]
fn explain_refuses_requests_that_nobody_can_send() {
    let folder = Folder::new();
    let config = folder.config();
    for (flag, value) in [
        ("--path", "orders"),
        ("--path", ""),
        ("--path", "/a\nb"),
        ("--path", "/a b"),
        ("--path", "/a#b"),
        ("--path", "http://evil.example/x"),
        ("--authority", "a b"),
        ("--authority", ""),
        ("--authority", "api.example/x"),
        ("--authority", "user@api.example"),
    ] {
        let (code, out, err) = run(&["explain", "-c", &config, "--offline", flag, value]);
        assert_eq!((code, out.as_str()), (2, ""), "{flag} {value}: {err}");
        assert!(err.contains(flag), "{err}");
    }
    let good = ["--path", "/a?b=%20", "--authority", "[::1]:8443"];
    let (code, _, err) = run(&[&["explain", "-c", &config, "--offline"][..], &good].concat());
    assert_eq!(code, 1, "only the token is missing: {err}");
}
