use super::*;

fn registry() -> Registry {
    let cell = r#"{"id": "a", "tier": "std", "region": "eu", "state": "provisioning"}"#;
    Registry::from_json(&format!(r#"{{"version": 3, "cells": [{cell}]}}"#)).unwrap()
}

/// Catches: whichever asks first throws the registry of the other away, and a million tenants are read
/// again.
#[test]
fn each_takes_only_its_own() {
    let mut kept = Checked::Kept(Box::new(registry()));
    assert!(kept.take_fetched().is_none());
    assert_eq!(kept.take_kept().unwrap().version(), 3);
    assert!(kept.take_kept().is_none(), "it is used once");

    let mut fetched = Checked::Fetched(Box::new(Fetched {
        registry: registry(),
        body: Bytes::new(),
        validator: "v".into(),
    }));
    assert!(fetched.take_kept().is_none());
    assert_eq!(fetched.take_fetched().unwrap().registry.version(), 3);
    assert!(fetched.take_fetched().is_none(), "it is used once");
}
