//! Failures of what the router asks, and callers over a limit.

use cellway_testbed::{CellFault, ControlPlaneFault, IdentityProvider, IdpFault, Signer};
use cellway_tests::world::{HOUR, until};
use http::StatusCode;
use serde_json::json;

use crate::scene::{Before, Scene};

/// How long the router waits for an answer that never comes.
const IMPATIENT: &str = "total_timeout_ms = 500";
/// What a source answers that has an error of its own.
const BROKEN: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

pub(crate) async fn identity_provider(how: &str) -> Scene {
    let before = Before::new().await;
    match how {
        "down since the router started" => before.start(false, true).await,
        "sends garbage since the router started" => {
            before.world.idp.set_fault(IdpFault::Garbage);
            before.up().await
        }
        "hangs since the router started" => {
            before.world.idp.set_fault(IdpFault::Slow(HOUR));
            before.set("[fetch]", IMPATIENT).up().await
        }
        "answers 500 since the router started" => {
            before.world.idp.set_fault(IdpFault::Status(BROKEN));
            before.up().await
        }
        "down, its keys are still good" => {
            let mut scene = before.up().await;
            scene.world.idp_host.stop().await;
            scene
        }
        _ => keys_of_before(before, how).await,
    }
}

/// The identity provider fails after the router got its keys.
async fn keys_of_before(before: Before, how: &str) -> Scene {
    match how {
        "down, its keys are too old" => {
            let mut before = before;
            let short = "keys = { fresh_secs = 1, stale_max_secs = 1, ";
            before.config = before.config.replacen("keys = { ", short, 1);
            let mut scene = before.up().await;
            scene.world.idp_host.stop().await;
            until("the keys are too old", async || {
                scene.router.readyz().await.1["issuers"]["main"]["state"] == "expired"
            })
            .await;
            scene
        }
        "down, and a token has a new key" => {
            let mut scene = of_other_key(before).await;
            scene.world.idp_host.stop().await;
            scene
        }
        "hangs, and a token has a new key" => {
            let scene = of_other_key(before.set("[fetch]", IMPATIENT)).await;
            scene.world.idp.set_fault(IdpFault::Slow(HOUR));
            scene
        }
        "answers 500, and a token has a new key" => {
            let scene = of_other_key(before).await;
            scene.world.idp.set_fault(IdpFault::Status(BROKEN));
            scene
        }
        "up, and a token has a key that it doesn't have" => of_other_key(before).await,
        _ => panic!("no such failure: {how}"),
    }
}

/// The token has a key that the router doesn't know.
async fn of_other_key(before: Before) -> Scene {
    let mut scene = before.up().await;
    let other = Signer::from_seed("two", [2; 32]).unwrap();
    scene.other = Some(IdentityProvider::new(scene.world.idp.issuer(), other));
    scene
}

pub(crate) async fn registry(how: &str) -> Scene {
    let before = Before::new().await;
    let tenant = |scene, tenant| Scene { tenant, ..scene };
    match how {
        "down since the router started" => before.start(true, false).await,
        "down, after a good document" => {
            let mut scene = before.up().await;
            scene.world.plane_host.stop().await;
            scene
        }
        "hangs since the router started" => {
            before.world.plane.set_fault(ControlPlaneFault::Slow(HOUR));
            never_fetched(before.set("[fetch]", IMPATIENT)).await
        }
        "answers 500 since the router started" => {
            before
                .world
                .plane
                .set_fault(ControlPlaneFault::Status(BROKEN));
            never_fetched(before).await
        }
        "hangs, after a good document" => {
            let scene = before.set("[fetch]", IMPATIENT).up().await;
            fetch_fails(scene, ControlPlaneFault::Slow(HOUR)).await
        }
        "answers 500, after a good document" => {
            fetch_fails(before.up().await, ControlPlaneFault::Status(BROKEN)).await
        }
        "sends garbage, after a good document" => {
            let scene = before.up().await;
            scene.world.plane.set_fault(ControlPlaneFault::Truncated);
            // Only the router knows when it has judged what came.
            until("it was refused", async || {
                let refused = scene.router.metric("cellway_registry_rejected_total");
                !refused.await.is_empty()
            })
            .await;
            scene
        }
        "down for longer than identity_max_age_secs" => {
            let mut scene = before
                .set("[registry]", "identity_max_age_secs = 3")
                .up()
                .await;
            scene.world.plane_host.stop().await;
            until("it is too long", async || {
                scene.router.readyz().await.1["tenant_status"] == "expired"
            })
            .await;
            scene
        }
        "does not list the tenant" => tenant(before.up().await, "nobody"),
        "the tenant is suspended" => tenant(before.up().await, "wayne"),
        "the tenant's cell is quarantined" => tenant(before.up().await, "stark"),
        "the tenant's cell is provisioning" => {
            let mut before = before;
            before.registry["cells"][1]["state"] = json!("provisioning");
            tenant(before.up().await, "stark")
        }
        _ => panic!("no such failure: {how}"),
    }
}

/// The router has asked for its first registry in vain.
async fn never_fetched(mut before: Before) -> Scene {
    before.world.plane_host.start().await;
    fetch_failed(before.start(true, false).await).await
}

/// The router has asked for the registry again in vain.
async fn fetch_fails(scene: Scene, fault: ControlPlaneFault) -> Scene {
    scene.world.plane.set_fault(fault);
    fetch_failed(scene).await
}

async fn fetch_failed(scene: Scene) -> Scene {
    until("it was asked in vain", async || {
        let failed = scene.router.metric("cellway_registry_fetch_failed_total");
        !failed.await.is_empty()
    })
    .await;
    scene
}

/// The caller is over a limit.
pub(crate) async fn limit(how: &str) -> Scene {
    let mut before = Before::new().await;
    match how {
        "more requests than the tenant's limits.rate" => {
            let rate = json!({"requests": 1, "window_secs": 3600});
            before.registry["tenants"][0]["limits"] = json!({"rate": rate});
            let scene = before.up().await;
            assert_eq!(scene.http().await[0], "200");
            scene
        }
        "more requests in flight than the tenant's limits.requests_max" => {
            before.registry["tenants"][0]["limits"] = json!({"requests_max": 1});
            let scene = before.set("[upstream]", "queue_max = 0").up().await;
            scene.world.cell.set_fault(CellFault::Slow(HOUR));
            Scene {
                holds: true,
                ..scene
            }
        }
        "a longer body than body_bytes_max" => {
            let traffic = "[[traffic]]\nname = \"default\"\nbody_bytes_max = 10\n";
            Scene {
                body: 11,
                ..before.add(traffic).up().await
            }
        }
        _ => panic!("no such failure: {how}"),
    }
}
