//! A router that seals envelopes, two cells behind it, a folder of keys, and a clock that the test
//! sets.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_core::Unix;
use cellway_core::envelope::{
    EnvelopeRefused, HmacKey, SigningKey, TrustMode, Verified, Verifier, VerifierSpec,
};
use cellway_core::keys::KeySet;
use cellway_env::Store;
use cellway_env::tokio::{FileStore, TokioEnv};
use cellway_router::envelope::{INDEX, Index, IndexKey, key_file, secret_text, signing_pem};
use cellway_router::settings::{
    Callers, EnvelopeForm, EnvelopeSettings, ListenerSettings, RouterSettings, Serves,
};
use cellway_router::{Handle, Router};
use cellway_service::EnvelopeLayer;
use cellway_testbed::{Ca, Client, EchoCell, Folder, Protocol, Request, ServerTls, Target};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::stepped_clock::Stepped;
use crate::world::{
    EventLog, PATIENCE, ask_authorizer, ca, cell, described, issue, now, permissive_policy,
    provider, secure, uri,
};

pub(super) const MAX_AGE: Duration = Duration::from_secs(300);
const LIFETIME: Duration = Duration::from_secs(30);

/// A folder of keys.
pub(super) struct KeyFolder {
    folder: Folder,
    /// When its world starts. It is the present time, because certificates are verified too.
    start: u64,
}

