use cellway_core::registry::{Parsed, RegistryFormat, RegistryLimits};

use super::*;

const DOCUMENT: &str = r#"{"version": 1, "cells": [
    {"id": "a", "tier": "std", "region": "eu", "state": "active", "endpoints": [{"url": "http://a:80"}]}
], "tenants": [{"id": "acme", "cell": "a"}]}"#;

fn read(document: &str) -> Registry {
    let limits = RegistryLimits::default();
    match Registry::parse(document.as_bytes(), RegistryFormat::Json, None, &limits) {
        Ok(Parsed::Changed(candidate)) => candidate.into_registry(),
        other => panic!("{other:?}"),
    }
}

/// Catches: a registry that is put in force for another document, in place of another registry, or
/// twice.
#[test]
fn only_the_first_document_is_known_and_only_if_it_is_the_same() {
    let other = DOCUMENT.replace("acme", "globex");
    let checked = || Checked::new(Some(read(DOCUMENT)));
    let known = checked();
    let candidate = known.candidate(DOCUMENT.as_bytes(), None);
    assert!(candidate.is_some_and(|it| it.registry().tenant("acme").is_some()));
    assert!(known.candidate(DOCUMENT.as_bytes(), None).is_none());
    let known = checked();
    assert!(known.candidate(other.as_bytes(), None).is_none());
    assert!(known.candidate(DOCUMENT.as_bytes(), None).is_none());
    let current = read(&other);
    assert!(
        checked()
            .candidate(DOCUMENT.as_bytes(), Some(&current))
            .is_none()
    );
    assert!(
        Checked::default()
            .candidate(DOCUMENT.as_bytes(), None)
            .is_none()
    );
}
