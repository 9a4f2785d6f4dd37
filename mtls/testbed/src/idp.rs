//! The identity provider.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cellway_env::Env;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::body::Buffered;
use super::own::OwnService;
use super::serve::{self, Handler, Peer};
use super::{Claims, ServerTls, Signer, TestbedError};

/// The audience of the tokens that [`IdentityProvider::token`] issues. A router that should accept them
/// has `audience = "cellway"`.
pub const AUDIENCE: &str = "cellway";

/// The subject of these tokens.
const SUBJECT: &str = "ada";
/// How long these tokens are valid.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
const JWKS_PATH: &str = "/.well-known/jwks.json";
/// More bytes than any reader of a key set should accept (the router's limit is 1 MiB).
const OVERSIZED_LEN: usize = (1 << 20) + 1;

/// An OpenID provider: publishes its keys through discovery and JWKS, and signs tokens.
///
/// Keys are *published* in the set, and one of them *signs*. A planned rotation publishes the new
/// key first and signs with it later. A surprise rotation does both at once.
#[derive(Clone, Debug)]
pub struct IdentityProvider {
    issuer: Arc<str>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    signer: Arc<Signer>,
    published: Vec<Arc<Signer>>,
    /// A key set that is served instead of its own.
    foreign: Option<String>,
    /// What answers in its place.
    own: Option<OwnService>,
    fault: IdpFault,
    counts: IdpCounts,
}

/// A fault of an identity provider. To take it down, cut its network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IdpFault {
    /// Nothing.
    #[default]
    None,
    /// Answers after this long.
    Slow(Duration),
    /// Discovery names another issuer.
    WrongIssuer,
    /// A key set without keys.
    EmptySet,
    /// A key set that isn't JSON.
    Garbage,
    /// A key set of more than a mebibyte.
    Oversized,
    /// This status, with no body.
    Status(StatusCode),
}

/// How often an identity provider was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IdpCounts {
    /// Discovery documents.
    pub discovery: u64,
    /// Key sets.
    pub jwks: u64,
}

impl IdentityProvider {
    /// A provider whose `iss` is `issuer` (also the base of its URLs), with one key that is
    /// published and signs.
    pub fn new(issuer: &str, signer: Signer) -> Self {
        let signer = Arc::new(signer);
        Self {
            issuer: issuer.into(),
            state: Arc::new(Mutex::new(State {
                published: vec![signer.clone()],
                foreign: None,
                own: None,
                signer,
                fault: IdpFault::None,
                counts: IdpCounts::default(),
            })),
        }
    }

    /// Starts a provider without TLS on a free port of 127.0.0.1, with a new Ed25519 key.
    ///
    /// A router finds its keys by discovery: the router's configuration needs only this provider's
    /// [`issuer`](Self::issuer) and the [`AUDIENCE`].
    ///
    /// # Errors
    /// What the system said when the port was bound, or what is wrong with the key.
    pub async fn start<E: Env>(env: &E) -> io::Result<Self> {
        let mut seed = [0; 32];
        env.fill(&mut seed);
        let signer = Signer::from_seed("key-1", seed).map_err(io::Error::other)?;
        let provider = |address| Ok(Self::new(&format!("http://{address}"), signer));
        let (idp, _) = serve::start(env, provider).await?;
        Ok(idp)
    }

    /// Serves discovery and keys until the listener fails.
    ///
    /// # Errors
    /// What the listener's `accept` returned.
    pub async fn serve<E: Env>(
        &self,
        env: E,
        listener: E::Listener,
        tls: ServerTls,
    ) -> io::Result<()> {
        serve::serve(env, listener, tls, self.clone()).await
    }

    /// The `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The address of its keys, for a configuration without discovery.
    pub fn jwks_uri(&self) -> String {
        format!("{}{JWKS_PATH}", self.issuer)
    }

    /// The name of the key that signs.
    pub fn signing_key(&self) -> String {
        self.state().signer.kid().to_owned()
    }

    /// Serves this key set of somebody else instead of its own. `None` ends that.
    pub fn set_foreign_keys(&self, jwks: Option<String>) {
        self.state().foreign = jwks;
    }

    /// From now on `service` answers all requests, unless a fault does.
    pub fn answer_with(&self, service: OwnService) {
        self.state().own = Some(service);
    }

    /// The key set as it is served now, as JSON.
    pub fn jwks(&self) -> String {
        let state = self.state();
        if let Some(foreign) = &state.foreign {
            return foreign.clone();
        }
        let keys: Vec<Value> = state.published.iter().map(|signer| signer.jwk()).collect();
        json!({ "keys": keys }).to_string()
    }

    /// Adds a key to the published set.
    pub fn publish(&self, signer: Signer) {
        self.state().published.push(Arc::new(signer));
    }

