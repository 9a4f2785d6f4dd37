//! A system in which something fails, and what its clients get.

use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Answer, IdentityProvider, Protocol, Request, Signer};
use cellway_tests::world::{AUTHORIZER, Host, Running, World, to, until};
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::certified::Certified;

const PLAIN: &str = r#"
[[listener]]
name = "plain"
bind = "127.0.0.1:0"
"#;

/// A system in which something fails.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) router: Running,
    pub(crate) tenant: &'static str,
    /// Signs the token, if the world's own identity provider doesn't.
    pub(crate) other: Option<IdentityProvider>,
    /// A request that takes the only place at the cell.
    pub(crate) holds: bool,
    /// The bytes of each request's body.
    pub(crate) body: usize,
    /// Whether each request asks for a WebSocket.
    pub(crate) upgrade: bool,
    /// A client that shows a certificate, if it is one.
    pub(crate) certified: Option<Certified>,
    /// Keeps another cell up.
    pub(crate) _host: Option<Host>,
    /// Keeps sockets open.
    pub(crate) _held: Vec<TcpStream>,
}

impl Scene {
    pub(crate) fn request(&self, path: &str) -> Request {
        let env = TokioEnv::new();
        let token = match &self.other {
            None => self.world.token_of(self.tenant),
            Some(other) => other.token(&env, self.tenant).unwrap(),
        };
        Request::get(path).bearer(&token)
    }

    /// The same, with the body, or as the request for a WebSocket.
    fn whole(&self, path: &str) -> Request {
        let request = self.request(path);
        if self.upgrade {
            let fields = [
                (CONNECTION, "upgrade"),
                (UPGRADE, "websocket"),
                (SEC_WEBSOCKET_VERSION, "13"),
                (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            ];
            let add = |request: Request, (name, value)| {
                request.header(name, HeaderValue::from_static(value))
            };
            return fields.into_iter().fold(request, add);
        }
        match self.body {
            0 => request,
            length => Request {
                method: Method::POST,
                body: vec![b'x'; length].into(),
                ..request
            },
        }
    }

    async fn send(&self, protocol: Protocol, request: Request) -> Answer {
        if let Some(certified) = &self.certified {
            return certified.send(protocol, request).await;
        }
        let client = to(self.router.listener("plain"), protocol, None);
        client.send(request).await.unwrap()
    }

    /// Status, reason, owner.
    pub(crate) async fn http(&self) -> [String; 3] {
        let answer = self.send(Protocol::Http1, self.whole("/orders")).await;
        let owner = header(&answer, "x-cellway-owner");
        let reason = header(&answer, "x-cellway-reason");
        [answer.status.as_u16().to_string(), reason, owner]
    }

    /// The status in the answer's header or trailers. No call asks for a WebSocket.
    pub(crate) async fn grpc(&self) -> String {
        if self.upgrade {
            return String::new();
        }
        let kind = HeaderValue::from_static("application/grpc");
        let request = self.whole("/a.B/C").header(CONTENT_TYPE, kind);
        header(&self.send(Protocol::Http2, request).await, "grpc-status")
    }

    pub(crate) async fn ext_authz(&self) -> String {
        let client = to(self.router.listener("envoy"), Protocol::Http1, None);
        let question = match &self.certified {
            Some(certified) => certified.question(),
            None => self.request("/ext_authz/v3/http/orders"),
        };
        let answer = client.send(question).await.unwrap();
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
pub(crate) struct Before {
    pub(crate) world: World,
    pub(crate) config: String,
    pub(crate) registry: Value,
}

impl Before {
    pub(crate) async fn new() -> Self {
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
    pub(crate) fn set(mut self, table: &str, setting: &str) -> Self {
        assert!(self.config.contains(table), "{table}");
        self.config = self
            .config
            .replacen(table, &format!("{table}\n{setting}"), 1);
        self
    }

    /// Adds tables to the configuration.
    pub(crate) fn add(mut self, tables: &str) -> Self {
        self.config.push_str(tables);
        self
    }

    /// Replaces the endpoint of the cell.
    pub(crate) fn endpoint(mut self, endpoint: Value) -> Self {
        self.registry["cells"][0]["endpoints"] = json!([endpoint]);
        self
    }

    /// Starts what is named, and the router.
    pub(crate) async fn start(mut self, idp: bool, plane: bool) -> Scene {
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
            body: 0,
            upgrade: false,
            certified: None,
            _host: None,
            _held: Vec::new(),
        }
    }

    pub(crate) async fn up(self) -> Scene {
        self.start(true, true).await
    }
}
