//! What hostile clients send, what answer they get, and what a cell receives.
//!
//! One router, started from a configuration file, behind real TLS; one table. A row says: what was
//! sent, what came back (status, reason, who says so, `WWW-Authenticate`), and all that the cell
//! received, with the router's prefix cut off. Read a change of the table as a change of what the
//! internet may do.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

mod bytes;
mod certificates;
mod headers;
mod paths;
mod raw;
mod routing_keys;
mod table;
mod tokens;

use cellway_testbed::{Algorithm, Signer};
use cellway_tests::world::World;

use crate::table::Table;

/// The seed of the identity provider's second key, so that attackers can know its public half.
const ED_SEED: [u8; 32] = [7; 32];

#[tokio::test]
async fn only_the_proven_tenant_arrives() {
    let world = World::up(Signer::generate("rsa", Algorithm::Rs256).unwrap()).await;
    world.idp.publish(Signer::from_seed("ed", ED_SEED).unwrap());
    let router = world.router().await;
    let mut table = Table::new(&world, &router);

    table.section("tokens");
    tokens::rows(&mut table).await;
    table.section("certificates");
    certificates::rows(&mut table).await;
    table.section("headers");
    headers::rows(&mut table).await;
    table.section("bytes that are no good HTTP/1.1, each with a good token");
    raw::rows(&mut table).await;
    table.section("counted");
    table.counted("cellway_tls_refused_total").await;
    table.counted("cellway_authz_decisions_total").await;
    insta::assert_snapshot!("table", table.text());
}

/// As above, by a policy that takes routing keys too.
#[tokio::test]
async fn a_routing_key_decides_only_with_somebody_behind_it() {
    let world = World::up(Signer::from_seed("one", ED_SEED).unwrap()).await;
    world.configure(&routing_keys::config(&world));
    let router = world.router().await;
    let mut table = Table::new(&world, &router);
    routing_keys::rows(&mut table).await;
    table.section("counted");
    table.counted("cellway_authz_decisions_total").await;
    insta::assert_snapshot!("routing_keys", table.text());
    for voucher in ["gateway spiffe://clients.test/gateway", "signer edge"] {
        let lines = router.events.of("authz_allow");
        assert!(
            lines.iter().any(|line| line["vouched_by"] == voucher),
            "{voucher}"
        );
    }
}

/// Catches: a path that one rule allows and that the cell reads as another rule's path.
#[tokio::test]
async fn no_spelling_of_a_path_bypasses_a_rule() {
    let world = World::up(Signer::from_seed("ed", ED_SEED).unwrap()).await;
    let rules = format!("{}\n[trust]", paths::RULES);
    world.configure(&world.config().replacen("[trust]", &rules, 1));
    let router = world.router().await;
    let mut table = Table::new(&world, &router);
    paths::rows(&mut table).await;
    table.counted("cellway_authz_decisions_total").await;
    insta::assert_snapshot!("paths", table.text());
}
