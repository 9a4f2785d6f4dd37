//! A bank of two cells that loses money if its cells forget to fence.
//!
//! Both cells share a ledger. Each keeps the balance of its customer in memory, and writes it to the ledger
//! with each deposit. The customer moves to the other cell, but a router that can't reach its control plane
//! doesn't know: it still sends deposits to the old cell, which overwrites the balance with its own old one.
//!
//! The router stamps each request with the version of the registry that it decided on. A cell that lets the
//! ledger refuse older versions than it has seen (fencing) loses nothing.
//!
//! `cargo run -p cellway-sim --example bank`

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cellway_sim::fact::Fact;
use cellway_sim::invariants::Invariant;
use cellway_sim::own::{Client, Host, OwnService};
use cellway_sim::{Scenario, Simulation};
use http::{HeaderMap, Request, Response, StatusCode};
use serde_json::json;

/// The customer's account in the database that both cells share.
#[derive(Default)]
struct Ledger {
    balance: u64,
    /// The newest registry version that a deposit came with.
    version: u64,
}

/// What an endpoint of a cell keeps in memory.
#[derive(Default)]
struct Cached {
    balance: u64,
    /// The registry version of the last deposit.
    version: u64,
}

/// A cell of the bank.
#[derive(Clone)]
struct Bank {
    host: Host,
    ledger: Arc<Mutex<Ledger>>,
    cached: Arc<Mutex<Cached>>,
    fences: bool,
}

impl Bank {
    async fn answer(self, request: Request<Bytes>) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        match self.deposit(version(request.headers())) {
            Some(balance) => {
                self.host.tell("deposited", json!({ "balance": balance }));
                *response.body_mut() = balance.to_string().into();
            }
            None => *response.status_mut() = StatusCode::CONFLICT,
        }
        response
    }

    /// Deposits a coin. Returns the new balance, or `None` if the customer has moved away.
    fn deposit(&self, version: u64) -> Option<u64> {
        let (mut ledger, mut cached) = (locked(&self.ledger), locked(&self.cached));
        if self.fences && version < ledger.version {
            return None;
        }
        ledger.version = ledger.version.max(version);
        // A new version may mean that the customer has just come from another cell.
        if cached.version != version {
            cached.version = version;
            cached.balance = ledger.balance;
        }
        cached.balance += 1;
        ledger.balance = cached.balance;
        Some(cached.balance)
    }
}

/// The registry version on which the router decided.
fn version(headers: &HeaderMap) -> u64 {
    let stamp = headers.get("x-cellway-placement-epoch");
    let version = stamp.and_then(|it| it.to_str().ok()?.parse().ok());
    version.unwrap_or_default()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deposits a coin ten times a second, one after the other.
async fn teller(client: Client) {
    loop {
        let request = Request::post("/deposits").body(Bytes::from_static(b"one coin"));
        let reply = client.send(request.expect("it is well-formed")).await;
        let done = |answer: &Response<Bytes>| answer.status() == StatusCode::OK;
        if reply.response.as_ref().is_some_and(done) {
            client.host().tell("confirmed", json!({ "tag": reply.tag }));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// All coins that the bank has confirmed are in the account.
#[derive(Default)]
struct MoneyKept {
    confirmed: u64,
    balance: u64,
}

impl Invariant for MoneyKept {
    fn name(&self) -> &'static str {
        "money_kept"
    }

    fn observe(&mut self, _: Duration, fact: &Fact) -> Result<(), String> {
        if let Fact::Own { name, value } = fact {
            match name.as_str() {
                "deposited" => self.balance = value["balance"].as_u64().unwrap_or_default(),
                "confirmed" => self.confirmed += 1,
                _ => {}
            }
        }
        match self.confirmed > self.balance {
            true => Err(format!(
                "the bank has confirmed {} coins, but the account has {}",
                self.confirmed, self.balance
            )),
            false => Ok(()),
        }
    }
}

fn simulation(fences: bool) -> Simulation {
    let text = include_str!("bank.toml");
    let scenario = Scenario::parse("sim/examples/bank/bank.toml", text).expect("it is valid");
    let scenario = scenario.replayed_by("cargo run -p cellway-sim --example bank -- {seed}");
    let mut simulation = scenario.simulation();
    for cell in ["blue", "green"] {
        simulation = simulation.cell(cell, bank(fences));
    }
    simulation
        .client("teller", teller)
        .invariant(MoneyKept::default)
}

/// An endpoint of a cell: an empty cache, and the ledger of the run.
fn bank(fences: bool) -> impl Fn(Host) -> OwnService {
    move |host| {
        let bank = Bank {
            ledger: host.shared(),
            host,
            cached: Arc::default(),
            fences,
        };
        OwnService::from_fn(move |request| bank.clone().answer(request))
    }
}

fn main() {
    // With a seed, only this run: `cargo run -p cellway-sim --example bank -- 3`.
    if let Some(seed) = std::env::args().nth(1) {
        let report = simulation(false).run(seed.parse().expect("the seed is a number"));
        print!("{}", report.summary());
        return;
    }
    let failed = simulation(false).search(1..=20);
    let failed = failed.expect("a bank that doesn't fence loses money");
    print!("{}", failed.summary());
    println!("\nWithout fences, seed {} loses money.", failed.seed);

    let failed = simulation(true).search(1..=20);
    if let Some(failed) = &failed {
        print!("{}", failed.summary());
    }
    assert!(failed.is_none(), "a bank that fences loses nothing");
    println!("With fences, 20 seeds lose nothing.");
}
