//! A scenario come to life.

mod client;
mod config;
mod documents;
mod faults;
mod hosts;
mod pki;
mod router;
mod shared;
mod wallet;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cellway_mtls::lab::LabError;

use crate::engine::{self, Engine, Settings};
use crate::fact::Fact;
use crate::invariants::{self, Bounds};
use crate::observer::Observer;
use crate::report::Report;
use crate::scenario::{Client, Credential, Scenario};
use crate::store::SimStore;
use crate::trace::Trace;
use documents::Documents;
use faults::Due;
use pki::Pki;
use shared::Shared;

/// What the routers' headers begin with.
const HEADER_PREFIX: &str = "x-cellway-";

/// How much longer than its client waits a request may be open before it counts as forgotten.
const ANSWER_SLACK: Duration = Duration::from_secs(5);

/// The configuration file of a scenario's routers.
pub(crate) fn router_config(scenario: &Scenario) -> String {
    config::render(scenario)
}

struct World {
    scenario: Scenario,
    engine: Engine,
    shared: Shared,
    /// Routers' disks.
    disks: BTreeMap<String, SimStore>,
    due: VecDeque<Due>,
}

impl Scenario {
    /// Runs the scenario with this seed, on a thread of its own.
    ///
    /// The trace is determined by the seed, byte for byte, if this is the first run of its
    /// process; invariants and expectations hold in any.
    ///
    /// # Panics
    /// If the thread can't be started.
    pub fn run(&self, seed: u64) -> Report {
        let scenario = self.clone();
        engine::isolated(seed, move || run(scenario, seed))
    }
}

fn run(scenario: Scenario, seed: u64) -> Report {
    let trace = Trace::default();
    let observer = Observer::new(trace.clone(), invariants::all(&bounds(&scenario)));
    let simulated = match World::build(scenario.clone(), seed, &trace, &observer) {
        Ok(mut world) => world.run(),
        Err(error) => {
            observer.fail(Duration::ZERO, "world", error);
            Duration::ZERO
        }
    };
    observer.finish(simulated);
    let mut state = observer.lock();
    let mut report = Report {
        scenario: scenario.name.clone(),
        path: scenario.path.clone(),
        seed,
        simulated,
        violations: std::mem::take(&mut state.violations),
        facts: state.checked,
        decisions: std::mem::take(&mut state.decisions),
        requests: std::mem::take(&mut state.requests),
        events: std::mem::take(&mut state.events),
        trace: trace.lines(),
        lines: std::mem::take(&mut state.timeline),
    };
    // What a run that was cut short doesn't show is no news.
    if report.passed() {
        report.check(&scenario);
    }
    report
}

/// What the invariants need to know of a scenario.
fn bounds(scenario: &Scenario) -> Bounds {
    let timeout = scenario.clients.iter().map(|client| client.timeout).max();
    let cooldown = scenario.router_settings.get("issuer");
    let cooldown =
        cooldown.and_then(|issuer| issuer.get("keys")?.get("cooldown_secs")?.as_integer());
    let cooldown = cooldown.and_then(|secs| u64::try_from(secs).ok());
    Bounds {
        key_cooldown: Duration::from_secs(cooldown.unwrap_or(30)),
        header_prefix: HEADER_PREFIX.to_owned(),
        calm_from: scenario.calm_from(),
        recovery: scenario.expect.recovery,
        answer_within: timeout.unwrap_or_default() + ANSWER_SLACK,
        routable: routable(scenario),
        errors: scenario.expect.errors.clone(),
    }
}

/// The clients that must be served once the last fault is over, as the last good document has it.
fn routable(scenario: &Scenario) -> Vec<String> {
    let mut documents = Documents::new(scenario);
    for fault in &scenario.faults {
        if let crate::scenario::FaultKind::Publish(change) = &fault.kind {
            documents.change(change);
        }
    }
    let assignment = documents.assignment();
    let served = |client: &&Client| {
        let cells = assignment.get(&client.tenant);
        client.credential.is_good()
            && cells.is_some_and(|cells| !cells.is_empty())
            && !scenario.expect.refused_at_end.contains(&client.name)
    };
    let clients = scenario.clients.iter().filter(served);
    clients
        .filter(|client| may_speak(scenario, client))
        .map(|client| client.name.clone())
        .collect()
}

/// Whether the client's issuer may speak for its tenant.
fn may_speak(scenario: &Scenario, client: &Client) -> bool {
    if client.credential == Credential::Certificate {
        return true;
    }
    let issuer = scenario
        .issuers
        .iter()
        .find(|issuer| issuer.name == client.issuer);
    let tenants = issuer.and_then(|issuer| issuer.tenants.as_ref());
    tenants.is_none_or(|tenants| tenants.contains(&client.tenant))
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
        let documents = Documents::new(&scenario);
        let first = documents.present();
        let shared = Shared::new(seed, observer.clone(), Pki::new(seed)?, documents);
        if let Some((version, assignment)) = first.truth {
            let fact = Fact::Published {
                version,
                assignment,
            };
            observer.tell(Duration::ZERO, "world", &fact);
        }
        let mut world = Self {
            due: faults::timeline(&scenario.faults).into(),
            scenario,
            shared,
            disks: BTreeMap::new(),
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
        for cell in &scenario.cells {
            hosts::add_cell(engine, shared, cell);
        }
        let config = config::render(scenario);
        for name in &scenario.routers {
            let disk = router::add(engine, shared, name, &config);
            router::write_files(&disk, &mut shared.lock().pki, name)?;
            self.disks.insert(name.clone(), disk);
        }
        for client in &scenario.clients {
            let (shared, spec) = (shared.clone(), client.clone());
            let routers = match &client.router {
                Some(router) => vec![router.clone()],
                None => scenario.routers.clone(),
            };
            let program =
                move |env| client::run(env, shared.clone(), spec.clone(), routers.clone());
            engine.host(&client.name, program);
        }
        Ok(())
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
