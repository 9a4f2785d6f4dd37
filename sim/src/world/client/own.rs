//! A client whose program is the user's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};

use super::pool::Pool;
use super::{Exchange, Wallet};
use crate::engine::SimEnv;
use crate::fact::Answer;
use crate::scenario;
use crate::world::own_host::Host;
use crate::world::state::WorldHandle;

/// A client of the scenario, for the program that sends its requests. Clones are the same client.
#[derive(Clone)]
pub struct Client {
    host: Host,
    env: SimEnv,
    world: WorldHandle,
    spec: Arc<scenario::Client>,
    pools: Vec<Arc<Pool>>,
    wallet: Arc<Wallet>,
    keys: bool,
    sent: Arc<AtomicUsize>,
}

/// What came of a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The request's name, as it is in reports.
    pub tag: String,
    /// The answer, by who made it.
    pub answer: Answer,
    /// The whole answer; `None` if the client has none.
    pub response: Option<Response<Bytes>>,
}

impl Client {
    pub(in crate::world) fn new(
        env: &SimEnv,
        world: &WorldHandle,
        spec: &scenario::Client,
        routers: &[String],
        keys: bool,
    ) -> Self {
        let pools = routers
            .iter()
            .map(|router| Arc::new(Pool::new(env, world, spec, router)));
        Self {
            host: Host::new(env, world),
            env: env.clone(),
            world: world.clone(),
            pools: pools.collect(),
            wallet: Arc::new(Wallet::new(world, spec)),
            spec: Arc::new(spec.clone()),
            keys,
            sent: Arc::default(),
        }
    }

    /// The host that it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Sends a request with the scenario's credentials to the next of its routers, and waits for the answer.
    /// Your headers come in addition; one with the same name replaces the scenario's. The invariants see the
    /// request like any other one.
    pub async fn send(&self, request: Request<Bytes>) -> Reply {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query();
        let path = path.map_or("/", |path| path.as_str()).to_owned();
        let exchange = Exchange {
            env: self.env.clone(),
            world: self.world.clone(),
            pool: self.pools[number % self.pools.len()].clone(),
            tag: format!("{}-{}-{number}", self.spec.name, self.env.incarnation()),
            once: !head.method.is_safe(),
            odd: number % 2 == 1,
            wallet: self.wallet.clone(),
            keys: self.keys,
            own: true,
        };
        let tag = exchange.tag.clone();
        let credentials = self.wallet.credentials(self.env.elapsed(), number);
        let Some(credentials) = exchange.bind(&self.spec, credentials) else {
            let (answer, response) = (Answer::None, None);
            return Reply {
                tag,
                answer,
                response,
            };
        };
        let written = |sent: &mut cellway_testbed::Request| {
            sent.method = head.method;
            sent.path = path;
            if !sent.unfinished {
                sent.body = body;
            }
            replace(&mut sent.headers, head.headers);
        };
        let (answer, response) = exchange.run_with(&self.spec, credentials, written).await;
        let response = response.map(|answer| {
            let mut response = Response::new(answer.body);
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            response
        });
        Reply {
            tag,
            answer,
            response,
        }
    }
}

/// Adds headers in place of those with the same name.
fn replace(headers: &mut HeaderMap, own: HeaderMap) {
    for name in own.keys() {
        headers.remove(name);
    }
    headers.extend(own);
}
