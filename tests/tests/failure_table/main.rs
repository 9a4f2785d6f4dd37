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
mod scene;
mod sources;

use cellway_testbed::Protocol;
use cellway_tests::world::{to, until};

use crate::cells::cell;
use crate::scene::Before;
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

/// Catches: a page that promises other answers than clients get.
#[tokio::test]
async fn clients_see_what_the_table_says() {
    let mut wrong = Vec::new();
    let table = table();
    assert!(table.len() > 20, "{table:?}");
    for row in table {
        let [what, how, status, reason, owner, grpc, ext_authz] = &row[..] else {
            panic!("{row:?}");
        };
        let scene = match &**what {
            "nothing" => Before::new().await.up().await,
            "identity provider" => identity_provider(how).await,
            "registry" => registry(how).await,
            "cell" => cell(how).await,
            "limit" => limit(how).await,
            _ => panic!("{row:?}"),
        };
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
