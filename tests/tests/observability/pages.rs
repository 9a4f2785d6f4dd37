//! What `/readyz` and `/metrics` say of an issuer whose keys stop coming, and of revocation lists.

use std::time::Duration;

use cellway_core::Unix;
use cellway_testbed::{IdpFault, Signer, Validity};
use cellway_tests::world::{HOUR, World, now, until};
use serde_json::{Value, json};

#[tokio::test]
async fn an_issuer_that_fails_is_named_with_a_word_and_a_count() {
    let mut world = World::down(Signer::from_seed("k1", [1; 32]).unwrap()).await;
    world.plane_host.start().await;
    let router = world.boot().await;
    until("the fetch has failed", async || {
        router.readyz().await.1["issuers"]["main"]["consecutive_failures"] != json!(0)
    })
    .await;
    let page = router.readyz().await.1;
    let main = &page["issuers"]["main"];
    assert_eq!(main["state"], "empty", "{page}");
    assert_eq!(main["last_error"], "unreachable");
    assert_eq!(main["age_secs"], json!(null));
    assert_eq!(
        page["listeners"]["public"],
        json!({"policy": "default", "mode": "required"})
    );

    world.idp.set_fault(IdpFault::Garbage);
    world.idp_host.start().await;
    until("the answer is nonsense", async || {
        let error = router.readyz().await.1["issuers"]["main"]["last_error"].clone();
        error == "discovery" || error == "malformed"
    })
    .await;
    world.idp.set_fault(IdpFault::None);
    until("the keys are there", async || {
        router.readyz().await.1["issuers"]["main"]["state"] == "fresh"
    })
    .await;
    let page = router.readyz().await.1;
    let main = &page["issuers"]["main"];
    assert_eq!(main["stale"], json!(false));
    assert_eq!(main["consecutive_failures"], json!(0));
    assert!(main["last_error"].is_null(), "{main}");
    assert!(main["age_secs"].as_u64().unwrap() < 60, "{main}");
    assert!(main["next_refresh_secs"].as_u64().unwrap() > 60, "{main}");
    let metrics = router.admin("/metrics").await.body;
    let metrics = String::from_utf8(metrics.into()).unwrap();
    assert!(
        metrics.contains("cellway_jwks_age_seconds{issuer=\"main\"}"),
        "{metrics}"
    );
    assert!(
        metrics.contains("cellway_jwks_failures{issuer=\"main\"} 0"),
        "{metrics}"
    );
}

#[tokio::test]
async fn revocation_lists_are_shown_with_their_ages() {
    let world = World::up(Signer::from_seed("k1", [1; 32]).unwrap()).await;
    let clients = &world.authorities.clients;
    let stale = Validity {
        from: Unix::from_epoch(now().since_epoch() - HOUR),
        until: Unix::from_epoch(now().since_epoch() - Duration::from_secs(60)),
    };
    for (name, validity) in [
        ("fresh.crl", Validity::around(now(), HOUR)),
        ("stale.crl", stale),
    ] {
        world
            .folder
            .write(name, clients.revoke(&[9], validity).unwrap());
    }
    let config = world.config().replace(
        "[trust]\n",
        "[trust]\ncrl = [\"fresh.crl\", \"stale.crl\"]\n",
    );
    world.configure(&config);
    let router = world.router().await;
    let lists = router.readyz().await.1["revocation_lists"].clone();
    assert_eq!(lists[0]["setting"], "trust.crl[0]");
    assert_eq!(lists[0]["stale"], json!(false));
    assert!(
        lists[0]["next_update_secs"].as_u64().unwrap() > 60,
        "{lists}"
    );
    assert_eq!(lists[1]["stale"], json!(true));
    assert_eq!(lists[1]["next_update_secs"], json!(0));
    assert!(lists[1]["age_secs"].as_u64().unwrap() >= 3_600, "{lists}");
    let stale = router.metric("cellway_crl_stale").await;
    assert_eq!(
        stale,
        ["cellway_crl_stale{list=\"1\",table=\"trust\",setting=\"1\"} 1"]
    );
    assert_eq!(router.metric("cellway_crl_age_seconds").await.len(), 2);
}

/// Catches: a certificate that ends unseen, be it the router's own or an authority's.
#[tokio::test]
async fn certificates_are_shown_with_their_ends() {
    let world = World::up(Signer::from_seed("k1", [1; 32]).unwrap()).await;
    let router = world.router().await;
    let shown = router.readyz().await.1["certificates"].clone();
    let shown = shown.as_array().unwrap();
    let metrics = router.metric("cellway_certificate_not_after_seconds").await;
    assert_eq!(metrics.len(), shown.len(), "{metrics:?}");
    let config = world.config();
    for setting in ["listener[0].tls.certificate", "trust.bundle"] {
        let (table, key) = setting.rsplit_once('.').unwrap();
        assert!(config.contains(&format!("{key} = ")), "{table}");
        let ends = shown.iter().find(|it| it["setting"] == setting).unwrap();
        assert_eq!(ends["position"], json!(0));
        let left = ends["left_secs"].as_u64().unwrap();
        assert!(left > 60, "{ends}");
        let series = format!(
            "cellway_certificate_not_after_seconds{{setting=\"{setting}\",position=\"0\"}} "
        );
        let value = metrics.iter().find_map(|line| line.strip_prefix(&series));
        let value: u64 = value.unwrap().parse().unwrap();
        assert!(value.abs_diff(now().as_secs() + left) < 60, "{value}");
    }
}