    /// Removes a key from the published set. It may still sign, because that is a fault to test.
    pub fn withdraw(&self, kid: &str) {
        self.state().published.retain(|signer| signer.kid() != kid);
    }

    /// Signs with this published key from now on. `false` if there is no key with that name.
    pub fn sign_with(&self, kid: &str) -> bool {
        let mut state = self.state();
        let found = state.published.iter().find(|s| s.kid() == kid).cloned();
        let known = found.is_some();
        if let Some(signer) = found {
            state.signer = signer;
        }
        known
    }

    /// A surprise rotation: this key replaces all others at once, in the set and for signing.
    pub fn replace_keys(&self, signer: Signer) {
        let signer = Arc::new(signer);
        let mut state = self.state();
        state.published = vec![signer.clone()];
        state.signer = signer;
    }

    /// The claims of a good token: for this tenant and the [`AUDIENCE`], issued now and valid for an
    /// hour, with the subject `ada`. Change or add claims, then [`sign`](Self::sign).
    pub fn claims(&self, env: &impl Env, tenant: &str) -> Claims {
        Claims::new(&self.issuer, AUDIENCE, env.unix_now(), TOKEN_LIFETIME)
            .tenant(tenant)
            .subject(SUBJECT)
    }

    /// A good token, which has these [`claims`](Self::claims).
    ///
    /// # Errors
    /// [`TestbedError::Token`] if the cryptography library fails.
    pub fn token(&self, env: &impl Env, tenant: &str) -> Result<String, TestbedError> {
        self.sign(&self.claims(env, tenant))
    }

    /// Signs a token with the current key.
    ///
    /// # Errors
    /// [`TestbedError::Token`] if the cryptography library fails.
    pub fn sign(&self, claims: &Claims) -> Result<String, TestbedError> {
        let signer = self.state().signer.clone();
        claims.sign(&signer)
    }

    /// Signs a token with the published key of this name.
    ///
    /// # Errors
    /// [`TestbedError::Token`] if there is no such key, or the cryptography library fails.
    pub fn sign_as(&self, kid: &str, claims: &Claims) -> Result<String, TestbedError> {
        let published = self.state().published.clone();
        let signer = published.iter().find(|signer| signer.kid() == kid);
        let signer = signer.ok_or_else(|| TestbedError::Token(format!("no key is named {kid}")))?;
        claims.sign(signer)
    }

    /// Sets a fault, or repairs it with [`IdpFault::None`].
    pub fn set_fault(&self, fault: IdpFault) {
        self.state().fault = fault;
    }

    /// How often it was asked.
    pub fn counts(&self) -> IdpCounts {
        self.state().counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn discovery(&self, fault: IdpFault) -> String {
        let issuer = if fault == IdpFault::WrongIssuer {
            "https://somebody-else.example"
        } else {
            &*self.issuer
        };
        json!({
            "issuer": issuer,
            "jwks_uri": self.jwks_uri(),
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA", "ES256", "RS256"],
        })
        .to_string()
    }
}

impl Handler for IdentityProvider {
    async fn answer(&self, _: &Peer, request: Request<Incoming>) -> Response<Buffered> {
        let own = self.state().own.clone();
        let wants_keys = match (request.method(), request.uri().path()) {
            (&Method::GET, DISCOVERY_PATH) => false,
            (&Method::GET, JWKS_PATH) => true,
            _ => match own {
                Some(own) => return own.answer_to(request).await,
                None => return Buffered::empty(StatusCode::NOT_FOUND),
            },
        };
        let fault = {
            let mut state = self.state();
            if wants_keys {
                state.counts.jwks += 1;
            } else {
                state.counts.discovery += 1;
            }
            state.fault
        };
        let body = match fault {
            IdpFault::Status(status) => return Buffered::empty(status),
            IdpFault::EmptySet if wants_keys => r#"{"keys":[]}"#.to_owned(),
            IdpFault::Garbage if wants_keys => "<html>sign in</html>".to_owned(),
            IdpFault::Oversized if wants_keys => " ".repeat(OVERSIZED_LEN),
            IdpFault::None
            | IdpFault::Slow(_)
            | IdpFault::WrongIssuer
            | IdpFault::EmptySet
            | IdpFault::Garbage
            | IdpFault::Oversized => {
                if let IdpFault::Slow(delay) = fault {
                    tokio::time::sleep(delay).await;
                }
                if let Some(own) = own.filter(|_| fault != IdpFault::WrongIssuer) {
                    return own.answer_to(request).await;
                }
                self.document(wants_keys, fault)
            }
        };
        Buffered::json(StatusCode::OK, body)
    }
}

impl IdentityProvider {
    fn document(&self, wants_keys: bool, fault: IdpFault) -> String {
        if wants_keys {
            self.jwks()
        } else {
            self.discovery(fault)
        }
    }
}
