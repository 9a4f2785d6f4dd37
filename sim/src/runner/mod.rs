//! Runs scenarios: checks them against the real router, builds their worlds, and reports.

mod registry;
mod settings;
mod simulation;

use std::path::Path;
use std::time::Duration;

use crate::engine;
use crate::expected;
use crate::invariants::{self, Bounds};
use crate::observer::{Observer, State};
use crate::record::{Detail, Recorder};
use crate::replay;
use crate::report::{Herds, Report, Stage, Story, story};
use crate::scenario::{self, Client, LoadError, Scenario, ScenarioErrors};
use crate::trace::Trace;
use crate::world::{Own, World, bounds};

pub use self::simulation::Simulation;

impl Scenario {
    /// Reads and checks a scenario file.
    ///
    /// # Errors
    /// The file can't be read, or it has mistakes. All mistakes that can be found together are in the
    /// error.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| LoadError::Io(shown.clone(), e))?;
        Self::parse(&shown, &text).map_err(LoadError::Mistakes)
    }

    /// Reads and checks a scenario's text. The router's own code checks its settings and its registry.
    /// Mistakes and failures name `path`.
    ///
    /// # Errors
    /// All mistakes that can be found together.
    pub fn parse(path: &str, text: &str) -> Result<Self, ScenarioErrors> {
        let (scenario, mut errors) = scenario::read(path, text)?;
        settings::check(&scenario, &mut errors);
        // With names that don't exist, the registry would only repeat those mistakes.
        if errors.is_empty()
            && let Some(problem) = registry::refused(&scenario)
        {
            errors.add(0..0, "world", problem);
        }
        errors.finish(path)?;
        Ok(scenario)
    }

    /// Runs the scenario with this seed, on a thread of its own.
    ///
    /// In the first run of a process, the seed determines the trace byte for byte. Later runs may differ
    /// in details, but invariants and expectations hold in all of them.
    ///
    /// A panic in the world is a failure of the run, which the report shows.
    ///
    /// # Panics
    /// If the thread can't be started.
    pub fn run(&self, seed: u64) -> Report {
        self.run_with_own(seed, &Own::default())
    }

    /// As [`run`](Self::run), but without a trace: the report has an empty one. Unless the run fails, it has
    /// no steps of requests and no changes either. It takes about a tenth less time.
    ///
    /// # Panics
    /// If the thread can't be started.
    pub fn run_untraced(&self, seed: u64) -> Report {
        let report = self.run_with(seed, Trace::off(), Detail::Outcomes, &Own::default());
        if report.passed() {
            return report;
        }
        // Its story needs the steps. Should it pass now, what was found counts.
        let again = self.run_with(seed, Trace::off(), Detail::All, &Own::default());
        match again.passed() {
            true => report,
            false => again,
        }
    }

    /// As [`run`](Self::run), with code of the user's.
    fn run_with_own(&self, seed: u64, own: &Own) -> Report {
        self.run_with(seed, Trace::default(), Detail::All, own)
    }

    fn run_with(&self, seed: u64, trace: Trace, detail: Detail, own: &Own) -> Report {
        let replay = replay::command(self.replay.as_deref(), seed);
        let scenario = self.clone();
        let bounds = bounds::of(self);
        let own = own.clone();
        engine::isolated(seed, move || {
            run(&scenario, &bounds, seed, replay, (&trace, detail), &own)
        })
    }
}

fn run(
    scenario: &Scenario,
    bounds: &Bounds,
    seed: u64,
    replay: String,
    (trace, detail): (&Trace, Detail),
    own: &Own,
) -> Report {
    let prefix = &bounds.header_prefix;
    let checks = invariants::all(bounds).into_iter().chain(own.invariants());
    let observer = Observer::new(trace.clone(), detail, prefix, checks.collect());
    let simulated = match engine::caught(|| simulate(scenario, seed, trace, &observer, own)) {
        Ok(simulated) => simulated,
        Err(broken) => {
            let at = observer.latest();
            observer.fail(at, "run", broken);
            at
        }
    };
    observer.finish(simulated);
    reported(
        scenario,
        &mut observer.lock(),
        seed,
        replay,
        simulated,
        trace,
    )
}

/// The report of a run that is over.
fn reported(
    scenario: &Scenario,
    state: &mut State,
    seed: u64,
    replay: String,
    simulated: Duration,
    trace: &Trace,
) -> Report {
    let mut violations = state.violations();
    for violation in &mut violations {
        violation.blame(&scenario.faults);
    }
    let record = std::mem::replace(&mut state.record, Recorder::new("", Detail::Outcomes));
    let nameless = record.nameless.into_values().flatten().collect();
    let mut report = Report {
        scenario: scenario.name.clone(),
        path: scenario.path.clone(),
        seed,
        replay,
        simulated,
        violations,
        stories: Vec::new(),
        facts: state.checked,
        decisions: std::mem::take(&mut state.decisions),
        requests: record.requests,
        changes: record.changes,
        events: std::mem::take(&mut state.events),
        points: state.reached(),
        trace: trace.lines(),
        lines: std::mem::take(&mut state.timeline),
        herds: herds(scenario),
        stage: Stage::new(scenario, nameless),
    };
    // A run that was cut short can't meet its expectations.
    if report.passed() {
        let missing = expected::missing(&report, scenario);
        report.violations.extend(missing);
    }
    let scene = story::Scene {
        scenario,
        changes: &report.changes,
        published: &record.published,
        nameless: &report.stage.nameless,
    };
    let violations = report.violations.iter();
    report.stories = violations
        .map(|violation| Story::of(&scene, violation))
        .collect();
    report
}

/// The clients that the scenario describes together.
fn herds(scenario: &Scenario) -> Herds {
    let clients = scenario.clients.iter();
    let member = |client: &Client| {
        let number = client.name.strip_prefix(&client.entry)?.strip_prefix('-')?;
        Some((
            client.name.clone(),
            (client.entry.clone(), number.parse().ok()?),
        ))
    };
    clients.filter_map(member).collect()
}

/// Runs the world to its end or to the first failure. Returns the time that it reached.
fn simulate(
    scenario: &Scenario,
    seed: u64,
    trace: &Trace,
    observer: &Observer,
    own: &Own,
) -> Duration {
    match World::build(scenario.clone(), seed, trace, observer, own) {
        Ok(mut world) => world.run(),
        Err(error) => {
            observer.fail(Duration::ZERO, "world", error);
            Duration::ZERO
        }
    }
}
