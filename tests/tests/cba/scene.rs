//! The cell `b` calls the cell `a` through a router.

use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Answer, Client, Connection, Credential, Protocol, Request, Signer};
use cellway_tests::decide::jwks;
use cellway_tests::world::{Running, World, now};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::cases;

const HEADER: HeaderName = HeaderName::from_static("cell-bound-authorization");

/// A router, the cell `a` behind it, and the callers.
pub(crate) struct Scene {
    pub world: World,
    pub router: Running,
}

/// A good authorization, to be called so.
pub(crate) fn authorization(jti: &str) -> String {
    cases::good(jti, now()).sign(&cases::key()).unwrap()
}

/// The present configuration with these lines in `[cba]`, and certificates that may name cells.
fn config(world: &World, cba: &str) -> String {
    let tenant = r#"san = ["spiffe://{trust_domain}/tenant/{tenant}""#;
    let config = world.config();
    assert!(config.contains(tenant), "the configuration has changed");
    let both = format!(r#"{tenant}, "spiffe://{{trust_domain}}/cell/{{cell}}""#);
    config.replace(tenant, &both) + "\n[cba]\n" + cba + "\n"
}

/// The registry with the cells that call; `b` has this annotation.
fn registry(world: &World, version: u64, keys: &str) -> Value {
    let mut registry = world.registry.clone();
    registry["version"] = json!(version);
    let endpoint = registry["cells"][0]["endpoints"][0].clone();
    let mut callers = cases::callers(&endpoint);
    callers[0]["annotations"]["cba-jwks"] = keys.into();
    let cells = registry["cells"].as_array_mut().unwrap();
    cells.extend(callers);
    registry
}

impl Scene {
    /// With these lines in `[cba]`.
    pub(crate) async fn new(cba: &str) -> Self {
        Self::with(cba, 1).await
    }

    /// With so many workers.
    pub(crate) async fn with(cba: &str, workers: usize) -> Self {
        let world = World::up(Signer::from_seed("k1", [1; 32]).unwrap()).await;
        let registry = registry(&world, 6, &jwks(&[&cases::key()]));
        world.plane.set_document(registry.to_string());
        let runtime = "[runtime]\n";
        let many = format!("{runtime}workers = {workers}\n");
        world.configure(&config(&world, cba).replace(runtime, &many));
        let router = world.router().await;
        Self { world, router }
    }

    /// Reloads with these lines in `[cba]`.
    pub(crate) async fn configure(&self, cba: &str) {
        let runtime = "[runtime]\n";
        let text = config(&self.world, cba).replace(runtime, &format!("{runtime}workers = 1\n"));
        self.world.configure(&text);
        self.router.reload().await;
    }

    /// Publishes a version in which `b` has this annotation, and waits until it is in force.
    pub(crate) async fn publish(&self, version: u64, keys: &str) {
        let document = registry(&self.world, version, keys);
        self.world.plane.set_document(document.to_string());
        let applied = format!("\"version\":{version}");
        self.router
            .events
            .saying("registry_applied", &applied)
            .await;
    }

    /// A request of `ada` of `acme`, showing these authorizations.
    pub(crate) fn request(&self, shown: &[String]) -> Request {
        let request = Request::get("/").bearer(&self.world.token());
        let bound = |request: Request, shown: &String| {
            request.header(HEADER, HeaderValue::try_from(shown).unwrap())
        };
        shown.iter().fold(request, bound)
    }

    pub(crate) fn client(&self, credential: Option<&Credential>) -> Client<TokioEnv> {
        let servers = &self.world.authorities.servers;
        self.router.client(Protocol::Http2, &[servers], credential)
    }

    pub(crate) async fn connect(&self, credential: Option<&Credential>) -> Connection {
        self.client(credential).connect().await.unwrap()
    }

    pub(crate) async fn ask(&self, shown: &[String]) -> Answer {
        self.ask_as(None, shown).await
    }

    pub(crate) async fn ask_as(&self, credential: Option<&Credential>, shown: &[String]) -> Answer {
        let client = self.client(credential);
        client.send(self.request(shown)).await.unwrap()
    }

    /// No cell has seen an authorization.
    pub(crate) fn nothing_is_passed_on(&self) {
        let seen = self.world.seen.since();
        assert!(!seen.is_empty(), "nothing was passed on at all");
        for (received, _) in seen {
            let shown = received
                .headers
                .iter()
                .find(|(name, _)| HEADER == name.as_str());
            assert_eq!(shown, None, "{received:?}");
        }
    }

    /// No line of the log has an authorization, or its tenant or user.
    pub(crate) fn nothing_is_told(&self) {
        // How every one begins, and the subjects.
        for secret in ["eyJ", "\"ada\"", "\"eve\""] {
            for line in self.router.events.lines() {
                let text = line.to_string();
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
    }
}
