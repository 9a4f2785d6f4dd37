//! Deciding without any IO: a core, fed by hand.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_core::cert::PeerCertificate;
use cellway_core::control::{Control, ControlSettings, Output};
use cellway_core::headers::sanitize;
use cellway_core::identify::Memo;
use cellway_core::keys::JwksFetchError;
use cellway_core::policy::{Policy, PolicySpecs};
use cellway_core::registry::{
    FetchProblem, Registry, RegistryFetchError, RegistryFetched, RegistryFormat, RegistryLimits,
    RegistryTiming,
};
use cellway_core::{Decision, Evidence, Mono, Now, Outcome, Recorder, Snapshot, Steps, Unix};
use cellway_testbed::{Ca, CertificateSpec, Claims, Key, San, Signer, Usage, Validity};
use http::{HeaderMap, HeaderValue, Method, header};

/// The issuer that tests configure.
pub const ISSUER: &str = "https://idp.example";
/// The audience that tests configure.
pub const AUDIENCE: &str = "cellway";
/// When the tests' worlds begin: 2027-01-15T08:00:00Z.
pub const EPOCH: Unix = Unix::from_secs(1_800_000_000);

/// So many seconds after the beginning.
pub fn at(secs: u64) -> Now {
    let since = Duration::from_secs(secs);
    Now {
        mono: Mono::from_origin(since),
        unix: EPOCH.after(since),
    }
}

/// What the sources answer.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The key set; `None`: the issuer can't be reached.
    pub jwks: Option<String>,
    /// The registry document; `None`: the control plane can't be reached.
    pub registry: Option<String>,
}

impl Sources {
    /// The key set with the key `current`, and this registry.
    pub fn of(registry: impl Into<String>) -> Self {
        Self {
            jwks: Some(current_jwks()),
            registry: Some(registry.into()),
        }
    }
}

/// The key set with the key `current`, which signs what [`sign`] signs.
pub fn current_jwks() -> String {
    jwks(&[&signer("current")])
}

/// A core with its control half, fed by hand.
#[derive(Debug)]
pub struct Core {
    /// The state machines.
    pub control: Control,
    /// What they are fed with.
    pub sources: Sources,
    memo: Memo,
}

impl Core {
    /// Starts with this configuration (the identity tables of `cellway.toml`) and these sources.
    pub fn new(config: &str, sources: Sources) -> Self {
        let specs: PolicySpecs = toml::from_str(config).expect("the tables parse");
        let policy = Policy::build(&specs).expect("the policy is valid");
        // Within the life of a token and of stale keys, so that each can end before the others.
        let registry = RegistryTiming {
            identity_max_age: Some(Duration::from_secs(900)),
            ..RegistryTiming::default()
        };
        let settings = ControlSettings {
            registry,
            ..ControlSettings::default()
        };
        let control = Control::new(Arc::new(policy), settings, at(0), 7);
        let mut core = Self {
            control,
            sources,
            memo: Memo::new(64, 7),
        };
        core.serve(at(0));
        core.control.handle_timeout(at(0));
        core.serve(at(0));
        core
    }

