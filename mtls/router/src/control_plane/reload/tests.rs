use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cellway_core::envelope::SigningKey;
use cellway_testbed::sample::{CONFIG, REGISTRY};
use cellway_testbed::{Ca, CertificateSpec, Credential, Key, San, Signer, Usage, Validity};
use rustls::time_provider::DefaultTimeProvider;

use super::*;
use crate::envelope::{Index, IndexKey, key_file, signing_pem};
use crate::router::Router;
use crate::settings::EnvelopeForm;
use crate::testing::{EventLog, Host};

const FILE: &str = "cellway.toml";
/// The sample configuration with TLS on its listener.
fn config() -> String {
    let listener = "bind = \"127.0.0.1:0\"\n";
    let tls = "tls = { certificate = \"server.pem\", key = \"server.key\" }\n";
    CONFIG.replacen(listener, &format!("{listener}{tls}"), 1)
}

fn credential(seed: u8) -> (Credential, Key) {
    let now = cellway_env::Env::unix_now(&Host::new());
    credential_for(seed, Validity::around(now, Duration::from_secs(86_400)))
}

fn credential_for(seed: u8, validity: Validity) -> (Credential, Key) {
    let ca = Ca::new("ca", &Key::from_seed([1; 32]), validity, 1).unwrap();
    let spec = CertificateSpec {
        common_name: "router".to_owned(),
        sans: vec![San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST))],
        usage: Usage::Server,
        validity,
        serial: 2,
    };
    let key = Key::from_seed([seed; 32]);
    (ca.issue(&spec, &key).unwrap(), key)
}

fn put_credential(host: &Host, seed: u8) {
    put(host, credential(seed));
}

fn put(host: &Host, (credential, key): (Credential, Key)) {
    host.disk.put("server.pem", credential.pem().to_owned());
    host.disk.put("server.key", key.pem().unwrap());
}

/// Starts a router that follows the files of `host`. Time is paused, so waiting for checks takes no
/// real time.
async fn start(host: &Host) -> EventLog {
    start_from(host, &config()).await
}

async fn start_from(host: &Host, config: &str) -> EventLog {
    let jwk = Signer::from_seed("k1", [1; 32]).unwrap().jwk();
    host.disk.put(
        "keys.json",
        serde_json::json!({ "keys": [jwk] }).to_string(),
    );
    host.disk.put("registry.json", REGISTRY);
    host.disk.put(FILE, config.to_owned());
    put_credential(host, 2);
    let config = Config::load(FILE, config, []).unwrap_or_else(|errors| panic!("{errors}"));
    let events = EventLog::default();
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (settings, time) = (config.router.clone(), Arc::new(DefaultTimeProvider));
    let router = Router::builder(host.clone(), settings, crypto, time, events.clone());
    let handle = router.start().await.unwrap();
    let none = || Vec::<(String, String)>::new();
    let reloader = Reloader::new(&handle, FILE, none, config);
    host.spawn(reloader.run(Arc::new(Notify::new())));
    events
}

/// Waits for the `count`-th event of this name.
async fn until(events: &EventLog, event: &str, count: usize) -> String {
    while events.of(event).len() < count {
        sleep(Duration::from_millis(100)).await;
    }
    events.of(event)[count - 1].clone()
}

