//! Code of the user's that runs in a world: services in place of cells and identity providers, and
//! programs in place of clients.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use cellway_testbed::{IdentityProvider, OwnService};
use http::Request;

use super::client::Client;
use super::hosts::TAG;
use super::own_host::{Host, Serves, ServesKeys};
use crate::invariants::Invariant;

type Program = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What runs in place of the simulator's own hosts, and what is checked besides its own invariants.
#[derive(Clone, Default)]
pub(crate) struct Own {
    /// By cell.
    cells: BTreeMap<String, Serves>,
    /// By issuer.
    providers: BTreeMap<String, ServesKeys>,
    /// By client.
    clients: BTreeMap<String, OwnProgram>,
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

    /// What answers on the endpoints of this cell, if they don't echo.
    pub(super) fn service_of(&self, cell: &str) -> Option<&Serves> {
        self.cells.get(cell)
    }

    /// What answers in place of this issuer's provider.
    pub(super) fn provider_of(&self, issuer: &str) -> Option<&ServesKeys> {
        self.providers.get(issuer)
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
