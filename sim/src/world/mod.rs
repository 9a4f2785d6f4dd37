//! A scenario come to life.

mod authorization;
mod balancer;
mod bounds;
mod client;
pub(crate) mod config;
mod documents;
mod envelope;
mod envoy;
mod faults;
mod hosts;
mod pki;
mod router;
mod shared;
mod wallet;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cellway_core::Unix;
use cellway_core::registry::Registry;
use cellway_mtls::lab::LabError;

use crate::engine::{self, Engine, Settings};
use crate::invariants;
use crate::observer::Observer;
use crate::replay;
use crate::report::Report;
use crate::scenario::{FIRST_ENVELOPE_KEY, FaultKind, Scenario};
use crate::store::SimStore;
use crate::trace::Trace;
use documents::Documents;
use envelope::{Cells, Folder};
use faults::Due;
use pki::Pki;
use shared::Shared;

/// What the real router would refuse in the registry that a scenario begins with, or in one that
/// its control plane publishes later and means to be good.
pub(crate) fn registry_refused(scenario: &Scenario) -> Option<String> {
    let mut documents = Documents::new(scenario, 0);
    let mut good = vec![("the world's registry".to_owned(), documents.present())];
    for fault in &scenario.faults {
        if let FaultKind::Publish(change) = &fault.kind {
            good.push((fault.kind.to_string(), documents.change(change)));
        }
    }
    let meant = good.iter().filter(|(_, document)| document.truth.is_some());
    meant
        .filter_map(|(what, document)| {
            let refused = Registry::from_json(&document.text).err()?;
            Some(format!("{what}: a router refuses it: {refused}"))
        })
        .next()
}

struct World {
    scenario: Scenario,
    engine: Engine,
    shared: Shared,
    /// Routers' disks.
    disks: BTreeMap<String, SimStore>,
    /// What each router's configuration has over the simulator's own.
    settings: BTreeMap<String, toml::Table>,
    /// The keys of envelopes, which all routers share.
    envelope_keys: Folder,
    due: VecDeque<Due>,
}

impl Scenario {
    /// Runs the scenario with this seed, on a thread of its own.
    ///
    /// The trace is determined by the seed, byte for byte, if this is the first run of its
    /// process; invariants and expectations hold in any.
    ///
    /// A panic in the world is a failure of the run and is in the report.
    ///
    /// # Panics
    /// If the thread can't be started.
    pub fn run(&self, seed: u64) -> Report {
        let replay = replay::command(self.replay.as_deref(), seed);
        let scenario = self.clone();
        engine::isolated(seed, move || run(&scenario, seed, replay))
    }
}

fn run(scenario: &Scenario, seed: u64, replay: String) -> Report {
    let trace = Trace::default();
    let bounds = bounds::of(scenario);
    let prefix = &bounds.header_prefix;
    let observer = Observer::new(trace.clone(), prefix, invariants::all(&bounds));
    let simulated = match engine::caught(|| simulate(scenario, seed, &trace, &observer)) {
        Ok(simulated) => simulated,
        Err(broken) => {
            let at = observer.latest();
            observer.fail(at, "run", broken);
            at
        }
    };
    observer.finish(simulated);
    let mut state = observer.lock();
    let mut violations = state.violations();
    for violation in &mut violations {
        violation.blame(&scenario.faults);
    }
    let mut report = Report {
        scenario: scenario.name.clone(),
        path: scenario.path.clone(),
        seed,
        replay,
        simulated,
        violations,
        facts: state.checked,
        decisions: std::mem::take(&mut state.decisions),
        requests: std::mem::take(&mut state.requests),
        events: std::mem::take(&mut state.events),
        trace: trace.lines(),
        lines: std::mem::take(&mut state.timeline),
    };
    // What a run that was cut short doesn't show is no news.
    if report.passed() {
        report.check(scenario);
    }
    report
}

/// Runs the world to its end or to the first failure. Returns the time that it reached.
fn simulate(scenario: &Scenario, seed: u64, trace: &Trace, observer: &Observer) -> Duration {
    match World::build(scenario.clone(), seed, trace, observer) {
        Ok(mut world) => world.run(),
        Err(error) => {
            observer.fail(Duration::ZERO, "world", error);
            Duration::ZERO
        }
    }
}

impl World {
    fn build(
        scenario: Scenario,
        seed: u64,
        trace: &Trace,
        observer: &Observer,
    ) -> Result<Self, LabError> {
        let [latency_min, latency_max] = scenario.latency;
        let settings = Settings {
            seed,
            tick: scenario.tick,
            latency_min,
            latency_max,
        };
        let engine = Engine::new(&settings, trace.clone());
        let documents = Documents::new(&scenario, seed);
        let first = documents.present();
        let shared = Shared::new(seed, observer.clone(), Pki::new(seed)?, documents);
        if let Some(published) = &first.truth {
            observer.tell(Duration::ZERO, "world", published);
        }
        let mut world = Self {
            due: faults::timeline(&scenario.faults).into(),
            scenario,
            shared,
            disks: BTreeMap::new(),
            settings: BTreeMap::new(),
            envelope_keys: Folder::default(),
            engine,
        };
        world.add_hosts()?;
        Ok(world)
    }

    fn add_hosts(&mut self) -> Result<(), LabError> {
        let Self {
            scenario,
            engine,
            shared,
            ..
        } = self;
        for issuer in &scenario.issuers {
            hosts::add_identity_provider(engine, shared, issuer);
        }
        hosts::add_control_plane(engine, shared);
        let verifying = Cells::of(scenario);
        for cell in &scenario.cells {
            hosts::add_cell(engine, shared, cell, verifying.as_ref());
        }
        for name in &scenario.routers {
            let disk = router::add(engine, shared, name);
            router::write_files(&disk, &mut shared.lock().pki, name)?;
            self.disks.insert(name.clone(), disk);
            let settings = scenario.router_settings.clone();
            self.settings.insert(name.clone(), settings);
        }
        let keys = config::takes_routing_keys(&scenario.router_settings);
        for spec in &scenario.envoys {
            envoy::add(engine, shared, scenario, spec)?;
        }
        for spec in &scenario.balancers {
            balancer::add(engine, spec);
        }
        for client in &scenario.clients {
            let (shared, spec) = (shared.clone(), client.clone());
            let mut balancers = scenario.balancers.iter();
            let balancer = balancers.find(|it| Some(&it.name) == client.through.as_ref());
            let named = balancer.map(|balancer| &balancer.router);
            let routers = match named.or(client.via.as_ref()).or(client.router.as_ref()) {
                Some(named) => vec![named.clone()],
                None => scenario.routers.clone(),
            };
            let program =
                move |env| client::run(env, shared.clone(), spec.clone(), routers.clone(), keys);
            engine.host(&client.name, program);
        }
        self.list_balancers();
        for name in self.disks.keys() {
            self.write_serving(name, None)?;
            self.write_configuration(name, false);
        }
        if self.scenario.seals_envelopes() {
            // There from the start, so that it signs at once.
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
            let settings = config::listing(addresses);
            for present in self.settings.values_mut() {
                config::merge(present, &settings);
            }
        }
    }

    /// Runs to the end or to the first thing that doesn't hold; returns how far it came.
    fn run(&mut self) -> Duration {
        let observer = self.shared.observer.clone();
        while self.engine.elapsed() < self.scenario.duration && !observer.has_failed() {
            let now = self.engine.elapsed();
            while self.due.front().is_some_and(|due| due.at <= now) {
                let Some(due) = self.due.pop_front() else {
                    break;
                };
                if let Err(error) = self.inflict(&due) {
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
