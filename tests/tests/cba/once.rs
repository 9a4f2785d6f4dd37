//! Each authorization is taken once, whichever worker a connection landed on.

use cellway_tests::world::reason;
use http::StatusCode;

use crate::scene::{Scene, authorization};

/// Connections over which one authorization is shown. The system spreads them over the workers by
/// their ports; that all of them land on one of two happens once in 2^31 runs.
const CONNECTIONS: usize = 32;

const ONCE: &str = "one_use = true";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_a_time_one_passes() {
    let scene = Scene::with(ONCE, 2).await;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(scene.connect(None).await);
    }
    let request = scene.request(&[authorization("1")]);
    let asking: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let request = request.clone();
            tokio::spawn(async move { connection.send(request).await.unwrap() })
        })
        .collect();
    let mut passed = 0;
    for answer in asking {
        let answer = answer.await.unwrap();
        match answer.status {
            StatusCode::OK => passed += 1,
            _ => assert_eq!(reason(&answer), "cba_replayed"),
        }
    }
    assert_eq!((passed, scene.world.cell.arrivals()), (1, 1));
    let told = scene.router.metric("cellway_cba_decisions_total").await;
    let replayed = format!("reason=\"cba_replayed\"}} {}", CONNECTIONS - 1);
    assert!(
        told.iter().any(|line| line.ends_with(&replayed)),
        "{told:?}"
    );
    // Another one is another one.
    let answer = scene.ask(&[authorization("2")]).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn one_that_is_refused_for_something_else_is_not_used_up() {
    let scene = Scene::new(&format!("{ONCE}\ndestination = \"b\"")).await;
    let shown = [authorization("1")];
    assert_eq!(reason(&scene.ask(&shown).await), "cba_wrong_destination");
    scene.configure(ONCE).await;
    assert_eq!(scene.ask(&shown).await.status, StatusCode::OK);
    assert_eq!(reason(&scene.ask(&shown).await), "cba_replayed");
    // What was used stays used across a reload.
    scene.configure(ONCE).await;
    assert_eq!(reason(&scene.ask(&shown).await), "cba_replayed");
}

#[tokio::test]
async fn without_once_an_authorization_may_be_used_again() {
    let scene = Scene::new("").await;
    let shown = [authorization("1")];
    for _ in 0..2 {
        assert_eq!(scene.ask(&shown).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn monitor_counts_a_second_use_and_lets_it_pass() {
    let scene = Scene::new(&format!("{ONCE}\nmode = \"monitor\"")).await;
    let shown = [authorization("1")];
    for _ in 0..2 {
        assert_eq!(scene.ask(&shown).await.status, StatusCode::OK);
    }
    let line = scene
        .router
        .events
        .saying("cba_would_deny", "cba_replayed")
        .await;
    assert_eq!(line["source"], "b");
}
