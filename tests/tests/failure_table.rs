//! Makes each failure of `docs/failures.md` happen, and compares the answers with the table.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests run on tokio alone and spawn what plays the other sides"
)]

use std::net::SocketAddr;

use cellway_env::tokio::TokioEnv;
use cellway_testbed::{
    Answer, CellFault, ControlPlaneFault, IdentityProvider, IdpFault, Protocol, Request, Signer,
};
use cellway_tests::world::{AUTHORIZER, HOUR, Host, Running, World, to, until};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PAGE: &str = include_str!("../../docs/failures.md");

const PLAIN: &str = r#"
[[listener]]
name = "plain"
bind = "127.0.0.1:0"
"#;

/// The cells of a row, without their backticks.
type Row = Vec<String>;

fn table() -> Vec<Row> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| "));
    // The first two are the heading.
    let rows = rows.skip(2).map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    });
    rows.collect()
}

/// A system in which something fails.
struct Scene {
    world: World,
    router: Running,
    tenant: &'static str,
    /// Signs the token, if the world's own identity provider doesn't.
    other: Option<IdentityProvider>,
    /// A request that takes the only place at the cell.
    holds: bool,
}

impl Scene {
    fn request(&self, path: &str) -> Request {
        let env = TokioEnv::new();
        let token = match &self.other {
            None => self.world.token_of(self.tenant),
            Some(other) => other.token(&env, self.tenant).unwrap(),
        };
        Request::get(path).bearer(&token)
    }

    /// Status, reason, owner.
    async fn http(&self) -> [String; 3] {
        let client = to(self.router.listener("plain"), Protocol::Http1, None);
        let answer = client.send(self.request("/orders")).await.unwrap();
        let owner = header(&answer, "x-cellway-owner");
        let reason = header(&answer, "x-cellway-reason");
        [answer.status.as_u16().to_string(), reason, owner]
    }

    /// The status in the answer's header or trailers.
    async fn grpc(&self) -> String {
        let client = to(self.router.listener("plain"), Protocol::Http2, None);
        let kind = HeaderValue::from_static("application/grpc");
        let request = self.request("/a.B/C").header(CONTENT_TYPE, kind);
        header(&client.send(request).await.unwrap(), "grpc-status")
    }

    async fn ext_authz(&self) -> String {
        let client = to(self.router.listener("envoy"), Protocol::Http1, None);
        let asked = client.send(self.request("/ext_authz/v3/http/orders"));
        let answer = asked.await.unwrap();
        match answer.status {
            StatusCode::OK => "allowed".to_owned(),
            status => format!(
                "{} {}",
                status.as_u16(),
                header(&answer, "x-cellway-reason")
            ),
        }
    }
}

fn header(answer: &Answer, name: &str) -> String {
    let value = answer.headers.get(name);
    value.map_or_else(String::new, |it| it.to_str().unwrap().to_owned())
}

/// A world whose configuration and registry can still be changed.
struct Before {
    world: World,
    config: String,
    registry: Value,
}

impl Before {
    async fn new() -> Self {
        let world = World::down(Signer::from_seed("one", [1; 32]).unwrap()).await;
        let config = format!("{}{PLAIN}{AUTHORIZER}", world.config());
        let mut registry = world.registry.clone();
        registry["cells"].as_array_mut().unwrap().push(json!({
            "id": "q", "tier": "standard", "region": "eu", "state": "quarantined",
            "endpoints": [{"url": "https://127.0.0.1:1"}],
        }));
        let tenants = registry["tenants"].as_array_mut().unwrap();
        tenants.push(json!({"id": "stark", "cell": "q"}));
        Self {
            world,
            config,
            registry,
        }
    }

    /// Adds a setting to a table.
    fn set(mut self, table: &str, setting: &str) -> Self {
        assert!(self.config.contains(table), "{table}");
        self.config = self
            .config
            .replacen(table, &format!("{table}\n{setting}"), 1);
        self
    }

    /// Replaces the endpoint of the cell.
    fn endpoint(mut self, endpoint: Value) -> Self {
        self.registry["cells"][0]["endpoints"] = json!([endpoint]);
        self
    }

    /// Starts what is named, and the router.
    async fn start(mut self, idp: bool, plane: bool) -> Scene {
        self.registry["version"] = json!(6);
        self.world.plane.set_document(self.registry.to_string());
        if idp {
            self.world.idp_host.start().await;
        }
        if plane {
            self.world.plane_host.start().await;
        }
        self.world.configure(&self.config);
        let router = self.world.boot().await;
        let page = async || router.readyz().await.1;
        if idp {
            until("the keys are there", async || {
                page().await["issuers"]["main"]["last_error"] != Value::Null
                    || page().await["issuers"]["main"]["state"] == "fresh"
            })
            .await;
        }
        if plane {
            until("the registry is there", async || {
                page().await["registry_version"] == 6
            })
            .await;
        }
        Scene {
            world: self.world,
            router,
            tenant: "acme",
            other: None,
            holds: false,
        }
    }

    async fn up(self) -> Scene {
        self.start(true, true).await
    }
}

/// Listens, and does this with each connection.
async fn listens<F>(play: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(play(stream));
        }
    });
    address
}

