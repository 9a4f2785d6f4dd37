//! The simulated world of a scenario.

mod authorization;
mod balancer;
pub(crate) mod bounds;
mod checker;
mod client;
pub(crate) mod config;
mod credentials;
pub(crate) mod documents;
mod envelope;
mod envoy;
mod faults;
mod hosts;
mod keys;
mod own;
mod own_host;
mod pki;
mod router;
mod state;
mod wallet;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cellway_core::Unix;
use cellway_testbed::TestbedError;

use crate::engine::{self, Engine, Settings, SimEnv};
use crate::observer::Observer;
use crate::scenario::{FIRST_ENVELOPE_KEY, Scenario};
use crate::store::SimStore;
use crate::trace::Trace;
use documents::Documents;
use envelope::{Cells, Folder};
use faults::Due;
use pki::Pki;
use state::WorldHandle;

pub use client::{Client, Reply};
pub(crate) use own::Own;
pub use own_host::Host;

pub(crate) struct World {
    scenario: Scenario,
    engine: Engine,
    handle: WorldHandle,
    /// Routers' disks.
    disks: BTreeMap<String, SimStore>,
    /// The settings of each router over the simulator's own.
    settings: BTreeMap<String, toml::Table>,
    /// The keys of envelopes, which all routers share.
    envelope_keys: Folder,
    due: VecDeque<Due>,
}

impl World {
    pub(crate) fn build(
        scenario: Scenario,
        seed: u64,
        trace: &Trace,
        observer: &Observer,
        own: &Own,
    ) -> Result<Self, TestbedError> {
        let [latency_min, latency_max] = scenario.latency;
        let settings = Settings {
            kind: scenario.engine,
            cuts_segments: scenario.cuts_segments,
            seed,
            tick: scenario.tick,
            latency_min,
            latency_max,
        };
        let engine = Engine::new(&settings, trace.clone());
        let documents = Documents::new(&scenario, seed);
        let first = documents.present();
        let handle = WorldHandle::new(seed, observer.clone(), Pki::new(seed)?, documents);
        if let Some(published) = &first.truth {
            observer.tell(Duration::ZERO, "world", published);
        }
        let mut world = Self {
            due: faults::timeline(&scenario.faults).into(),
            scenario,
            handle,
            disks: BTreeMap::new(),
            settings: BTreeMap::new(),
            envelope_keys: Folder::default(),
            engine,
        };
        world.add_hosts(own)?;
        Ok(world)
    }

    fn add_hosts(&mut self, own: &Own) -> Result<(), TestbedError> {
        let Self {
            scenario,
            engine,
            handle,
            ..
        } = self;
        for issuer in &scenario.issuers {
            hosts::add_identity_provider(engine, handle, issuer, own.provider_of(&issuer.name));
        }
        hosts::add_control_plane(engine, handle);
        let verifying = Cells::of(scenario);
        for cell in &scenario.cells {
            hosts::add_cell(
                engine,
                handle,
                cell,
                verifying.as_ref(),
                own.service_of(&cell.id),
            );
        }
        for name in &scenario.routers {
            let disk = router::add(engine, handle, name);
            router::write_files(&disk, &mut handle.lock().pki, name)?;
            self.disks.insert(name.clone(), disk);
            let settings = scenario.router_settings.clone();
            self.settings.insert(name.clone(), settings);
        }
        let keys = config::takes_routing_keys(&scenario.router_settings);
        for spec in &scenario.envoys {
            envoy::add(engine, handle, scenario, spec)?;
        }
        for spec in &scenario.balancers {
            balancer::add(engine, spec);
        }
        for client in &scenario.clients {
            let (handle, spec) = (handle.clone(), client.clone());
            let mut balancers = scenario.balancers.iter();
            let balancer = balancers.find(|it| Some(&it.name) == client.through.as_ref());
            let named = balancer.map(|balancer| &balancer.router);
            let routers = match named.or(client.via.as_ref()).or(client.router.as_ref()) {
                Some(named) => vec![named.clone()],
                None => scenario.routers.clone(),
            };
            let own = own.program_of(client).cloned();
            engine.host(&client.name, move |env: SimEnv| {
                let (handle, spec, routers) = (handle.clone(), spec.clone(), routers.clone());
                let own = own.clone();
                async move {
                    match own {
                        Some(program) => {
                            program(Client::new(&env, &handle, &spec, &routers, keys)).await;
                            // A host's program must not end.
                            std::future::pending().await
                        }
                        None => client::run(env, handle, spec, routers, keys).await,
                    }
                }
            });
        }
        self.list_balancers();
        for name in self.disks.keys() {
            self.write_serving(name, None)?;
            self.write_configuration(name, false);
        }
        if self.scenario.seals_envelopes() {
            // Its time to sign is the start, so that it signs at once.
            let start = Unix::from_epoch(engine::EPOCH);
            self.envelope_keys
                .add(FIRST_ENVELOPE_KEY, start, Duration::ZERO);
            self.write_envelope_keys()?;
        }
        Ok(())
    }

    /// Configures routers to read PROXY headers from the addresses of the listed balancers.
    fn list_balancers(&mut self) {
        let listed = self.scenario.balancers.iter().filter(|it| it.listed);
        let addresses = listed.map(|it| self.engine.address(&it.name).to_string());
        let addresses: Vec<_> = addresses.collect();
        if !addresses.is_empty() {
            let settings = config::proxy_protocol_from(addresses);
            for present in self.settings.values_mut() {
                config::merge(present, &settings);
            }
        }
    }

    /// Runs to the end or to the first failure. Returns the time that it reached.
    pub(crate) fn run(&mut self) -> Duration {
        let observer = self.handle.observer.clone();
        while self.engine.elapsed() < self.scenario.duration && !observer.has_failed() {
            let now = self.engine.elapsed();
            while self.due.front().is_some_and(|due| due.at <= now) {
                let Some(due) = self.due.pop_front() else {
                    break;
                };
                if let Err(error) = self.apply(&due) {
                    observer.fail(now, "world", error);
                }
            }
            if let Err(broken) = self.engine.step() {
                observer.fail(now, "run", broken);
            }
        }
        self.engine.elapsed()
    }
}