    /// The snapshot that requests are decided on.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        self.control.snapshot()
    }

    /// Answers everything that control asks for, until it asks for nothing more.
    pub fn serve(&mut self, now: Now) {
        let mut asked = VecDeque::new();
        loop {
            // What is saved, freed or told has no effect on decisions. Registries are parsed below.
            asked.extend(std::iter::from_fn(|| self.control.poll_output()));
            match asked.pop_front() {
                Some(Output::FetchKeys { source, .. }) => {
                    let answer = self.sources.jwks.clone().map(Bytes::from);
                    let answer = answer.ok_or(JwksFetchError::Unreachable);
                    self.control.handle_keys(now, source, answer);
                }
                Some(Output::FetchRegistry { .. }) => {
                    let answer = self.registry_answer();
                    self.control.handle_registry(now, answer);
                }
                Some(
                    Output::Publish(_)
                    | Output::SaveKeys { .. }
                    | Output::ParseRegistry { .. }
                    | Output::SaveRegistry { .. }
                    | Output::ConfirmRegistry { .. }
                    | Output::Free(_)
                    | Output::Probe(_)
                    | Output::Notice(_),
                ) => {}
                None => return,
            }
        }
    }

    fn registry_answer(&self) -> Result<RegistryFetched, RegistryFetchError> {
        let Some(document) = &self.sources.registry else {
            let problem = FetchProblem::Unreachable;
            return Err(RegistryFetchError {
                problem,
                detail: "no control plane".into(),
            });
        };
        let current = self.control.registry().map(|registry| &**registry);
        let parsed = Registry::parse(
            document.as_bytes(),
            RegistryFormat::Json,
            current,
            &RegistryLimits::default(),
        );
        let body = Bytes::from(document.clone());
        Ok(RegistryFetched::Document {
            parsed,
            body,
            validator: None,
        })
    }

    /// Lets time pass, waking control whenever it wants.
    pub fn run_until(&mut self, until: Now) {
        while let Some((when, _)) = self
            .control
            .poll_timeout()
            .filter(|(at, _)| *at <= until.mono)
        {
            let now = Now {
                mono: when,
                unix: EPOCH.after(when.since_origin()),
            };
            self.control.handle_timeout(now);
            self.serve(now);
        }
    }

    /// Decides a request, fetching keys if the decision waits for them.
    ///
    /// # Panics
    /// If the steps don't end with the check that failed, whatever the request.
    pub fn decide(&mut self, request: &Request, now: Now) -> (Decision, Steps) {
        let (decision, steps) = self.decide_unchecked(request, now);
        check_steps(&decision, &steps);
        (decision, steps)
    }

    fn decide_unchecked(&mut self, request: &Request, now: Now) -> (Decision, Steps) {
        let mut steps = Steps::default();
        match self.ask(request, now, false, &mut steps) {
            Outcome::Done(decision) => (decision, steps),
            Outcome::Wait(wait) => {
                self.control
                    .handle_unknown_key(now, wait.issuer, wait.kid.as_deref());
                self.serve(now);
                steps = Steps::default();
                match self.ask(request, now, true, &mut steps) {
                    Outcome::Done(decision) => (decision, steps),
                    Outcome::Wait(_) => panic!("a request that has waited is told to wait again"),
                }
            }
        }
    }

    /// Puts another configuration in force, as a reload does.
    pub fn reload(&mut self, config: &str, now: Now) {
        let specs: PolicySpecs = toml::from_str(config).expect("the tables parse");
        let policy = Policy::build(&specs).expect("the policy is valid");
        self.control
            .handle_policy(now, Arc::new(policy), Vec::new());
        self.serve(now);
        self.control.handle_timeout(now);
        self.serve(now);
    }

    /// Takes what the sources say now, without waiting for the next time to ask.
    pub fn refresh(&mut self, now: Now) {
        self.control.handle_refresh(now);
        self.serve(now);
    }

    /// Asks once with what is remembered and once without. Both must come to the same.
    ///
    /// # Panics
    /// If they don't.
    pub fn both_ways(&mut self, request: &Request, now: Now, waited: bool) -> (Outcome, Steps) {
        let mut steps = Steps::default();
        let with = self.ask(request, now, waited, &mut steps);
        let warm = std::mem::replace(&mut self.memo, Memo::disabled());
        let without = self.ask(request, now, waited, &mut ());
        self.memo = warm;
        assert_eq!(with, without, "{request:?} {steps}");
        let bytes = |outcome: &Outcome| match outcome {
            Outcome::Done(decision) => serde_json::to_string(decision).expect("it serializes"),
            Outcome::Wait(wait) => format!("{wait:?}"),
        };
        assert_eq!(bytes(&with), bytes(&without));
        (with, steps)
    }

    fn ask(
        &mut self,
        request: &Request,
        now: Now,
        waited: bool,
        recorder: &mut impl Recorder,
    ) -> Outcome {
        let snapshot = Arc::clone(self.control.snapshot());
        let mut headers = request.headers.clone();
        let credentials =
            sanitize(&snapshot.policy.headers, &mut headers).expect("a Connection to obey");
        let evidence = Evidence {
            policy: snapshot
                .policy
                .policy_id(&request.policy)
                .expect("the policy exists"),
            method: &request.method,
            authority: &request.authority,
            path: &request.path,
            credentials: &credentials,
            peer: request.peer.as_ref(),
            spread: 0,
            waited,
        };
        cellway_core::decide(&snapshot, &evidence, now, &mut self.memo, recorder)
    }
}