/// Waits until the files were checked several times.
async fn some_looks() {
    sleep(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_reloaded_while_nothing_changes() {
    let host = Host::new();
    let events = start(&host).await;
    some_looks().await;
    assert!(events.of("reloaded").is_empty());
    assert!(events.of("reload_refused").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_bad_certificate_is_refused_once_and_a_good_one_taken() {
    let host = Host::new();
    let events = start(&host).await;
    some_looks().await;
    host.disk.put("server.pem", "junk");
    let refused = until(&events, "reload_refused", 1).await;
    assert!(refused.contains("listener[0].tls"), "{refused}");
    some_looks().await;
    assert_eq!(
        events.of("reload_refused").len(),
        1,
        "said once, not at every look"
    );
    assert!(events.of("reloaded").is_empty());

    put_credential(&host, 3);
    until(&events, "reloaded", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_of_another_certificate_is_refused() {
    let host = Host::new();
    let events = start(&host).await;
    some_looks().await;
    host.disk.put("server.key", credential(9).1.pem().unwrap());
    until(&events, "reload_refused", 1).await;
}

/// Puts signing keys with these ids into the folder, and then the index.
fn put_envelope_keys(host: &Host, kids: &[&str]) {
    let mut index = Index::default();
    for (seed, kid) in (1..).zip(kids) {
        let key = SigningKey::from_seed(kid, &[seed; 32]).unwrap();
        let file = format!("sealing/{}", key_file(EnvelopeForm::Jws, kid));
        host.disk.put(&file, signing_pem(&key).unwrap());
        index.keys.push(IndexKey {
            kid: (*kid).to_owned(),
            cell: None,
            added: u64::from(seed),
            sign_from: u64::from(seed) * 1000,
        });
    }
    host.disk.put("sealing/keys.toml", index.render());
}

#[tokio::test(start_paused = true)]
async fn keys_of_envelopes_are_looked_at_and_a_bad_one_leaves_the_old() {
    let host = Host::new();
    put_envelope_keys(&host, &["k1"]);
    let config = config() + "\n[envelope]\nkeys = \"sealing\"\n";
    let events = start_from(&host, &config).await;
    some_looks().await;
    assert!(events.of("reloaded").is_empty());

    // The index is written last. Then everything is there.
    put_envelope_keys(&host, &["k1", "k2"]);
    until(&events, "reloaded", 1).await;

    // A change of a file that the index names counts too.
    let good = host.disk.get("sealing/k2.pem").unwrap();
    host.disk.put("sealing/k2.pem", "junk");
    let refused = until(&events, "reload_refused", 1).await;
    let expected = "envelope.keys: sealing/k2.pem is not an Ed25519 private key in PKCS#8";
    assert!(refused.contains(expected), "{refused}");
    host.disk.put("sealing/k2.pem", good);
    until(&events, "reloaded", 2).await;

    host.disk.put("sealing/keys.toml", "junk");
    let refused = until(&events, "reload_refused", 2).await;
    assert!(
        refused.contains("envelope.keys: sealing/keys.toml"),
        "{refused}"
    );
    put_envelope_keys(&host, &["k1", "k2"]);
    until(&events, "reloaded", 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_configuration_is_tried_again_when_what_it_lacked_is_there() {
    let host = Host::new();
    let events = start(&host).await;
    some_looks().await;
    let with_envelope = config() + "\n[envelope]\nkeys = \"sealing\"\n";
    host.disk.put(FILE, with_envelope);
    let refused = until(&events, "reload_refused", 1).await;
    assert!(refused.contains("sealing/keys.toml"), "{refused}");
    some_looks().await;
    assert_eq!(events.of("reload_refused").len(), 1, "nothing came");

    put_envelope_keys(&host, &["k1"]);
    until(&events, "reloaded", 1).await;
    some_looks().await;
    assert_eq!(events.of("reloaded").len(), 1, "and nothing came later");
    put_envelope_keys(&host, &["k1", "k2"]);
    until(&events, "reloaded", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_of_a_refused_configuration_counts_until_that_is_replaced() {
    let host = Host::new();
    let events = start(&host).await;
    some_looks().await;
    host.disk.put(FILE, config().replace("server.", "late."));
    until(&events, "reload_refused", 1).await;
    host.disk.put("late.pem", "junk");
    until(&events, "reload_refused", 2).await;
    // The files in force are checked all the time.
    put_credential(&host, 3);
    until(&events, "reload_refused", 3).await;

    host.disk.put(FILE, config());
    until(&events, "reloaded", 1).await;
    host.disk.put("late.pem", "other junk");
    some_looks().await;
    assert_eq!(events.of("reload_refused").len(), 3);
    assert_eq!(events.of("reloaded").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_with_mistakes_is_refused_and_the_next_taken() {
    let host = Host::new();
    let events = start(&host).await;
    some_looks().await;
    host.disk
        .put(FILE, config().replace("audience", "audiance"));
    let refused = until(&events, "reload_refused", 1).await;
    assert!(
        refused.contains("cellway.toml:10: issuer[0].audiance"),
        "{refused}"
    );
    host.disk.put(
        FILE,
        config().replacen("bind = \"127.0.0.1:0\"", "bind = \"127.0.0.1:9\"", 1),
    );
    let refused = until(&events, "reload_refused", 2).await;
    assert!(refused.contains("listener"), "{refused}");
    host.disk
        .put(FILE, config().replace("= \"cellway\"", "= \"other\""));
    until(&events, "reloaded", 1).await;
}

/// Catches: a reload that doesn't report what changed, and one that reports more than names.
#[tokio::test(start_paused = true)]
async fn a_reload_says_which_settings_and_files_have_changed() {
    let host = Host::new();
    let events = start(&host).await;
    some_looks().await;
    let changed = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (
            line["settings"].clone(),
            line["files"].clone(),
            line["digest"].clone(),
        )
    };
    put_credential(&host, 3);
    let (settings, files, digest) = changed(&until(&events, "reloaded", 1).await);
    assert_eq!(settings, serde_json::json!([]));
    assert_eq!(files, serde_json::json!(["server.key", "server.pem"]));

    // Changed files of a refused reload are reported by the next good one, if it names them.
    host.disk.put(FILE, config().replace("server.", "late."));
    until(&events, "reload_refused", 1).await;
    host.disk.put("late.pem", "junk");
    until(&events, "reload_refused", 2).await;
    let other = config().replace("= \"cellway\"", "= \"not-to-be-told\"");
    host.disk
        .put(FILE, format!("{other}\n[runtime]\ndrain_secs = 7\n"));
    let line = until(&events, "reloaded", 2).await;
    let (settings, files, other) = changed(&line);
    let expected = ["issuer[0].audience", "runtime.drain_secs"];
    assert_eq!(settings, serde_json::json!(expected));
    assert_eq!(files, serde_json::json!([FILE]));
    assert_ne!(digest, other);
    assert!(!line.contains("not-to-be-told"), "{line}");

    host.disk.put(FILE, config());
    let (_, _, again) = changed(&until(&events, "reloaded", 3).await);
    assert_eq!(digest, again);
}

/// Catches: a key file that is missing when the configuration first names it and is never looked
/// for again.
#[tokio::test(start_paused = true)]
async fn a_subject_key_that_comes_later_is_found() {
    let host = Host::new();
    let events = start(&host).await;
    some_looks().await;
    host.disk
        .put(FILE, config() + "subject_key = \"subjects.key\"\n");
    let refused = until(&events, "reload_refused", 1).await;
    assert!(
        refused.contains("log.subject_key: subjects.key"),
        "{refused}"
    );
    host.disk.put("subjects.key", vec![1; 32]);
    let line = until(&events, "reloaded", 1).await;
    assert!(
        line.contains("\"settings\":[\"log.subject_key\"]"),
        "{line}"
    );
}

/// Catches: a certificate that expires without a warning.
#[tokio::test(start_paused = true)]
async fn a_certificate_that_ends_soon_is_named_once() {
    let host = Host::new();
    let events = start(&host).await;
    some_looks().await;
    assert!(events.of("certificate_ending").is_empty());
    let now = cellway_env::Env::unix_now(&host);
    let until_secs = |left: u64| Validity {
        from: cellway_core::Unix::from_secs(now.as_secs() - 1_000),
        until: cellway_core::Unix::from_secs(now.as_secs() + left),
    };
    put(&host, credential_for(3, until_secs(60)));
    let line = until(&events, "certificate_ending", 1).await;
    for part in [
        "\"level\":\"warn\"",
        "\"setting\":\"listener[0].tls.certificate\"",
        "\"position\":0",
        "\"not_after\":\"2027-01-15T08:01:00.000Z\"",
        "\"left_secs\":60",
    ] {
        assert!(line.contains(part), "{line}");
    }
    // Another reload and more checks report nothing new. The wall clock stands still here.
    host.disk.put(FILE, config() + "\n");
    until(&events, "reloaded", 2).await;
    some_looks().await;
    assert_eq!(events.of("certificate_ending").len(), 1);

    let past = Validity {
        from: cellway_core::Unix::from_secs(now.as_secs() - 1_000),
        until: cellway_core::Unix::from_secs(now.as_secs() - 1),
    };
    put(&host, credential_for(4, past));
    let line = until(&events, "certificate_expired", 1).await;
    assert!(
        line.contains("\"not_after\":\"2027-01-15T07:59:59.000Z\""),
        "{line}"
    );
    put_credential(&host, 5);
    until(&events, "reloaded", 4).await;
    some_looks().await;
    assert_eq!(events.of("certificate_expired").len(), 1);
}
