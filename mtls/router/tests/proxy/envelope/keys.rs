//! Key rotation while the router runs, and folders that can't be used.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use cellway_core::keys::KeySet;
use cellway_router::envelope::INDEX;
use cellway_testbed::{Protocol, Request};
use http::Method;
use serde_json::Value;

use super::world::{MAX_AGE, Sealing, verify};
use crate::world::body;

async fn echo(world: &Sealing) -> Value {
    let client = world.client(Protocol::Http2, "acme");
    body(&client.send(Request::get("/")).await.unwrap())
}

/// The id of the key that sealed it.
fn kid(echo: &Value) -> String {
    use base64::Engine;
    let envelope = echo["headers"]["x-cellway-envelope"].as_str().unwrap();
    let header = envelope.split('.').next().unwrap();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header);
    let header: Value = serde_json::from_slice(&header.unwrap()).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_key_is_published_at_once_and_signs_when_everybody_can_know_it() {
    let world = Sealing::jws(&[("k1", 0)]).await;
    let holds = async |keys: &KeySet| {
        let echo = echo(&world).await;
        let now = world.env.now();
        verify(&echo, keys, "a", &Method::GET, "/", now).unwrap();
        kid(&echo)
    };
    let old = world.published(Protocol::Http2).await;
    assert_eq!(holds(&old).await, "k1");

    // The index says that it was added long ago, but this router publishes it only now.
    world.folder.sign(&[("k1", 0), ("k2", 1)]).await;
    world.env.step(1);
    world.handle.reload().await.unwrap();
    let both = world.published(Protocol::Http2).await;
    assert_eq!(both.len(), 2);
    // A service that fetched just before the reload keeps the old set for the whole maximum age.
    assert_eq!(holds(&old).await, "k1");
    let status = world.handle.envelope().unwrap();
    assert_eq!(status.signing_kid.as_deref(), Some("k1"));
    assert_eq!(status.next_kid.as_deref(), Some("k2"));
    let from = world.env.now().after(MAX_AGE).as_secs();
    assert!(status.next_from.unwrap().abs_diff(from) <= 1, "{status:?}");

    world.env.pass(MAX_AGE.as_secs() - 10).await;
    assert_eq!(holds(&old).await, "k1");
    world.env.pass(10).await;
    // A service that fetched meanwhile never refuses, and earlier envelopes stay valid.
    assert_eq!(holds(&both).await, "k2");
    let after = world.published(Protocol::Http2).await;
    assert_eq!(after.len(), 2, "what k1 has sealed may still be on its way");
    world.env.pass(30 + MAX_AGE.as_secs() + 60).await;
    let last = world.published(Protocol::Http2).await;
    assert_eq!(last.len(), 1);
    assert_eq!(holds(&last).await, "k2");

    // Nobody needs the key that is removed now.
    world.folder.sign(&[("k2", 1)]).await;
    world.handle.reload().await.unwrap();
    assert_eq!(holds(&last).await, "k2");
    assert_eq!(world.handle.envelope().unwrap().next_kid, None);
}

#[tokio::test]
async fn a_key_that_is_lost_is_replaced_at_once() {
    let world = Sealing::jws(&[("k1", 0)]).await;
    world.folder.sign(&[("k9", 1)]).await;
    world.handle.reload().await.unwrap();
    let keys = world.published(Protocol::Http1).await;
    assert_eq!(keys.len(), 1);
    assert_eq!(kid(&echo(&world).await), "k9");
}

/// Checks that a reload refuses the folder for this reason, and that the old key still signs.
async fn refused(world: &Sealing, expected: &str) {
    let error = world.handle.reload().await.unwrap_err();
    assert_eq!(error.findings[0].setting, "envelope.keys", "{error}");
    assert!(error.findings[0].problem.contains(expected), "{error}");
    assert_eq!(kid(&echo(world).await), "k1");
}

#[tokio::test]
async fn a_key_file_that_cannot_be_used_leaves_the_old_keys_in_force() {
    let world = Sealing::jws(&[("k1", 0)]).await;
    let pem = world.folder.path("k1.pem");
    let good = fs::read(&pem).unwrap();
    let mode = |mode| fs::set_permissions(&pem, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o604);
    refused(&world, "can be read by others").await;
    mode(0o602);
    refused(&world, "can be written by others").await;
    let aside = world.folder.path("aside");
    mode(0o600);
    fs::rename(&pem, &aside).unwrap();
    refused(&world, "k1.pem can't be used: ").await;
    symlink(&aside, &pem).unwrap();
    world.handle.reload().await.unwrap();
    assert_eq!(
        kid(&echo(&world).await),
        "k1",
        "a link is judged by what it leads to"
    );
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o604)).unwrap();
    refused(&world, "can be read by others").await;
    fs::remove_file(&pem).unwrap();
    world.folder.write("k1.pem", "junk").await;
    refused(&world, "k1.pem is not an Ed25519 private key in PKCS#8").await;
    world.folder.write("k1.pem", good).await;
    world.handle.reload().await.unwrap();
}

#[tokio::test]
async fn an_index_that_cannot_be_used_leaves_the_old_keys_in_force() {
    let world = Sealing::jws(&[("k1", 0)]).await;
    for (index, expected) in [
        ("", "names no key"),
        (
            "[[key]]\nkid = \"../k1\"\nadded = 1\nsign_from = 1",
            "has a kid `../k1`",
        ),
        (
            "[[key]]\nkid = \"k1\"\ncell = \"a\"\nadded = 1\nsign_from = 1",
            "belongs to one cell",
        ),
        ("[[key]]\nkid = \"k1\"", "missing field `added`"),
        ("keys = 1", "unknown field `keys`"),
    ] {
        world.folder.write(INDEX, index).await;
        refused(&world, expected).await;
    }
    // The same id with another key, and a key that would sign before services can know it.
    let hasty = "[[key]]\nkid = \"k1\"\nadded = 1\nsign_from = 1\n\
                 [[key]]\nkid = \"k2\"\nadded = 100\nsign_from = 200";
    world.folder.sign(&[("k1", 0), ("k2", 1)]).await;
    world.folder.write(INDEX, hasty).await;
    refused(&world, "its sign_from must be 400 or later").await;
    let other = fs::read(world.folder.path("k2.pem")).unwrap();
    world.folder.sign(&[("k1", 0)]).await;
    world.folder.write("k1.pem", other).await;
    refused(&world, "`k1` is another key than before").await;
}
