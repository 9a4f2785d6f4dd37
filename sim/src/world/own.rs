//! Code of the user's that runs in a world: services in place of cells and identity providers, and programs in
//! place of clients.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_testbed::{IdentityProvider, OwnService};
use http::Request;

use super::client::Client;
use super::hosts::TAG;
use super::state::WorldHandle;
use crate::engine::SimEnv;
use crate::fact::Fact;
use crate::invariants::Invariant;
use crate::random::Random;

type Program = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What runs in place of the simulator's own hosts, and what is checked besides its own invariants.
#[derive(Clone, Default)]
pub(crate) struct Own {
    /// By cell.
    cells: BTreeMap<String, Arc<dyn Fn(Host) -> OwnService + Send + Sync>>,
    /// By issuer.
    providers: BTreeMap<String, Arc<dyn Fn(Host, IdentityProvider) -> OwnService + Send + Sync>>,
    /// By client.
    clients: BTreeMap<String, Arc<dyn Fn(Client) -> Program + Send + Sync>>,
    invariants: Vec<Arc<dyn Fn() -> Box<dyn Invariant> + Send + Sync>>,
}

impl Own {
    pub(crate) fn cell(
        &mut self,
        cell: &str,
        make: impl Fn(Host) -> OwnService + Send + Sync + 'static,
    ) {
        let make = Arc::new(move |host| tagging(make(host)));
        self.cells.insert(cell.to_owned(), make);
    }

    pub(crate) fn provider(
        &mut self,
        issuer: &str,
        make: impl Fn(Host, IdentityProvider) -> OwnService + Send + Sync + 'static,
    ) {
        self.providers.insert(issuer.to_owned(), Arc::new(make));
    }

    pub(crate) fn client<F>(
        &mut self,
        client: &str,
        program: impl Fn(Client) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let start = Arc::new(move |client| Box::pin(program(client)) as Program);
        self.clients.insert(client.to_owned(), start);
    }

    pub(crate) fn invariant<I: Invariant + 'static>(
        &mut self,
        make: impl Fn() -> I + Send + Sync + 'static,
    ) {
        let make = Arc::new(move || Box::new(make()) as Box<dyn Invariant>);
        self.invariants.push(make);
    }

    /// The user's invariants, as they are at the start of a run.
    pub(crate) fn invariants(&self) -> impl Iterator<Item = Box<dyn Invariant>> {
        self.invariants.iter().map(|make| make())
    }

    /// What answers on an endpoint of this cell, if it isn't an echo.
    pub(super) fn service_of(
        &self,
        cell: &str,
        env: &SimEnv,
        world: &WorldHandle,
    ) -> Option<OwnService> {
        let make = self.cells.get(cell)?;
        Some(make(Host::new(env, world)))
    }

    /// What answers in place of this issuer's provider.
    pub(super) fn provider_of(
        &self,
        issuer: &str,
        env: &SimEnv,
        world: &WorldHandle,
        provider: &IdentityProvider,
    ) -> Option<OwnService> {
        let make = self.providers.get(issuer)?;
        Some(make(Host::new(env, world), provider.clone()))
    }

    /// The program of this client, which may be one of several that the scenario describes together.
    pub(super) fn program_of(&self, client: &crate::scenario::Client) -> Option<&OwnProgram> {
        let own = self.clients.get(&client.name);
        own.or_else(|| self.clients.get(&client.entry))
    }
}

/// Answers with the tag of the request, by which its client knows that the answer is its own.
fn tagging(service: OwnService) -> OwnService {
    OwnService::from_fn(move |request: Request<Bytes>| {
        let (service, tag) = (service.clone(), request.headers().get(TAG).cloned());
        async move {
            let mut response = service.answer(request).await;
            if let Some(tag) = tag {
                response.headers_mut().insert(TAG, tag);
            }
            response
        }
    })
}

/// Starts a client's program.
pub(super) type OwnProgram = Arc<dyn Fn(Client) -> Program + Send + Sync>;

/// A simulated host, for the code that runs on it: from its start to its next crash.
#[derive(Clone)]
pub struct Host {
    env: SimEnv,
    world: WorldHandle,
}

impl Host {
    pub(super) fn new(env: &SimEnv, world: &WorldHandle) -> Self {
        Self {
            env: env.clone(),
            world: world.clone(),
        }
    }

    /// Its name, such as `gold-1`.
    pub fn name(&self) -> &str {
        self.env.name()
    }

    /// How often it was started before.
    pub fn incarnation(&self) -> u32 {
        self.env.incarnation()
    }

    /// Its environment: connections, listeners, the wall clock, its disk, and tasks. Time passes with
    /// `tokio::time`.
    pub fn env(&self) -> &SimEnv {
        &self.env
    }

    /// Random numbers from the seed, for one purpose.
    pub fn random(&self, purpose: &str) -> Random {
        self.env.random(purpose)
    }

    /// Time since the start of the run.
    pub fn elapsed(&self) -> Duration {
        self.env.elapsed()
    }

    /// Something of your own that all hosts of a run share, and that no crash touches, such as a database. A run
    /// begins with the default.
    ///
    /// # Panics
    /// Never: what is kept under a type has this type.
    pub fn shared<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut world = self.world.lock();
        let shared = world.shared.entry(TypeId::of::<T>());
        let shared = shared.or_insert_with(|| Arc::new(T::default()));
        let shared = shared.clone().downcast();
        shared.expect("it was kept under its type")
    }

    /// Reports a fact of your own: [`Fact::Own`]. Your invariants get it, and the timeline shows
    /// the first one of each name after each change of the world.
    pub fn tell(&self, name: &str, value: impl Into<serde_json::Value>) {
        let fact = Fact::Own {
            name: name.to_owned(),
            value: value.into(),
        };
        self.world.tell(&self.env, &fact);
    }
}
