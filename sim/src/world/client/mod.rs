//! Clients: hosts that send requests at a rate, each with forged headers.

mod answer;
mod call;
mod own;
mod pool;
mod refusal;
mod talk;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_env::Env;
use cellway_testbed::{Answer as Response, ClientError, Request};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use self::answer::{classify, own_answer, own_error};
pub use self::own::{Client, Reply};
use self::pool::Pool;
use self::talk::Talked;
use super::authorization;
use super::credentials::RequestCredentials;
use super::hosts::TAG;
use super::router::PORT;
use super::state::WorldHandle;
use super::wallet::Wallet;
use crate::engine::SimEnv;
use crate::fact::{Answer, Fact, RoutingKeyProof, Sent};
use crate::invariants::{CELL_BOUND, FORGED, FORGED_BY_CELL, TRAILER};
use crate::random::Random;
use crate::scenario::{self, ClientProtocol, Credential, Flaw};

/// The most open requests of one client. With more, it waits.
const OPEN_MAX: usize = 32;

/// Headers that every client forges.
const FORGED_NAMES: [&str; 8] = [
    "x-cellway-tenant",
    "x-cellway-auth",
    "x-cellway-roles",
    "x-cellway-request-id",
    "x-cellway-made-up",
    "x_cellway_tenant",
    "x-cellway.sub",
    ROUTING_KEY,
];

/// What clients ask for that don't read all of it. It is longer than all buffers on its way.
const LONG_ANSWER: &str = "/bytes/8000000";

/// How long a client pauses after each 64 KiB of an upload. Bytes travel at once in the simulated network, so
/// without a pause an upload would be at its cell before anybody can answer.
const UPLOAD_PAUSE: Duration = Duration::from_millis(100);

/// A header that HTTP/1.1 requests name in `Connection`, so that it is for one connection only.
const HOP: &str = "x-sim-hop";

/// The header with a routing key.
const ROUTING_KEY: &str = "x-routing-key";

/// The header in which a client picks a tenant from those of its token.
const TENANT_CHOICE: &str = "x-cellway-select-tenant";

/// Sends requests until the world ends.
///
/// If routers accept routing keys (`keys`), only clients that use one send it. For others it would be a
/// bad credential.
pub(super) async fn run(
    env: SimEnv,
    world: WorldHandle,
    spec: scenario::Client,
    routers: Vec<String>,
    keys: bool,
) {
    let mut random = env.random("workload");
    let wallet = Arc::new(Wallet::new(&world, &spec));
    let pools = routers
        .iter()
        .map(|router| Pool::new(&env, &world, &spec, router));
    let pools: Vec<_> = pools.map(Arc::new).collect();
    let open = Arc::new(tokio::sync::Semaphore::new(OPEN_MAX));
    let mut number = 0_usize;
    tokio::time::sleep(jittered(spec.interval, &mut random) / 2).await;
    loop {
        if let Ok(permit) = open.clone().acquire_owned().await {
            let exchange = Exchange {
                env: env.clone(),
                world: world.clone(),
                pool: pools[number % pools.len()].clone(),
                tag: format!("{}-{}-{number}", spec.name, env.incarnation()),
                once: (random.below(2) == 0 || spec.always_posts()) && !spec.websocket,
                odd: number % 2 == 1,
                wallet: wallet.clone(),
                keys,
                own: false,
            };
            let credentials = wallet.credentials(env.elapsed(), number);
            if let Some(credentials) = exchange.bind(&spec, credentials) {
                let spec = spec.clone();
                env.spawn(async move {
                    exchange.run(&spec, credentials).await;
                    drop(permit);
                });
            }
        }
        number += 1;
        tokio::time::sleep(jittered(spec.interval, &mut random)).await;
    }
}

/// A random time from half of `interval` to one and a half of it.
fn jittered(interval: Duration, random: &mut Random) -> Duration {
    let micros = interval.as_micros() as u64;
    Duration::from_micros(micros / 2 + random.below(micros.max(1)))
}

