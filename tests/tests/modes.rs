//! What `required`, `permissive` and `disabled` let through, and what stops them from starting.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use cellway_testbed::{Answer, Credential, Protocol, Request, San, Signer};
use cellway_tests::world::{PATIENCE, Running, World, boot, certificate, reason};
use http::header::{HeaderName, HeaderValue};
use serde_json::json;
use tokio::time::timeout;

const POLICY: &str = "mode = \"required\"\nany_of = [\"jwt\", \"mtls\"]";

async fn world() -> World {
    World::up(Signer::from_seed("k1", [1; 32]).unwrap()).await
}

/// The world's configuration under another policy.
fn under(world: &World, policy: &str) -> String {
    let config = world.config();
    assert!(config.contains(POLICY));
    config.replace(POLICY, policy)
}

/// Without the tables that only a verified credential needs.
fn plain_listener(config: &str) -> String {
    let begin = config.find("[listener.tls]").unwrap();
    let end = config.find("[[issuer]]").unwrap();
    format!("{}{}", &config[..begin], &config[end..])
}

struct Callers<'a> {
    world: &'a World,
    router: &'a Running,
    lines: Vec<String>,
}

impl Callers<'_> {
    async fn all(&mut self, mode: &str) {
        let world = self.world;
        let token = world.token();
        let acme = world.authorities.acme();
        let nameless = certificate(&world.authorities.clients, vec![San::Dns("x".to_owned())]);
        self.lines.push(format!("== {mode}"));
        let forged = forged();
        for (what, credential, request) in [
            ("no credential", None, Request::get("/")),
            ("no credential, forged headers", None, forged.clone()),
            ("a good token", None, Request::get("/").bearer(&token)),
            ("a good token, forged headers", None, forged.bearer(&token)),
            ("a bad token", None, Request::get("/").bearer("open-sesame")),
            ("a good certificate", Some(&acme), Request::get("/")),
            (
                "a certificate of nobody",
                Some(&nameless),
                Request::get("/"),
            ),
        ] {
            let line = self.one(credential, request).await;
            self.lines.push(format!("{what:<30} {line}"));
        }
    }

    async fn one(&self, credential: Option<&Credential>, request: Request) -> String {
        let trusted = [&self.world.authorities.servers];
        let client = match self.router.is_plain() {
            true => self.router.plain_client(Protocol::Http1),
            false => self.router.client(Protocol::Http2, &trusted, credential),
        };
        let answer = client.send(request).await.unwrap();
        let arrived = self.world.seen.since();
        match &arrived[..] {
            [] => format!("{} {}", answer.status.as_u16(), reason(&answer)),
            [(received, _)] => format!("{} {}", served(&answer), stamps(&received.headers)),
            more => panic!("{more:?}"),
        }
    }
}

fn served(answer: &Answer) -> u16 {
    assert_eq!(answer.headers["x-cellway-owner"], "cell");
    answer.status.as_u16()
}

/// The headers that the cell gets, empty ones too.
fn stamps(headers: &[(String, String)]) -> String {
    let told = headers.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("x-cellway-")?;
        (name != "request-id").then(|| format!("{name}={value}"))
    });
    told.collect::<Vec<_>>().join(" ")
}

fn forged() -> Request {
    let mut request = Request::get("/");
    for (name, value) in [
        ("x-cellway-tenant", "globex"),
        ("x-cellway-auth", "verified"),
        ("x-cellway-sub", "root"),
    ] {
        let value = HeaderValue::from_static(value);
        request = request.header(HeaderName::from_static(name), value);
    }
    request
}

