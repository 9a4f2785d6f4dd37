//! A run with the user's own code in it.

use std::future::Future;
use std::ops::RangeInclusive;

use cellway_testbed::{IdentityProvider, OwnService};

use crate::invariants::Invariant;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::world::{Client, Host, Own};

/// A scenario with your own services, clients and invariants in it.
///
/// They run in the simulated world: time passes with `tokio::time`, random numbers come from
/// [`Host::random`], and a crash of a host ends all its tasks. `examples/bank.rs` shows all of it.
#[derive(Clone)]
pub struct Simulation {
    scenario: Scenario,
    own: Own,
}

impl Scenario {
    /// The scenario, to add your own services, clients and invariants to.
    pub fn simulation(&self) -> Simulation {
        Simulation {
            scenario: self.clone(),
            own: Own::default(),
        }
    }
}

impl Simulation {
    /// Answers the requests of a cell with your service. `make` is called for each endpoint at each start, so
    /// what the service keeps in memory is gone after a crash. The cell keeps its faults and reports what it
    /// receives, as without your service.
    ///
    /// # Panics
    /// If the scenario has no such cell.
    #[must_use]
    pub fn cell(
        mut self,
        cell: &str,
        make: impl Fn(Host) -> OwnService + Send + Sync + 'static,
    ) -> Self {
        let cells = self.scenario.cells.iter().map(|it| it.id.as_str());
        expect_known("cell", cell, cells);
        self.own.cell(cell, make);
        self
    }

    /// Answers the requests for an issuer's discovery document and keys with your service. It gets the
    /// simulator's provider, which has the keys that sign the tokens of the scenario's clients.
    ///
    /// # Panics
    /// If the scenario has no such issuer.
    #[must_use]
    pub fn identity_provider(
        mut self,
        issuer: &str,
        make: impl Fn(Host, IdentityProvider) -> OwnService + Send + Sync + 'static,
    ) -> Self {
        let issuers = self.scenario.issuers.iter().map(|it| it.name.as_str());
        expect_known("issuer", issuer, issuers);
        self.own.provider(issuer, make);
        self
    }

    /// Runs your program in place of a client. The scenario says who it is: its tenant, credentials and
    /// routers. Its rate says nothing then.
    ///
    /// # Panics
    /// If the scenario has no such client.
    #[must_use]
    pub fn client<F>(
        mut self,
        client: &str,
        program: impl Fn(Client) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let clients = self.scenario.clients.iter();
        let names = clients.flat_map(|it| [it.name.as_str(), it.entry.as_str()]);
        expect_known("client", client, names);
        self.own.client(client, program);
        self
    }

    /// Checks your invariant beside the simulator's own. `make` is called at the start of each run.
    #[must_use]
    pub fn invariant<I: Invariant + 'static>(
        mut self,
        make: impl Fn() -> I + Send + Sync + 'static,
    ) -> Self {
        self.own.invariant(make);
        self
    }

    /// Runs it with this seed, as [`Scenario::run`] does.
    ///
    /// # Panics
    /// If the thread can't be started.
    pub fn run(&self, seed: u64) -> Report {
        self.scenario.run_with_own(seed, &self.own)
    }

    /// Runs it with one seed after the other until a run fails. `None` if all pass.
    ///
    /// # Panics
    /// If a thread can't be started.
    pub fn search(&self, mut seeds: RangeInclusive<u64>) -> Option<Report> {
        seeds.find_map(|seed| Some(self.run(seed)).filter(|report| !report.passed()))
    }
}

fn expect_known<'a>(what: &str, name: &str, mut known: impl Iterator<Item = &'a str> + Clone) {
    let all = known.clone().collect::<Vec<_>>().join(", ");
    assert!(
        known.any(|it| it == name),
        "the scenario has no {what} {name:?}; it has {all}"
    );
}
