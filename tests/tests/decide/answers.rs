//! A router over real sockets answers what the table says.

use cellway_core::Unix;
use cellway_testbed::{
    CertificateSpec, Credential, Key, Protocol, Request, San, Signer, Usage, Validity,
};
use cellway_tests::world::{HOUR, Running, TENANT_SAN, World, certificate, now, reason};
use http::Method;

use crate::decided;

/// Rules and a route for the world's policy.
const RULES: &str = r#"
[[policy.rule]]
name = "open"
path = "/open/**"
allow = "verified"

[[policy.rule]]
name = "admin"
path = "/admin/**"
roles = ["admin"]

[[policy]]
name = "tokens"
any_of = ["jwt"]

[trust]"#;

const REQUESTS: &str = r#"
[[request]]
name = "open"
path = "/open/1"

[[request]]
name = "admin"
path = "/admin/1"

[[request]]
name = "ambiguous"
path = "/open/..%2fadmin/1"

[[request]]
name = "unknown path"
method = "POST"
path = "/else"

[[request]]
name = "tokens only"
path = "/tokens"
"#;

const PATHS: [(&str, &str); 5] = [
    ("open", "/open/1"),
    ("admin", "/admin/1"),
    ("ambiguous", "/open/..%2fadmin/1"),
    ("unknown path", "/else"),
    ("tokens only", "/tokens"),
];

/// A caller, as the file of cases has it and as it really is.
struct Caller {
    name: &'static str,
    cases: &'static str,
    credential: Option<Credential>,
    tokens: Vec<String>,
}

fn callers(world: &World) -> Vec<Caller> {
    let clients = &world.authorities.clients;
    let uri = |text: &str| Some(certificate(clients, vec![San::Uri(text.to_owned())]));
    let sign = |claims: cellway_testbed::Claims| vec![world.idp.sign(&claims).unwrap()];
    let of = |tenant| world.claims().tenant(tenant);
    let stranger = Signer::from_seed("k1", [9; 32]).unwrap();
    let mut all = Vec::new();
    let mut add = |name, cases, credential, tokens| {
        all.push(Caller {
            name,
            cases,
            credential,
            tokens,
        });
    };
    add("nobody", "", None, vec![]);
    let token = "token = { claims = { tenant_id = \"acme\" } }";
    add("acme", token, None, sign(of("acme")));
    let token = "token = { claims = { tenant_id = \"wayne\" } }";
    add("suspended", token, None, sign(of("wayne")));
    let token = "token = { claims = { tenant_id = \"hooli\" } }";
    add("unknown", token, None, sign(of("hooli")));
    add(
        "no tenant",
        "token = {}",
        None,
        sign(of("x").without("tenant_id")),
    );
    let token = "token = { claims = { tenant_id = \"acme\", exp = \"-1h\" } }";
    let past = now().as_secs() - 3_600;
    add("expired", token, None, sign(of("acme").with("exp", past)));
    let token = "token = { claims = { tenant_id = \"acme\", nbf = \"+1h\" } }";
    let future = now().as_secs() + 3_600;
    add(
        "too early",
        token,
        None,
        sign(of("acme").with("nbf", future)),
    );
    let token = "token = { claims = { tenant_id = \"acme\", aud = \"other\" } }";
    add(
        "other audience",
        token,
        None,
        sign(of("acme").with("aud", "other")),
    );
    let token = "token = { claims = { tenant_id = \"acme\", iss = \"https://x.test\" } }";
    let iss = of("acme").with("iss", "https://x.test");
    add("other issuer", token, None, sign(iss));
    let token = "token = { claims = { tenant_id = \"acme\" }, signed_by = \"stranger\" }";
    let forged = of("acme").sign(&stranger).unwrap();
    add("stranger's key", token, None, vec![forged]);
    let token = "token = { claims = { tenant_id = \"acme\" }, typ = \"x\" }";
    add("other type", token, None, sign(of("acme").typ(Some("x"))));
    let token =
        "token = { claims = { tenant_id = \"acme\" } }\nheaders = { authorization = \"Bearer x\" }";
    let mut two = sign(of("acme"));
    two.push("x".to_owned());
    add("two tokens", token, None, two);

    let shown = "certificate = { sans = [\"spiffe://clients.test/tenant/acme\"] }";
    add("certificate", shown, uri(TENANT_SAN), vec![]);
    let other = "certificate = { sans = [\"spiffe://evil.test/tenant/acme\"] }";
    add(
        "foreign name",
        other,
        uri("spiffe://evil.test/tenant/acme"),
        vec![],
    );
    let both = "token = { claims = { tenant_id = \"globex\" } }\n\
                certificate = { sans = [\"spiffe://clients.test/tenant/acme\"] }";
    add("two tenants", both, uri(TENANT_SAN), sign(of("globex")));
    let old = "certificate = { sans = [\"spiffe://clients.test/tenant/acme\"], starts = \"-2h\", expires = \"-1h\" }";
    add("old certificate", old, Some(expired(world)), vec![]);
    let strange = "certificate = { sans = [\"spiffe://clients.test/tenant/acme\"], signed_by = \"stranger\" }";
    let others = certificate(
        &world.authorities.servers,
        vec![San::Uri(TENANT_SAN.to_owned())],
    );
    add("stranger's certificate", strange, Some(others), vec![]);
    all
}

