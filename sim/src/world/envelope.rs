//! Envelopes in a world: the folder of keys that the routers share, and the cells that verify.

use std::time::Duration;

use cellway_core::Unix;
use cellway_core::envelope::{
    EnvelopeRefused, JWKS_PATH, SigningKey, TrustMode, Verdict, Verified, Verifier, VerifierSpec,
    target,
};
use cellway_core::keys::KeyNotice;
use cellway_env::Env;
use cellway_env::fetch::{Client, SourceUrl};
use cellway_router::envelope::{INDEX, Index, IndexKey, key_file, signing_pem};
use cellway_router::settings::EnvelopeForm;
use cellway_service::{EnvelopeLayer, JwksClient, JwksTiming, KeyProvider};
use cellway_testbed::{EnvelopeVerifier, Protocol, TestbedError, Verifying};
use http::header::USER_AGENT;
use http::request::Parts;

use super::checker::is_checker;
use super::router::PORT;
use super::state::{WorldHandle, tls_provider};
use crate::engine::SimEnv;
use crate::fact::{EnvelopeChecked, Fact, Proved};
use crate::random::Random;
use crate::scenario::{Authority, Scenario};
use crate::store::SimStore;

/// The folder of keys, as the routers' configuration names it.
pub(super) const FOLDER: &str = "envelope";
/// The longest that a cell may take to fetch the published keys.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// The folder of keys that all routers share.
#[derive(Clone, Debug, Default)]
pub(super) struct Folder(Index);

impl Folder {
    /// Adds a key, which signs after this time.
    pub(super) fn add(&mut self, kid: &str, now: Unix, signs_after: Duration) {
        self.0.keys.push(IndexKey {
            kid: kid.to_owned(),
            cell: None,
            added: now.as_secs(),
            sign_from: now.after(signs_after).as_secs(),
        });
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, kid: &str) {
        self.0.keys.retain(|key| key.kid != kid);
    }

    /// Writes it to a router's disk.
    pub(super) fn write(&self, disk: &SimStore, seed: u64) -> Result<(), TestbedError> {
        let path = |name: &str| format!("{FOLDER}/{name}");
        for key in &self.0.keys {
            let refused = |refused| TestbedError::Key(format!("{}: {refused}", key.kid));
            let mut secret = [0; 32];
            Random::new(seed, "envelope", 0, &key.kid).fill(&mut secret);
            let pem = SigningKey::from_seed(&key.kid, &secret).and_then(|key| signing_pem(&key));
            let file = key_file(EnvelopeForm::Jws, &key.kid);
            disk.put(&path(&file), pem.map_err(refused)?);
        }
        // Written last, so that all files that it names exist.
        disk.put(&path(INDEX), self.0.render());
        Ok(())
    }
}

/// Verifies envelopes at a host of a cell: for its own cell as a service does, and for every other
/// cell of the world, where no envelope may be valid.
struct Judge {
    world: WorldHandle,
    env: SimEnv,
    layer: Layer,
    keys: JwksClient<SimEnv>,
    /// Reads the key names in envelopes.
    own: Verifier,
    others: Vec<(String, Verifier)>,
}

type Layer = EnvelopeLayer<JwksClient<SimEnv>, Box<dyn Fn() -> Unix + Send + Sync>>;

/// Makes the verifier of a host of this cell, with the keys that the first router publishes.
pub(super) fn judge(
    env: &SimEnv,
    world: &WorldHandle,
    cells: &Cells,
    cell: &str,
) -> Result<impl EnvelopeVerifier + use<>, TestbedError> {
    let roots = world.lock().pki.roots(Authority::Servers)?;
    let tls = tls_provider(env).client(roots, None, Protocol::Http1)?;
    let client = Client::with_tls(env.clone(), tls, FETCH_TIMEOUT);
    let url = format!("https://{}:{PORT}{JWKS_PATH}", cells.page);
    let url = SourceUrl::parse(&url).expect("a host's name and a path are an address");
    let (teller, host) = (world.clone(), env.clone());
    let keys = JwksClient::start(client, url, timing(), move |notice| {
        teller.tell(&host, &fetched(&host, notice));
    });
    let verifier = |cell: &str| {
        let spec = VerifierSpec {
            trust: TrustMode::GatewayEnforced,
            ..VerifierSpec::new(cell)
        };
        Verifier::new(spec).expect("a cell's id can be in a header")
    };
    let clock = env.clone();
    let clock: Box<dyn Fn() -> Unix + Send + Sync> = Box::new(move || clock.unix_now());
    let others = cells.ids.iter().filter(|other| *other != cell);
    Ok(Judge {
        world: world.clone(),
        env: env.clone(),
        layer: EnvelopeLayer::new(verifier(cell), keys.clone(), clock),
        keys,
        own: verifier(cell),
        others: others.map(|id| (id.clone(), verifier(id))).collect(),
    })
}

