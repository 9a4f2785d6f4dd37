use super::*;
use crate::testing::Host;

const REGISTRY: &str = "registry.json";

fn registry(version: u64) -> String {
    format!(
        r#"{{"version": {version},
            "cells": [{{"id": "a", "tier": "std", "region": "eu", "state": "active",
                        "endpoints": [{{"url": "http://127.0.0.1:9"}}]}}],
            "tenants": [{{"id": "acme", "cell": "a"}}]}}"#
    )
}

/// A router of this host that reads its registry from a file. It keeps it if `keeps`.
fn router(host: &Host, keeps: bool) -> RouterBuilder<Host, ()> {
    let state = if keeps {
        "[state]\ndirectory = 'state'"
    } else {
        ""
    };
    let text = format!(
        "[[listener]]\nname = 'public'\nbind = '127.0.0.1:0'
        [[policy]]\nname = 'default'\nmode = 'disabled'\nallow_insecure = true
        insecure_identity = {{ tenant = 'acme' }}
        [registry]\nfile = '{REGISTRY}'\n{state}"
    );
    let settings = Config::load("cellway.toml", &text, []).unwrap().router;
    let Provider { crypto, time } = Provider::default();
    Router::builder(host.clone(), settings, crypto, time, ())
}

/// Catches: a registry that is read again after the check before the start, or parsed again. With a
/// million tenants that doubles the time and the memory of a start.
#[tokio::test]
async fn a_start_reads_and_parses_the_registry_once() {
    for keeps in [false, true] {
        let host = Host::new();
        host.disk.put(REGISTRY, registry(1));
        let handle = router(&host, keeps).start().await.unwrap();
        let registry = handle.snapshot().registry.clone();
        assert_eq!(registry.map(|it| it.version()), Some(1));
        assert_eq!(host.disk.reads(REGISTRY), 1, "keeps: {keeps}");
        // To write the last-known-good copy is heavy work too.
        assert!(keeps || host.heavy_works() == 1, "{}", host.heavy_works());
        handle.drain(Duration::ZERO).await;
    }
}
