//! What the pages say of changes that were refused.

use cellway_testbed::Signer;
use cellway_tests::world::{Running, World, until};
use serde_json::{Value, json};

async fn snapshot(router: &Running) -> Value {
    serde_json::from_slice(&router.admin("/debug/snapshot").await.body).unwrap()
}

async fn status_page(router: &Running) -> String {
    String::from_utf8(router.admin("/").await.body.into()).unwrap()
}

/// The warnings of `/readyz` that are about refusals.
async fn warnings(router: &Running) -> Vec<String> {
    let (status, page) = router.readyz().await;
    assert_eq!(status, 200, "{page}");
    let warnings = page["warnings"].as_array().cloned().unwrap_or_default();
    let warnings = warnings.iter().map(|it| it.as_str().unwrap().to_owned());
    warnings.filter(|it| it.contains("refused")).collect()
}

/// Catches: a reload whose refusal only the log tells; one that is still shown after the next reload;
/// and reasons, which quote files, on a page that everybody may read.
#[tokio::test]
async fn a_refused_reload_is_shown_until_the_next_one() {
    let world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
    let router = world.router().await;
    assert_eq!(snapshot(&router).await["refused"], Value::Null);
    assert!(!status_page(&router).await.contains("Refused changes"));

    // A mistake of the file itself, and one of a file that it names.
    let config = world.config();
    for (bad, why) in [
        (config.replace("audience", "audi<b>ence"), "not valid TOML"),
        (
            config.replace("clients.pem", "nowhere.pem"),
            "nowhere.pem can't be read",
        ),
    ] {
        world.configure(&bad);
        router.reload_refused().await;
        let warnings = warnings(&router).await;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].starts_with("a reload was refused at 20"),
            "{warnings:?}"
        );
        assert!(!warnings[0].contains(why), "{warnings:?}");
        let refused = snapshot(&router).await["refused"].clone();
        assert_eq!(refused["registry"], Value::Null);
        assert!(
            refused["reload"]["why"].as_str().unwrap().contains(why),
            "{refused}"
        );
        let page = status_page(&router).await;
        assert!(
            page.contains("Refused changes") && !page.contains("<b>"),
            "{page}"
        );
        let at = refused["reload"]["at"].as_str().unwrap();
        assert!(page.contains(at), "{at} {page}");
    }

    world.configure(&config);
    router.reload().await;
    assert_eq!(warnings(&router).await, Vec::<String>::new());
    assert_eq!(snapshot(&router).await["refused"], Value::Null);
}

/// Catches: a refused registry that is still shown when the source has gone back to the one in force.
#[tokio::test]
async fn a_refused_registry_is_shown_until_the_source_has_a_good_one() {
    let mut world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
    let router = world.router().await;
    let good = world.registry.to_string();
    world.registry["version"] = json!(0);
    world.plane.set_document(world.registry.to_string());
    until("it is refused", async || {
        snapshot(&router).await["refused"]["registry"]["why"]
            .as_str()
            .is_some_and(|why| why.contains("version"))
    })
    .await;
    let told = warnings(&router).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("a registry was refused at 20"),
        "{told:?}"
    );
    world.plane.set_document(good);
    until("it is forgotten", async || {
        warnings(&router).await.is_empty()
    })
    .await;
}