/// A certificate of acme that ended an hour ago.
fn expired(world: &World) -> Credential {
    let ago = |hours: u64| Unix::from_secs(now().as_secs() - hours * HOUR.as_secs());
    let spec = CertificateSpec {
        common_name: "old".to_owned(),
        sans: vec![San::Uri(TENANT_SAN.to_owned())],
        usage: Usage::Client,
        validity: Validity {
            from: ago(2),
            until: ago(1),
        },
        serial: 7,
    };
    let key = Key::from_seed([98; 32]);
    world.authorities.clients.issue(&spec, &key).unwrap()
}

/// What the router answers, in the words of the table.
async fn answer(world: &World, router: &Running, caller: &Caller, path: &str) -> String {
    let trusted = [&world.authorities.servers];
    let client = router.client(Protocol::Http1, &trusted, caller.credential.as_ref());
    let mut request = Request::get(path);
    if path == "/else" {
        request.method = Method::POST;
    }
    for token in &caller.tokens {
        request = request.bearer(token);
    }
    match client.send(request).await {
        Err(_) => "tls".to_owned(),
        Ok(answer) if answer.status == 200 => {
            let arrived = world.seen.since();
            let headers = &arrived[0].0.headers;
            let tenant = headers.iter().find(|(name, _)| name == "x-cellway-tenant");
            format!("allow {}", tenant.unwrap().1)
        }
        Ok(answer) => format!("deny {} {}", answer.status.as_u16(), reason(&answer)),
    }
}

/// Catches: a table that says something else than what the router does.
#[tokio::test]
async fn the_router_answers_what_the_table_says() {
    let world = World::up(Signer::from_seed("k1", [1; 32]).unwrap()).await;
    let config = world.config().replacen("[trust]", RULES.trim_start(), 1);
    let route = "name = \"public\"\nroute = [{ path = \"/tokens\", policy = \"tokens\" }]\npolicy = \"default\"";
    let config = config.replacen("name = \"public\"", route, 1);
    world.configure(&config);
    let router = world.router().await;
    let callers = callers(&world);
    let cases = callers.iter().fold(REQUESTS.to_owned(), |cases, caller| {
        format!(
            "{cases}\n[[caller]]\nname = \"{}\"\n{}\n",
            caller.name, caller.cases
        )
    });
    let table = decided(&config, &world.registry.to_string(), &cases);
    let mut rows = table.rows().iter();
    for caller in &callers {
        for (name, path) in PATHS {
            let row = rows.next().unwrap();
            assert_eq!((&*row.caller, &*row.request), (caller.name, name));
            let said = match (&*row.decision, row.status, &row.tenant) {
                ("deny", Some(status), _) => format!("deny {status} {}", row.reason),
                ("allow", _, Some(tenant)) => format!("allow {tenant}"),
                _ => row.decision.clone(),
            };
            let real = answer(&world, &router, caller, path).await;
            assert_eq!(real, said, "{}, {name}\n{table}", caller.name);
        }
    }
    assert!(rows.next().is_none());
    let reasons: std::collections::BTreeSet<_> =
        table.rows().iter().map(|row| &row.reason).collect();
    assert!(reasons.len() >= 18, "{reasons:?}");
}