/// One request and its answer.
struct Exchange {
    env: SimEnv,
    world: WorldHandle,
    pool: Arc<Pool>,
    tag: String,
    /// A `POST` with body and trailers; otherwise a `GET`.
    once: bool,
    /// Every second request of a client is odd.
    odd: bool,
    wallet: Arc<Wallet>,
    /// Routers accept routing keys.
    keys: bool,
    /// The program is the user's, and so may be what answers.
    own: bool,
}

impl Exchange {
    fn bind(
        &self,
        spec: &scenario::Client,
        credentials: RequestCredentials,
    ) -> Option<RequestCredentials> {
        let names = (self.pool.router.as_str(), self.tag.as_str());
        authorization::bind(&self.world, spec, names, self.env.elapsed(), credentials)
    }

    async fn run(self, spec: &scenario::Client, credentials: RequestCredentials) {
        self.run_with(spec, credentials, |_| ()).await;
    }

    /// Sends the request as `write` leaves it. Returns the answer, and all of it if there is one.
    async fn run_with(
        self,
        spec: &scenario::Client,
        credentials: RequestCredentials,
        write: impl FnOnce(&mut Request),
    ) -> (Answer, Option<Response>) {
        let elapsed = self.env.elapsed();
        let proof = self.wallet.routing_key_proof(elapsed);
        let mut request = self.request(spec, &credentials);
        write(&mut request);
        let sent = self.sent(spec, &request, &credentials, proof.clone());
        self.world.tell(&self.env, &Fact::Sent(Arc::new(sent)));
        let streamed = || {
            let tag = self.tag.clone();
            if spec.stream.is_some() {
                self.world.tell(&self.env, &Fact::Streamed { tag });
            } else if spec.stops_reading {
                self.world.tell(&self.env, &Fact::StoppedReading { tag });
            }
        };
        if proof.is_some() {
            self.show_key(spec, elapsed, &mut request);
        }
        let answered = match (spec.websocket, spec.stream) {
            (true, Some(_)) if spec.states_length => {
                talk::lie(&self.pool, &self.tag, request).await
            }
            (true, Some(lasts)) => {
                let talking = talk::run(&self.pool, &self.tag, request, lasts, streamed);
                talking.await
            }
            _ => {
                let sending = self.pool.send(&self.tag, request, streamed);
                sending.await.map(Box::new).map(Talked::Answered)
            }
        };
        let response = match &answered {
            Ok(Talked::Answered(response)) if self.own => Some((**response).clone()),
            Ok(_) | Err(_) => None,
        };
        let answer = self.judge(spec, answered);
        if answer == Answer::Ok {
            authorization::spent(&self.world, spec, &self.pool.router, &credentials);
        }
        self.env
            .record(format_args!("{} is answered {answer}", self.tag));
        let answered = Fact::Answered {
            tag: self.tag,
            answer: answer.clone(),
        };
        self.world.tell(&self.env, &answered);
        (answer, response)
    }

    /// What the client knows about its request.
    fn sent(
        &self,
        spec: &scenario::Client,
        request: &Request,
        credentials: &RequestCredentials,
        routing_key: Option<RoutingKeyProof>,
    ) -> Sent {
        Sent {
            client: spec.name.clone(),
            tag: self.tag.clone(),
            tenant: spec.tenant.clone(),
            good: spec.can_prove(),
            method: request.method.to_string(),
            path: request.path.clone(),
            claims: self.wallet.claims_fact().map(Box::new),
            selects: spec.selects.then(|| spec.tenant.clone()),
            anonymous: spec.credential == Credential::None,
            token: credentials.truth.clone(),
            cell_bound: credentials
                .bound
                .as_ref()
                .map(|bound| Box::new(bound.truth.clone())),
            routing_key,
            address: self.env.address(),
            to: self.pool.router.clone(),
            via: spec.via.clone(),
            once: self.once,
            websocket: spec.websocket,
            grpc: spec.grpc,
            deadline: spec.deadline,
            body: (spec.ends_requests()).then_some(request.body.len() as u64),
            // An Envoy forwards none.
            trailers: spec.via.is_none() && !request.trailers.is_empty(),
        }
    }