async fn identity_provider(how: &str) -> Scene {
    let before = Before::new().await;
    match how {
        "down since the router started" => before.start(false, true).await,
        "sends garbage since the router started" => {
            before.world.idp.set_fault(IdpFault::Garbage);
            before.up().await
        }
        "down, its keys are still good" => {
            let mut scene = before.up().await;
            scene.world.idp_host.stop().await;
            scene
        }
        "down, its keys are too old" => {
            let mut before = before;
            let short = "keys = { fresh_secs = 1, stale_max_secs = 1, ";
            before.config = before.config.replacen("keys = { ", short, 1);
            let mut scene = before.up().await;
            scene.world.idp_host.stop().await;
            until("the keys are too old", async || {
                scene.router.readyz().await.1["issuers"]["main"]["state"] == "expired"
            })
            .await;
            scene
        }
        "down, and a token has a new key" => {
            let mut scene = of_other_key(before).await;
            scene.world.idp_host.stop().await;
            scene
        }
        "up, and a token has a key that it doesn't have" => of_other_key(before).await,
        _ => panic!("no such failure: {how}"),
    }
}

/// The token has a key that the router doesn't know.
async fn of_other_key(before: Before) -> Scene {
    let mut scene = before.up().await;
    let other = Signer::from_seed("two", [2; 32]).unwrap();
    scene.other = Some(IdentityProvider::new(scene.world.idp.issuer(), other));
    scene
}

async fn registry(how: &str) -> Scene {
    let before = Before::new().await;
    let tenant = |scene, tenant| Scene { tenant, ..scene };
    match how {
        "down since the router started" => before.start(true, false).await,
        "down, after a good document" => {
            let mut scene = before.up().await;
            scene.world.plane_host.stop().await;
            scene
        }
        "sends garbage, after a good document" => {
            let scene = before.up().await;
            scene.world.plane.set_fault(ControlPlaneFault::Truncated);
            // Only the router knows when it has judged what came.
            until("it was refused", async || {
                let refused = scene.router.metric("cellway_registry_rejected_total");
                !refused.await.is_empty()
            })
            .await;
            scene
        }
        "down for longer than identity_max_age_secs" => {
            let mut scene = before
                .set("[registry]", "identity_max_age_secs = 3")
                .up()
                .await;
            scene.world.plane_host.stop().await;
            until("it is too long", async || {
                scene.router.readyz().await.1["tenant_status"] == "expired"
            })
            .await;
            scene
        }
        "does not list the tenant" => tenant(before.up().await, "nobody"),
        "the tenant is suspended" => tenant(before.up().await, "wayne"),
        "the tenant's cell is quarantined" => tenant(before.up().await, "stark"),
        _ => panic!("no such failure: {how}"),
    }
}

async fn cell(how: &str) -> Scene {
    let before = Before::new().await;
    let fault = async |before: Before, fault| {
        let scene = before.up().await;
        scene.world.cell.set_fault(fault);
        scene
    };
    match how {
        "refuses connections" => {
            let url = format!("https://{}", Host::reserve().address());
            before.endpoint(json!({"url": url})).up().await
        }
        "has a certificate with another name" => {
            let mut endpoint = before.registry["cells"][0]["endpoints"][0].clone();
            endpoint["san"] = json!("spiffe://cells.test/another");
            before.endpoint(endpoint).up().await
        }
        "is silent in the TLS handshake" => {
            let held = listens(|mut stream| async move {
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
            let url = format!("https://{}", held.await);
            let before = before.set("[upstream]", "tls_timeout_ms = 200");
            before.endpoint(json!({"url": url})).up().await
        }
        "is silent after the request" => {
            let before = before.set("[upstream]", "header_timeout_ms = 200");
            fault(before, CellFault::Slow(HOUR)).await
        }
        "breaks off before it answers" => fault(before, CellFault::BreakOff).await,
        "answers with something that isn't HTTP" => {
            let nonsense = listens(|mut stream| async move {
                let mut bytes = [0; 1024];
                let _ = stream.read(&mut bytes).await;
                let _ = stream.write_all(b"220 mail.example ESMTP\r\n\r\n").await;
            });
            let url = format!("http://{}", nonsense.await);
            before.endpoint(json!({"url": url})).up().await
        }
        "answers 500" => fault(before, CellFault::Status(StatusCode::INTERNAL_SERVER_ERROR)).await,
        "has as many requests as requests_max" => {
            let before = before.set("[upstream]", "requests_max = 1\nqueue_max = 0");
            let scene = fault(before, CellFault::Slow(HOUR)).await;
            Scene {
                holds: true,
                ..scene
            }
        }
        _ => panic!("no such failure: {how}"),
    }
}

/// Catches: a page that promises other answers than clients get.
#[tokio::test]
async fn clients_see_what_the_table_says() {
    let mut wrong = Vec::new();
    let table = table();
    assert!(table.len() > 20, "{table:?}");
    for row in table {
        let [what, how, status, reason, owner, grpc, ext_authz] = &row[..] else {
            panic!("{row:?}");
        };
        let scene = match &**what {
            "nothing" => Before::new().await.up().await,
            "identity provider" => identity_provider(how).await,
            "registry" => registry(how).await,
            "cell" => cell(how).await,
            _ => panic!("{row:?}"),
        };
        let held = scene.holds.then(|| {
            let client = to(scene.router.listener("plain"), Protocol::Http1, None);
            let request = scene.request("/held");
            tokio::spawn(async move { client.send(request).await })
        });
        if held.is_some() {
            until("the only place is taken", async || {
                !scene
                    .router
                    .metric("cellway_cell_requests{")
                    .await
                    .is_empty()
            })
            .await;
        }
        let [got_status, got_reason, got_owner] = scene.http().await;
        let got = [
            got_status,
            got_reason,
            got_owner,
            scene.grpc().await,
            scene.ext_authz().await,
        ];
        let expected = [status, reason, owner, grpc, ext_authz].map(Clone::clone);
        if got != expected {
            wrong.push(format!("{what}, {how}: {got:?}, not {expected:?}"));
        }
        if let Some(held) = held {
            held.abort();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