#[tokio::test]
async fn each_mode_lets_through_what_it_says() {
    let world = world().await;
    let required = world.config();
    let permissive = under(
        &world,
        "mode = \"permissive\"\nanonymous_placement = \"lobby\"\nany_of = [\"jwt\", \"mtls\"]",
    );
    let nowhere = permissive.replace("\"lobby\"", "\"nowhere\"");
    let disabled = under(
        &world,
        "mode = \"disabled\"\nallow_insecure = true\n\
         insecure_identity = { tenant = \"initech\", subject = \"dev\", roles = [\"tester\"] }",
    );
    let mut lines = Vec::new();
    for (mode, config) in [
        ("required", required),
        ("permissive, to the lobby", permissive),
        ("permissive, to a placement that isn't there", nowhere),
        ("disabled", plain_listener(&disabled)),
    ] {
        world.configure(&config);
        let router = world.router().await;
        let mut callers = Callers {
            world: &world,
            router: &router,
            lines: Vec::new(),
        };
        callers.all(mode).await;
        lines.append(&mut callers.lines);
        let (status, page) = router.readyz().await;
        let warnings = page.get("warnings").unwrap_or(&json!([])).to_string();
        lines.push(format!(
            "readyz: {status} {} {warnings}",
            page["auth_modes"]
        ));
        for line in router.events.of("insecure_policy") {
            lines.push(format!(
                "log: {} insecure_policy {}",
                line["level"], line["policy"]
            ));
        }
        lines.push(String::new());
        router.handle.drain(PATIENCE).await;
    }
    insta::assert_snapshot!("modes", lines.join("\n"));
}

/// Modes and policies that must not start.
fn mistaken_modes(world: &World) -> Vec<(&'static str, String)> {
    let config = world.config();
    let policy = |text: &str| under(world, text);
    let without = |table: &str| {
        let begin = config.find(table).unwrap();
        let end = config[begin..].find("\n\n").unwrap() + begin;
        format!("{}{}", &config[..begin], &config[end..])
    };
    let disabled =
        "mode = \"disabled\"\nallow_insecure = true\ninsecure_identity = { tenant = \"acme\" }";
    vec![
        ("required, and no issuer", without("[[issuer]]")),
        (
            "required, and no audience",
            config.replace("audience = \"cellway\"\n", ""),
        ),
        ("required, and nobody to trust", without("[trust]")),
        ("no credential at all", policy("mode = \"required\"")),
        ("any_of nothing", policy("any_of = []")),
        ("a mode that isn't one", policy("mode = \"off\"")),
        (
            "permissive, and nowhere to go",
            policy("mode = \"permissive\"\nany_of = [\"jwt\"]"),
        ),
        ("disabled by one slip", policy("mode = \"disabled\"")),
        (
            "disabled for everyone",
            policy(disabled).replacen("127.0.0.1:0", "0.0.0.0:0", 1),
        ),
        (
            "plain for everyone",
            plain_listener(&config).replacen("127.0.0.1:0", "0.0.0.0:0", 1),
        ),
    ]
}

/// Settings, files and addresses that must not start. Another socket listens at `taken`.
fn mistaken_places(world: &World, taken: &str) -> Vec<(&'static str, String)> {
    let config = world.config();
    vec![
        (
            "alg none",
            config.replace("keys = {", "algorithms = [\"none\"]\nkeys = {"),
        ),
        (
            "keys over http",
            config.replace("keys = {", "jwks_uri = \"http://idp.test/jwks\"\nkeys = {"),
        ),
        (
            "a certificate that isn't there",
            config.replace("\"server.pem\"", "\"nowhere.pem\""),
        ),
        (
            "a bundle that is none",
            config.replace("\"clients.pem\"", "\"server.key\""),
        ),
        (
            "admin for everyone",
            config.replace("[admin]\nbind = \"127.0.0.1", "[admin]\nbind = \"0.0.0.0"),
        ),
        ("not TOML", config.replace("[registry]", "[registry")),
        (
            "an address that is taken",
            config.replacen("127.0.0.1:0", taken, 1),
        ),
    ]
}

/// What `cellway serve` prints and ends with, for slips that would open or break the router.
#[tokio::test]
async fn what_may_not_start_says_which_setting_and_where() {
    let world = world().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_at = taken.local_addr().unwrap().to_string();
    let rows = [mistaken_modes(&world), mistaken_places(&world, &taken_at)].concat();
    let mut said = Vec::new();
    for (what, config) in rows {
        world.configure(&config);
        let file = world.folder.path("cellway.toml");
        let booted = timeout(PATIENCE, boot(&file)).await;
        let error = booted.unwrap().err();
        let error = error.unwrap_or_else(|| panic!("it starts: {what}"));
        let error = world.folder.strip(&error).replace(&taken_at, "ADDRESS");
        let port = taken_at.rsplit(':').next().unwrap();
        let error = error.replace(&format!(":{port}'"), ":PORT'");
        said.push(format!("{what}\n    {}", error.replace('\n', "\n    ")));
    }
    insta::assert_snapshot!("refusals", said.join("\n"));
}