    /// The client's answer, after a check of what a cell says.
    fn judge(&self, spec: &scenario::Client, answered: Result<Talked, ClientError>) -> Answer {
        match answered {
            Ok(Talked::Answered(response)) => {
                self.trace(spec, &response);
                self.look_for_forgeries(spec, &response);
                let answer = match spec.grpc {
                    true => call::classify(&response),
                    false => classify(&response),
                };
                let checked = match &answer {
                    Answer::Ok => own_answer(spec, &self.tag, &response),
                    Answer::Router(reason) if spec.via.is_none() => {
                        own_error(spec, reason, &response)
                    }
                    Answer::Router(_)
                    | Answer::Cell(_)
                    | Answer::CellGrpc(_)
                    | Answer::Refused
                    | Answer::Closed(_)
                    | Answer::None => Ok(()),
                };
                if let Err(found) = checked {
                    self.is_mixed(found);
                }
                if spec.grpc {
                    self.call_answered(&response);
                }
                answer
            }
            Ok(Talked::Ended(answer)) => answer,
            Ok(Talked::Mixed(found)) => {
                self.is_mixed(found);
                Answer::None
            }
            Err(ClientError::Connect(_) | ClientError::Tls(_)) => Answer::Refused,
            Err(_) => Answer::None,
        }
    }

    fn call_answered(&self, response: &Response) {
        let fact = Fact::CallAnswered {
            tag: self.tag.clone(),
            http: response.status.as_u16(),
            status: call::status(response),
        };
        self.world.tell(&self.env, &fact);
    }

    /// Reports the router's id of the request. An Envoy passes none on.
    fn trace(&self, spec: &scenario::Client, response: &Response) {
        let id = response.headers.get("x-cellway-request-id");
        let id = id.and_then(|id| id.to_str().ok());
        if let (None, Some(id)) = (&spec.via, id) {
            let (tag, request_id) = (self.tag.clone(), id.to_owned());
            self.world
                .tell(&self.env, &Fact::Traced { tag, request_id });
        }
    }

    /// Answers through an Envoy aren't checked, because no router sees them.
    fn look_for_forgeries(&self, spec: &scenario::Client, response: &Response) {
        let mut fields = response.headers.iter().chain(&response.trailers);
        let forged = fields.find(|(_, value)| value.as_bytes() == FORGED_BY_CELL.as_bytes());
        if let (None, Some((header, _))) = (&spec.via, forged) {
            let (tag, header) = (self.tag.clone(), header.to_string());
            self.world
                .tell(&self.env, &Fact::AnswerForged { tag, header });
        }
    }

    fn is_mixed(&self, found: String) {
        let tag = self.tag.clone();
        self.world
            .tell(&self.env, &Fact::AnswerMixed { tag, found });
    }