/// What cells need to know about their world.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    /// All cells' ids.
    ids: Vec<String>,
    /// The router that they fetch the published keys from.
    page: String,
}

impl Cells {
    /// `None` if the routers seal no envelopes.
    pub(super) fn of(scenario: &Scenario) -> Option<Self> {
        let ids = scenario.cells.iter().map(|cell| cell.id.clone()).collect();
        let page = scenario.routers.first()?.clone();
        scenario.seals_envelopes().then_some(Self { ids, page })
    }
}

/// Short times, so that a scenario of a minute can show a rotation.
fn timing() -> JwksTiming {
    let mut timing = JwksTiming::default();
    timing.fresh_min = Duration::from_secs(1);
    timing.cooldown = Duration::from_secs(5);
    timing.retry_max = Duration::from_secs(5);
    timing
}

fn fetched(env: &SimEnv, notice: &KeyNotice) -> Fact {
    let outcome = match notice {
        KeyNotice::Fetched { keys, .. } | KeyNotice::Restored { keys, .. } => Ok(*keys),
        KeyNotice::Refused(refused) => Err(refused.to_string()),
        KeyNotice::Failed(failed) => Err(failed.to_string()),
    };
    let host = env.name().to_owned();
    Fact::EnvelopeKeys { host, outcome }
}

impl EnvelopeVerifier for Judge {
    fn verify<'a>(&'a self, head: &'a Parts) -> Verifying<'a> {
        Box::pin(async move {
            let agent = head
                .headers
                .get(USER_AGENT)
                .and_then(|agent| agent.to_str().ok());
            if agent.is_some_and(is_checker) {
                // A health check is for nobody, and has no envelope.
                return Ok(Verdict::Local(EnvelopeRefused::Missing));
            }
            let judged = self.layer.verify(head).await;
            let found = match &judged {
                Ok(Verdict::Verified(verified)) => Ok(&**verified),
                Ok(Verdict::Local(refused)) | Err(refused) => Err(*refused),
            };
            let fact = Fact::EnvelopeChecked(self.tell(head, found));
            self.world.tell(&self.env, &fact);
            judged
        })
    }
}

impl Judge {
    fn tell(&self, head: &Parts, found: Result<&Verified, EnvelopeRefused>) -> EnvelopeChecked {
        let text = |name: &str| {
            let value = head.headers.get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let (keys, now) = (self.keys.keys(), self.env.unix_now());
        let elsewhere = self.others.iter().map(|(cell, verifier)| {
            let target = target(&head.uri);
            let found = verifier.check(keys.as_deref(), &head.method, &target, &head.headers, now);
            let found = found
                .map(drop)
                .map_err(|refused| refused.as_str().to_owned());
            (cell.clone(), found)
        });
        EnvelopeChecked {
            host: self.env.name().to_owned(),
            request_id: text("x-cellway-request-id"),
            kid: self.own.kid(&head.headers).map(String::from),
            found: match found {
                Ok(verified) => Ok(Proved {
                    tenant: verified.tenant.as_ref().map(ToString::to_string),
                    cell: verified.cell.to_string(),
                    placement_epoch: verified.placement_epoch,
                    subject: verified.subject.as_ref().map(ToString::to_string),
                    roles: verified.roles.iter().map(ToString::to_string).collect(),
                    expires: verified.expires.since_epoch(),
                }),
                Err(refused) => Err(refused.as_str().to_owned()),
            },
            elsewhere: elsewhere.collect(),
        }
    }
}