impl KeyFolder {
    pub(super) fn new() -> Self {
        Self {
            folder: Folder::generate(),
            start: now().as_secs(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.root().join(name)
    }

    pub(super) async fn write(&self, name: &str, text: impl Into<Bytes>) {
        let path = self.folder.path(name);
        FileStore::default()
            .replace(&path, text.into())
            .await
            .unwrap();
    }

    /// Writes signing keys with these ids. Each starts to sign this many seconds after the start,
    /// and was added one maximum age before that.
    pub(super) async fn sign(&self, keys: &[(&str, u64)]) {
        let mut index = Index::default();
        for (kid, from) in keys {
            let seed = kid.bytes().fold(0, u8::wrapping_add);
            let key = SigningKey::from_seed(kid, &[seed; 32]).unwrap();
            let pem = signing_pem(&key).unwrap();
            self.write(&key_file(EnvelopeForm::Jws, kid), pem).await;
            index.keys.push(IndexKey {
                kid: (*kid).to_owned(),
                cell: None,
                added: self.start + from - MAX_AGE.as_secs(),
                sign_from: self.start + from,
            });
        }
        self.write(INDEX, index.render()).await;
    }

    /// Writes a shared key for each of these cells.
    pub(super) async fn share(&self, cells: &[(&str, u8)]) {
        let mut index = Index::default();
        for (cell, seed) in cells {
            let kid = format!("{cell}-1");
            let text = secret_text(&[*seed; 32]);
            self.write(&key_file(EnvelopeForm::Hmac, &kid), text).await;
            index.keys.push(IndexKey {
                kid,
                cell: Some((*cell).to_owned()),
                added: self.start,
                sign_from: self.start,
            });
        }
        self.write(INDEX, index.render()).await;
    }

    fn settings(&self, form: EnvelopeForm) -> EnvelopeSettings {
        EnvelopeSettings {
            form,
            issuer: "cellway".into(),
            keys: self.folder.root().display().to_string(),
            lifetime: LIFETIME,
            jwks_max_age: MAX_AGE,
        }
    }
}

/// A router, its keys, and its cells `a` (with the tenant `acme`) and `b` (with the tenant `bolt`).
pub(super) struct Sealing {
    pub env: Stepped,
    pub handle: Handle<Stepped, EventLog>,
    pub folder: KeyFolder,
    clients: Ca,
    cells: Vec<EchoCell>,
}

impl Sealing {
    pub(super) async fn jws(keys: &[(&str, u64)]) -> Self {
        let folder = KeyFolder::new();
        folder.sign(keys).await;
        Self::start(folder, Some(EnvelopeForm::Jws)).await.unwrap()
    }

    pub(super) async fn hmac(cells: &[(&str, u8)]) -> Self {
        let folder = KeyFolder::new();
        folder.share(cells).await;
        Self::start(folder, Some(EnvelopeForm::Hmac)).await.unwrap()
    }

    /// With a cell `dead` at which nobody listens, and whose tenant `cove` may go to cell `b`.
    pub(super) async fn failing_over(form: EnvelopeForm) -> Self {
        let folder = KeyFolder::new();
        match form {
            EnvelopeForm::Jws => folder.sign(&[("k1", 0)]).await,
            EnvelopeForm::Hmac | EnvelopeForm::Compatible => {
                folder.share(&[("a", 1), ("b", 2), ("dead", 3)]).await;
            }
        }
        let dead = &[("dead", 2)];
        Self::start_with(folder, Some(form), "http", dead)
            .await
            .unwrap()
    }

    pub(super) async fn off() -> Self {
        Self::start(KeyFolder::new(), None).await.unwrap()
    }

    async fn start(folder: KeyFolder, form: Option<EnvelopeForm>) -> Result<Self, String> {
        Self::start_over(folder, form, "http").await
    }

    /// The same with cells that speak this scheme.
    pub(super) async fn start_over(
        folder: KeyFolder,
        form: Option<EnvelopeForm>,
        scheme: &str,
    ) -> Result<Self, String> {
        Self::start_with(folder, form, scheme, &[]).await
    }

    /// The same with more cells, at these ports.
    async fn start_with(
        folder: KeyFolder,
        form: Option<EnvelopeForm>,
        scheme: &str,
        more: &[(&str, u16)],
    ) -> Result<Self, String> {
        let clients = ca(1);
        let tls = || match scheme {
            "h2c" => ServerTls::plain_h2(),
            _ => ServerTls::plain(),
        };
        let (a, port_a) = cell("a", tls()).await;
        let (b, port_b) = cell("b", tls()).await;
        let known = [("a", port_a), ("b", port_b)];
        let mut settings = settings(&clients, &[&known, more].concat(), scheme);
        settings.envelope = form.map(|form| folder.settings(form));
        let (env, tls) = (Stepped::new(folder.start), provider());
        let events = EventLog::default();
        let router = Router::builder(env.clone(), settings, tls.crypto, tls.time, events);
        let handle = router.start().await.map_err(|error| error.to_string())?;
        tokio::time::timeout(PATIENCE, handle.ready())
            .await
            .unwrap();
        Ok(Self {
            env,
            handle,
            folder,
            clients,
            cells: vec![a, b],
        })
    }

    /// A client with the tenant's certificate.
    pub(super) fn client(&self, protocol: Protocol, tenant: &str) -> Client<TokioEnv> {
        let id = format!("spiffe://corp.example/tenant/{tenant}");
        self.target(protocol, Some(issue(&self.clients, uri(&id))))
    }

    /// A client without a certificate.
    pub(super) fn anonymous(&self, protocol: Protocol) -> Client<TokioEnv> {
        self.target(protocol, None)
    }

    fn target(
        &self,
        protocol: Protocol,
        credential: Option<cellway_testbed::Credential>,
    ) -> Client<TokioEnv> {
        let roots = Ca::roots(&[&self.clients]).unwrap();
        let tls = provider().client(roots, credential.as_ref(), protocol);
        let target = Target {
            host: "localhost".to_owned(),
            port: self.handle.addresses()[0].1.port(),
            tls: Some(tls.unwrap()),
            protocol,
        };
        Client::new(TokioEnv::new(), target, PATIENCE)
    }

    /// Asks about a request with this certificate as an Envoy does, in JSON, and returns the
    /// answer.
    pub(super) async fn ask(
        &self,
        method: &Method,
        path: &str,
        headers: &Value,
        tenant: Option<&str>,
    ) -> Value {
        let certificate = tenant.map(|tenant| described(&self.clients, tenant));
        let question = json!({"attributes": {
            "source": {"certificate": certificate.unwrap_or_default()},
            "request": {"http": {
                "method": method.as_str(), "path": path, "host": "shop.example",
                "protocol": "HTTP/2", "headers": headers,
            }},
        }});
        let answer = ask_authorizer(&self.handle, &question).await;
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// The published keys, fetched without a credential.
    pub(super) async fn published(&self, protocol: Protocol) -> KeySet {
        let request = Request::get(cellway_core::envelope::JWKS_PATH);
        let answer = self.anonymous(protocol).send(request).await.unwrap();
        KeySet::parse(&answer.body, &Verifier::ALGORITHMS).unwrap()
    }

    /// From now on the cells verify envelopes as a service with the library does.
    pub(super) async fn cells_verify(&self) {
        let keys = Arc::new(self.published(Protocol::Http1).await);
        for cell in &self.cells {
            let verifier = Verifier::new(VerifierSpec::new(cell.id())).unwrap();
            let env = self.env.clone();
            let layer = EnvelopeLayer::new(verifier, keys.clone(), move || env.now());
            cell.verify_envelopes(layer);
        }
    }

    /// How many requests have reached a cell.
    pub(super) fn arrivals(&self) -> u64 {
        self.cells.iter().map(EchoCell::arrivals).sum()
    }
}

/// Starts a router with these shared keys, and returns why it doesn't start.
pub(super) async fn refused(cells: &[(&str, u8)]) -> String {
    let folder = KeyFolder::new();
    folder.share(cells).await;
    let started = Sealing::start(folder, Some(EnvelopeForm::Hmac)).await;
    started.err().expect("it doesn't start")
}

fn settings(clients: &Ca, cells: &[(&str, u16)], scheme: &str) -> RouterSettings {
    let mut document = json!({
        "version": 1,
        "cells": cells.iter().map(|(id, port)| json!({
            "id": id, "tier": "t", "region": "r", "state": "active",
            // Nobody listens at the first endpoint, so the request, with its envelope, goes to the
            // next one.
            "endpoints": [
                {"url": format!("{scheme}://127.0.0.1:1")},
                {"url": format!("{scheme}://127.0.0.1:{port}")},
            ],
        })).collect::<Vec<_>>(),
        "placements": [{"id": "public", "tier": "t", "cells": ["a"]}],
        "tenants": [{"id": "acme", "cell": "a"}, {"id": "bolt", "cell": "b"}],
    });
    if cells.iter().any(|(id, _)| *id == "dead") {
        let home = json!({"id": "home", "tier": "t", "cells": ["dead"], "fallback": "spare",
                          "failover": true});
        let spare = json!({"id": "spare", "tier": "t", "cells": ["b"]});
        let placements = document["placements"].as_array_mut().unwrap();
        placements.extend([home, spare]);
        let tenants = document["tenants"].as_array_mut().unwrap();
        tenants.push(json!({"id": "cove", "placement": "home"}));
    }
    let mut settings = secure(document.to_string().into(), clients, &ca(2));
    settings.policy = permissive_policy();
    let id = settings.policy.policy_id("default").unwrap();
    settings.listeners[0].policy = id;
    let envoy = ListenerSettings::new("envoy", "127.0.0.1:0".parse().unwrap(), id);
    settings.listeners.push(ListenerSettings {
        serves: Serves::ExtAuthz(Callers::Loopback),
        ..envoy
    });
    settings
}

/// Verifies an echoed request as a service in this cell would, as if it had this method and target.
pub(super) fn verify(
    echo: &Value,
    keys: &KeySet,
    cell: &str,
    method: &Method,
    target: &str,
    now: Unix,
) -> Result<Verified, EnvelopeRefused> {
    check(
        VerifierSpec::new(cell),
        Some(keys),
        echo,
        method,
        target,
        now,
    )
}

/// The same with a key that the cell shares.
pub(super) fn verify_hmac(
    echo: &Value,
    cell: &str,
    seed: u8,
    method: &Method,
    target: &str,
    now: Unix,
) -> Result<Verified, EnvelopeRefused> {
    let spec = VerifierSpec {
        jws: false,
        hmac: vec![HmacKey::new(&format!("{cell}-1"), cell, &[seed; 32]).unwrap()],
        ..VerifierSpec::new(cell)
    };
    check(spec, None, echo, method, target, now)
}

fn check(
    spec: VerifierSpec,
    keys: Option<&KeySet>,
    echo: &Value,
    method: &Method,
    target: &str,
    now: Unix,
) -> Result<Verified, EnvelopeRefused> {
    assert_eq!(spec.trust, TrustMode::GatewayEnforced);
    let headers: HeaderMap = (echo["headers"].as_object().unwrap().iter())
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (
                name,
                HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
            )
        })
        .collect();
    let verifier = Verifier::new(spec).unwrap();
    let verdict = verifier.check(keys, method, target, &headers, now)?;
    Ok(verdict.verified().unwrap().clone())
}