/// Catches: a rate limit, a failover or a drain that is in force and that the page keeps to itself.
#[tokio::test]
async fn the_snapshot_shows_limits_failover_and_drain() {
    let world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
    let rate = json!({"requests": 10, "window_secs": 2, "burst": 20});
    let limits = json!({"rate": rate, "requests_max": 5});
    let mut registry = world.registry.clone();
    registry["version"] = json!(6);
    let b = json!({"id": "b", "tier": "standard", "region": "eu", "state": "draining",
                   "drain": {"percent": 30}, "endpoints": [{"url": "https://127.0.0.1:1"}]});
    registry["cells"].as_array_mut().unwrap().push(b);
    registry["placements"] = json!([
        {"id": "lobby", "tier": "standard", "cells": ["b"]},
        {"id": "orders", "tier": "standard", "cells": ["a"], "failover": true, "fallback": "lobby",
         "limits": limits},
    ]);
    registry["tenants"][0]["limits"] = limits.clone();
    world.plane.set_document(registry.to_string());
    let traffic =
        "[[traffic]]\nname = \"default\"\nbody_bytes_max = 7\n[rate_limits]\nshared_by = 3\n";
    let router = world.with(traffic).await;
    let page = router.admin("/debug/snapshot?tenant=acme").await;
    let page: Value = serde_json::from_slice(&page.body).unwrap();
    let shown = &page["registry"];
    assert_eq!(shown["cells"][0]["drain"], json!(null));
    assert_eq!(shown["cells"][1]["drain"], json!({"percent": 30}));
    let lobby = json!({"id": "lobby", "tier": "standard", "stateless": false, "cells": ["b"],
                       "failover": false});
    let orders = json!({"id": "orders", "tier": "standard", "stateless": false, "cells": ["a"],
                        "failover": true, "fallback": "lobby", "limits": limits});
    assert_eq!(shown["placements"], json!([lobby, orders]));
    assert_eq!(page["tenant"]["limits"], limits);
    let settings = &page["settings"];
    assert_eq!(settings["listener"][0]["traffic"], "default");
    assert_eq!(settings["traffic"].as_array().unwrap().len(), 1);
    assert_eq!(settings["traffic"][0]["name"], "default");
    assert_eq!(settings["traffic"][0]["body_bytes_max"], 7);
    assert_eq!(settings["rate_limits"], json!({"shared_by": 3}));
    assert_eq!(settings["upstream"]["requests_max"], 4096);
}

/// Catches: a page that another site can use as a script or an image, with the certificate of an
/// operator's browser.
#[tokio::test]
async fn no_other_site_can_include_a_page() {
    let world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
    let router = world.router().await;
    for (path, status) in [
        ("/", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/debug/snapshot", 200),
        ("/debug/endpoints", 200),
        ("/debug/endpoints?other=1", 400),
        ("/other", 404),
    ] {
        let answer = router.admin(path).await;
        assert_eq!(answer.status, status, "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.headers[name], value, "{path}");
        }
    }
}

/// Catches: a page that shows other things than what is in force, and one that lists all tenants.
#[tokio::test]
async fn the_snapshot_shows_what_is_in_force() {
    let world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
    let router = world.router().await;
    let page = async |query: &str| {
        let answer = router.admin(&format!("/debug/snapshot{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    until("the keys are there", async || {
        page("").await["keys"]["main"]["state"] == "fresh"
    })
    .await;
    let shown = page("").await;
    let settings = &shown["settings"];
    assert_eq!(settings["listener"][0]["policy"], "default");
    assert_eq!(settings["policy"][0]["any_of"], json!(["jwt", "mtls"]));
    assert_eq!(shown["keys"]["main"]["kids"], json!(["one"]));
    assert_eq!(shown["registry"]["version"], world.registry["version"]);
    assert_eq!(shown["registry"]["cells"][0]["id"], "a");
    assert_eq!(shown["tenant"], Value::Null);
    let acme = &page("?tenant=acme").await["tenant"];
    assert_eq!(
        (&acme["listed"], &acme["cell"]),
        (&json!(true), &json!("a"))
    );
    let unknown = page("?tenant=no%20one").await["tenant"].clone();
    assert_eq!(unknown, json!({"id": "no one", "listed": false}));
    for bad in ["?other=1", "?tenant="] {
        let answer = router.admin(&format!("/debug/snapshot{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}");
    }

    let mut changed = world.registry.clone();
    changed["version"] = json!(7);
    world.plane.set_document(changed.to_string());
    until("the new version is shown", async || {
        page("").await["registry"]["version"] == 7
    })
    .await;
}