    fn request(&self, spec: &scenario::Client, credentials: &RequestCredentials) -> Request {
        let mut request = match spec.stream {
            Some(_) if spec.websocket => Request::get("/chat"),
            Some(stream) => Request::get(&format!("/stream/{}", stream.as_secs())),
            None if spec.stops_reading => Request::get(LONG_ANSWER),
            None => Request::get(&spec.path),
        };
        request.stops_reading = spec.stops_reading;
        let forged = HeaderValue::from_static(FORGED);
        let misplaced = |name: &str| self.keys && name == ROUTING_KEY;
        for name in FORGED_NAMES.into_iter().filter(|name| !misplaced(name)) {
            request = request.header(HeaderName::from_static(name), forged.clone());
        }
        // Envoy sets this header itself when it forwards.
        if spec.via.is_none() {
            let name = HeaderName::from_static("x-forwarded-for");
            request = request.header(name, forged.clone());
        }
        let tag = HeaderValue::try_from(&self.tag).expect("tags are made of names and numbers");
        request = request.header(HeaderName::from_static(TAG), tag);
        if spec.protocol == ClientProtocol::Http1 {
            let (named, hop) = match spec.flaw {
                // Asks the router to remove its own headers as hop-by-hop headers.
                Some(Flaw::NamesStamps) => ("x-cellway-tenant, x-cellway-auth", None),
                // The router must not forward this header.
                _ => (HOP, Some(HeaderValue::from_static(FORGED))),
            };
            let named = HeaderValue::from_static(named);
            request = request.header(http::header::CONNECTION, named);
            if let Some(value) = hop {
                request = request.header(HeaderName::from_static(HOP), value);
            }
        }
        if let Some(token) = &credentials.token {
            request = with_token(request, token, spec.flaw);
        }
        if spec.selects {
            let tenant = HeaderValue::try_from(&spec.tenant).expect("a tenant's id is plain");
            request = request.header(HeaderName::from_static(TENANT_CHOICE), tenant);
        }
        if let Some(bound) = &credentials.bound {
            let value = HeaderValue::try_from(&bound.token).expect("a token is ASCII");
            request = request.header(HeaderName::from_static(CELL_BOUND), value);
        }
        if self.keys {
            request = request.header(HeaderName::from_static("x_routing_key"), forged.clone());
        }
        if spec.unfinished {
            request.method = Method::POST;
            request.body = Bytes::from_static(b"half an order");
            request.unfinished = true;
        } else if spec.grpc {
            call::prepare(&mut request, spec.deadline);
        } else if self.once {
            request.method = Method::POST;
            request.body = Bytes::from_static(b"an order");
            let tag = HeaderValue::try_from(&self.tag).expect("tags are made of names and numbers");
            request.trailers = HeaderMap::from_iter([
                (HeaderName::from_static("x-cellway-roles"), forged),
                (HeaderName::from_static(TRAILER), tag),
            ]);
        }
        if let Some(bytes) = spec.upload {
            request.body = upload(bytes as usize);
            request.pause = UPLOAD_PAUSE;
            // Every second upload announces its length.
            if self.odd {
                request.trailers.clear();
            }
        }
        if spec.breaks_off {
            request.breaks_off = Some(self.break_off(&mut request.trailers));
        }
        request
    }

    /// With which code the client breaks off. Only an odd request announces its body's length.
    fn break_off(&self, trailers: &mut HeaderMap) -> h2::Reason {
        match self.odd {
            true => {
                trailers.clear();
                h2::Reason::CANCEL
            }
            // It sounds as if nothing were missing.
            false => h2::Reason::NO_ERROR,
        }
    }

    /// The routing key, and its signature if there is one.
    fn show_key(&self, spec: &scenario::Client, elapsed: Duration, request: &mut Request) {
        let value = |text: &str| HeaderValue::try_from(text).expect("names and base64url");
        let authority = format!("{}:{PORT}", self.pool.router);
        let signature = self
            .wallet
            .signature(elapsed, &request.method, &authority, &request.path);
        let headers = &mut request.headers;
        headers.insert(HeaderName::from_static(ROUTING_KEY), value(&spec.tenant));
        if let Some(signature) = signature {
            let name = HeaderName::from_static("x-routing-key-signature");
            headers.insert(name, value(&signature));
        }
    }
}

/// A body of this length. Whoever takes a part of it for what comes next on the connection reads a request
/// that no client has sent.
fn upload(bytes: usize) -> Bytes {
    const LINES: &[u8] = b"GET /smuggled HTTP/1.1\r\nhost: smuggled\r\n\r\n";
    LINES.iter().copied().cycle().take(bytes).collect()
}

/// The request with its token, in the places that the flaw asks for.
fn with_token(mut request: Request, token: &str, flaw: Option<Flaw>) -> Request {
    match flaw {
        Some(Flaw::Twice) => {
            let value = format!("Bearer {token}");
            let value = HeaderValue::try_from(value).expect("a token is ASCII");
            request.headers.append(http::header::AUTHORIZATION, value);
        }
        Some(Flaw::InQuery) => {
            let joint = if request.path.contains('?') { '&' } else { '?' };
            request.path = format!("{}{joint}access_token={token}", request.path);
        }
        _ => {}
    }
    let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a token is ASCII");
    request.headers.append(http::header::AUTHORIZATION, value);
    request
}
