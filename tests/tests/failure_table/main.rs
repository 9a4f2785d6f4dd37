//! Makes each failure of `docs/failures.md` happen, and compares the answers with the table.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests run on tokio alone and spawn what plays the other sides"
)]

mod cells;
mod certified;
mod files;
mod scene;
mod sources;

use cellway_core::Reason;
use cellway_testbed::Protocol;
use cellway_tests::world::{to, until};

use crate::cells::cell;
use crate::files::{envelope_key, revocation_list};
use crate::scene::{Before, Scene};
use crate::sources::{identity_provider, limit, registry};

const PAGE: &str = include_str!("../../../docs/failures.md");

/// The cells of a row of the first table, without their backticks.
type Row = Vec<String>;

fn table() -> Vec<Row> {
    let (page, _) = PAGE.split_once("\n## ").unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    // The first two are the heading.
    let rows = rows.skip(2).map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    });
    rows.collect()
}

/// A system in which this fails. Each is built on the heap: together they are too large for the stack.
async fn scene(what: &str, how: &str) -> Scene {
    match what {
        "nothing" => Box::pin(async { Before::new().await.up().await }).await,
        "identity provider" => Box::pin(identity_provider(how)).await,
        "registry" => Box::pin(registry(how)).await,
        "revocation list" => Box::pin(revocation_list(how)).await,
        "key for envelopes" => Box::pin(envelope_key(how)).await,
        "cell" => Box::pin(cell(how)).await,
        "limit" => Box::pin(limit(how)).await,
        _ => panic!("no such failure: {what}"),
    }
}

/// Catches: a page that promises other answers than clients get.
#[tokio::test]
async fn clients_see_what_the_table_says() {
    let mut wrong = Vec::new();
    let table = table();
    assert!(table.len() > 40, "{table:?}");
    for row in table {
        let [what, how, status, reason, owner, grpc, ext_authz] = &row[..] else {
            panic!("{row:?}");
        };
        let scene = scene(what, how).await;
        let held = scene.holds.then(|| {
            let client = to(scene.router.listener("plain"), Protocol::Http1, None);
            let request = scene.request("/held");
            tokio::spawn(async move { client.send(request).await })
        });
        if held.is_some() {
            until("the only place is taken", async || {
                !scene
                    .router
                    .metric("cellway_cell_requests{")
                    .await
                    .is_empty()
            })
            .await;
        }
        let [got_status, got_reason, got_owner] = scene.http().await;
        let got = [
            got_status,
            got_reason,
            got_owner,
            scene.grpc().await,
            scene.ext_authz().await,
        ];
        let expected = [status, reason, owner, grpc, ext_authz].map(Clone::clone);
        if got != expected {
            wrong.push(format!("{what}, {how}: {got:?}, not {expected:?}"));
        }
        if let Some(held) = held {
            held.abort();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Catches: a failure that the router answers with 502, 503 or 504, and that the page doesn't have.
#[test]
fn each_reason_of_a_failure_has_a_row() {
    let table = table();
    let listed = |reason: &Reason| table.iter().any(|row| row[3] == reason.as_str());
    let is_failure = |reason: &Reason| {
        let status = reason.status().map(|status| status.as_u16());
        matches!(status, Some(502..=504))
    };
    let all = Reason::ALL.iter().copied();
    let missing: Vec<_> = all.filter(|it| is_failure(it) && !listed(it)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
