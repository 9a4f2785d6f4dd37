//! One tenant must not take a cell from all others through the circuit breaker.

use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_testbed::{CellFault, Client, EchoCell, Request, ServerTls};
use http::StatusCode;
use tokio::task::JoinSet;

use crate::shares::{tenant, two_tenants};
use crate::world::{World, ca, cell, plain_endpoint, reason, secure, start};

/// How many requests of one tenant hang at once.
const MANY: usize = 12;

/// For how long the breaker opens.
const OPEN: Duration = Duration::from_secs(1);

/// A router before a cell that doesn't answer `/hang`, and a client of each of two tenants.
struct Town {
    world: World,
    cell: EchoCell,
    acme: Client<TokioEnv>,
    quiet: Client<TokioEnv>,
}

impl Town {
    async fn new(scheme: &str, tls: ServerTls) -> Self {
        let clients = ca(1);
        let (cell, port) = cell("a", tls).await;
        let registry = two_tenants(plain_endpoint(scheme, port));
        let mut settings = secure(registry, &clients, &ca(2));
        settings.upstream.timeouts.header = Duration::from_millis(800);
        settings.upstream.breaker.open = OPEN;
        let world = start(settings).await;
        cell.set_fault(CellFault::Hang);
        let [acme, quiet] = ["acme", "quiet"].map(|name| tenant(&world, &clients, name));
        Self {
            world,
            cell,
            acme,
            quiet,
        }
    }

    /// Many requests of `acme` that hang at the same time.
    async fn hang(&self) -> JoinSet<String> {
        let (mut requests, arrivals) = (JoinSet::new(), self.cell.arrivals());
        for _ in 0..MANY {
            let acme = self.acme.clone();
            requests.spawn(async move { ask(&acme, "/hang").await });
        }
        while self.cell.arrivals() < arrivals + MANY as u64 {
            tokio::task::yield_now().await;
        }
        requests
    }
}

async fn ask(client: &Client<TokioEnv>, path: &str) -> String {
    let answer = client.send(Request::get(path)).await.unwrap();
    match answer.status {
        StatusCode::OK => "ok".to_owned(),
        _ => reason(&answer),
    }
}

fn cells() -> [(&'static str, ServerTls); 2] {
    [("h2c", ServerTls::plain_h2()), ("http", ServerTls::plain())]
}

/// Catches: requests of one tenant that hang, time out together, and so open the breaker for a tenant that
/// is served all the time.
#[tokio::test]
async fn a_tenant_whose_requests_hang_takes_the_cell_from_nobody() {
    for (scheme, tls) in cells() {
        let town = Town::new(scheme, tls).await;
        for _ in 0..2 {
            assert_eq!(ask(&town.quiet, "/").await, "ok");
            let mut hanging = town.hang().await;
            assert_eq!(ask(&town.quiet, "/").await, "ok");
            while let Some(answer) = hanging.join_next().await {
                assert_eq!(answer.unwrap(), "cell_timeout_header", "{scheme}");
            }
            assert_eq!(ask(&town.quiet, "/").await, "ok", "{scheme}");
            assert_eq!(ask(&town.acme, "/").await, "ok", "{scheme}");
        }
        let lines = town.world.events.lines();
        assert!(!lines.iter().any(|line| line.starts_with("circuit")));
    }
}

/// Catches: a tenant whose hanging request is always the one that may try an open breaker, so that nobody
/// else is ever served.
#[tokio::test]
async fn a_tenant_that_opened_the_breaker_lets_others_try_first() {
    for (scheme, tls) in cells() {
        let town = Town::new(scheme, tls).await;
        // Nobody else is there, so it opens.
        town.hang().await.join_all().await;
        town.world.events.line("circuit opened").await;
        assert_eq!(ask(&town.quiet, "/").await, "circuit_open");
        loop {
            assert_eq!(ask(&town.acme, "/hang").await, "circuit_open", "{scheme}");
            if ask(&town.quiet, "/").await == "ok" {
                break;
            }
        }
        town.world.events.line("circuit closed").await;
    }
}
