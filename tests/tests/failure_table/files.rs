//! Failures of files that the router reads: revocation lists and keys for envelopes.

use std::time::Duration;

use cellway_core::Unix;
use cellway_router::envelope::{INDEX, Index, IndexKey, key_file, secret_text};
use cellway_router::settings::EnvelopeForm;
use cellway_testbed::{Ca, Validity};
use cellway_tests::world::{HOUR, now};

use crate::certified::Certified;
use crate::scene::{Before, Scene};

/// A list that revokes nothing, and is stale from `until` on.
fn list(clients: &Ca, until: Unix) -> String {
    let from = Unix::from_epoch(now().since_epoch().saturating_sub(2 * HOUR));
    clients.revoke(&[], Validity { from, until }).unwrap()
}

pub(crate) async fn revocation_list(how: &str) -> Scene {
    assert_eq!(how, "past its next update, with connections that are open");
    let before = Before::new()
        .await
        .set("[trust]", "crl = [\"clients.crl\"]");
    let fresh = list(&before.world.authorities.clients, now().after(HOUR));
    before.world.folder.write("clients.crl", fresh);
    let mut scene = before.up().await;
    let certified = Certified::connect(&scene.world, &scene.router).await;
    scene.certified = Some(certified);
    assert_eq!(scene.http().await[0], "200");
    assert_eq!(scene.ext_authz().await, "allowed");

    let past = Unix::from_epoch(now().since_epoch().saturating_sub(Duration::from_secs(1)));
    let stale = list(&scene.world.authorities.clients, past);
    scene.world.folder.write("clients.crl", stale);
    scene.router.reload().await;
    scene
}

pub(crate) async fn envelope_key(how: &str) -> Scene {
    assert_eq!(how, "the cell shares none");
    let envelope = "[envelope]\nform = \"hmac\"\nissuer = \"cellway\"\nkeys = \"envelope-keys\"\n";
    let before = Before::new().await.add(envelope);
    let kid = "q-1".to_owned();
    let file = key_file(EnvelopeForm::Hmac, &kid);
    let added = now().as_secs();
    let index = Index {
        keys: vec![IndexKey {
            kid,
            cell: Some("q".to_owned()),
            added,
            sign_from: added,
        }],
    };
    let folder = &before.world.folder;
    folder.write_private(
        &format!("envelope-keys/{file}"),
        secret_text(&[7; 32]).as_bytes(),
    );
    folder.write(&format!("envelope-keys/{INDEX}"), index.render());
    before.up().await
}