/// The first check that fails decides, and is the last that is shown. What is only watched may fail
/// without consequence.
fn check_steps(decision: &Decision, steps: &Steps) {
    let failed = steps.0.iter().filter(|step| !step.passed).count();
    match decision {
        Decision::Allow(allow) => {
            let watched = allow
                .cell_bound
                .as_ref()
                .is_some_and(|it| it.refused.is_some());
            assert!(failed == 0 || watched, "{}\n{steps}", allow.reason);
        }
        Decision::Deny(deny) => {
            let last = steps.0.last().is_some_and(|step| !step.passed);
            assert!(last && failed == 1, "{}\n{steps}", deny.reason);
        }
    }
}

/// A request, as far as decisions look at it.
#[derive(Clone, Debug)]
pub struct Request {
    policy: String,
    method: Method,
    authority: String,
    path: String,
    headers: HeaderMap,
    peer: Option<PeerCertificate>,
}

impl Request {
    /// A request without credentials to a listener with this policy.
    pub fn to(policy: &str) -> Self {
        Self {
            policy: policy.to_owned(),
            method: Method::GET,
            authority: "api.example".to_owned(),
            path: "/".to_owned(),
            headers: HeaderMap::new(),
            peer: None,
        }
    }

    /// For this method, authority, and path with query.
    #[must_use]
    pub fn target(mut self, method: Method, authority: &str, path: &str) -> Self {
        self.method = method;
        self.authority = authority.to_owned();
        self.path = path.to_owned();
        self
    }

    /// By this method, for this path and query, instead of `GET /`.
    #[must_use]
    pub fn asks(mut self, method: &str, path: &str) -> Self {
        self.method = Method::from_bytes(method.as_bytes()).expect("a method");
        path.clone_into(&mut self.path);
        self
    }

    /// With `Authorization: Bearer` and this token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header(header::AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// With one more header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = header::HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers
            .append(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// Over a connection with this client certificate.
    #[must_use]
    pub fn shows(mut self, certificate: PeerCertificate) -> Self {
        self.peer = Some(certificate);
        self
    }

    /// Over a connection with a client certificate that has these SANs.
    #[must_use]
    pub fn certificate(mut self, sans: &[San]) -> Self {
        self.peer = Some(certificate(sans));
        self
    }
}

/// A token of the tests' issuer for a tenant, good for five minutes from the beginning.
pub fn claims(tenant: &str) -> Claims {
    Claims::new(ISSUER, AUDIENCE, EPOCH, Duration::from_secs(300))
        .tenant(tenant)
        .subject("ada")
}

/// The token with these claims, signed by the key `current`.
pub fn sign(claims: &Claims) -> String {
    let token = claims.sign(&signer("current"));
    token.expect("it signs")
}

/// A good token of this tenant.
pub fn token(tenant: &str) -> String {
    sign(&claims(tenant))
}

/// The Ed25519 key with this name; equal names give equal keys.
pub fn signer(kid: &str) -> Signer {
    let mut seed = [0; 32];
    for (at, byte) in kid.bytes().enumerate().take(32) {
        seed[at] = byte;
    }
    Signer::from_seed(kid, seed).expect("any seed is a key")
}

/// A key set of these signers.
pub fn jwks(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
    serde_json::json!({ "keys": keys }).to_string()
}

/// A client certificate with these SANs, good for the first hour.
pub fn certificate(sans: &[San]) -> PeerCertificate {
    let validity = Validity::around(EPOCH, Duration::from_secs(3600));
    let key = Key::from_seed([1; 32]);
    let ca = Ca::new("tests", &key, validity, 1).expect("an authority");
    let spec = CertificateSpec {
        common_name: "client".into(),
        sans: sans.to_vec(),
        usage: Usage::Client,
        validity,
        serial: 2,
    };
    let credential = ca
        .issue(&spec, &Key::from_seed([2; 32]))
        .expect("a certificate");
    PeerCertificate::from_der(&credential.chain[0]).expect("a good certificate")
}
