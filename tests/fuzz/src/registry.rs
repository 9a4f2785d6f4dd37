//! Registry documents.

use cellway_core::registry::{Parsed, Registry, RegistryFormat, RegistryLimits};
use serde_json::json;

/// A document that is taken is taken again, and then changes nothing. The first byte says whether
/// it is JSON or TOML.
pub(crate) fn run(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else {
        return;
    };
    let format = match kind {
        b't' => RegistryFormat::Toml,
        _ => RegistryFormat::Json,
    };
    let parse = |current: Option<&Registry>| {
        Registry::parse(body, format, current, &RegistryLimits::default())
    };
    let registry = match parse(None) {
        Ok(Parsed::Changed(candidate)) => candidate.into_registry(),
        Ok(Parsed::Unchanged(_)) => panic!("unchanged from nothing"),
        Err(_) => return,
    };
    let again = parse(Some(&registry)).expect("the same document");
    assert!(
        matches!(again, Parsed::Unchanged(_)),
        "the same document changes something"
    );
    for cell in registry.cells() {
        let found = registry
            .cell(cell.id.as_str())
            .expect("a cell is found by its id");
        assert_eq!(found.id, cell.id);
    }
    for placement in registry.placements() {
        let found = registry.placement(placement.id.as_str());
        assert!(found.is_some(), "a placement is found by its id");
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let cell = |id: &str, state: &str| {
        json!({"id": id, "tier": "std", "region": "eu", "state": state, "weight": 2,
            "endpoints": [{"url": format!("https://{id}.internal:443"),
                           "san": format!("spiffe://example/cell/{id}")}],
            "annotations": {"note": "x"}})
    };
    let small = json!({"version": 1, "cells": [cell("a", "active")],
        "tenants": [{"id": "acme", "cell": "a"}]});
    let rich = json!({"version": 7, "unknown_tenant": "by_tier",
        "cells": [cell("a", "active"), cell("b", "draining"), cell("c", "quarantined")],
        "placements": [
            {"id": "spread", "tier": "std", "cells": ["a", "b"], "stateless": true},
            {"id": "one", "tier": "std", "cells": ["a"], "fallback": "spread"}],
        "tenants": [
            {"id": "acme", "cell": "a", "issuer": "main"},
            {"id": "globex", "placement": "spread", "status": "suspended"}]});
    let older = json!({"data": [{"id": "a", "annotations": {"x": "y"}}]});
    let toml = "tversion = 1\n[[cells]]\nid = \"a\"\ntier = \"std\"\nregion = \"eu\"\n\
        state = \"active\"\nendpoints = [{ url = \"https://a.internal:443\" }]\n\
        [[tenants]]\nid = \"acme\"\ncell = \"a\"\n";
    let json = |document: serde_json::Value| format!("j{document}").into_bytes();
    vec![
        json(small),
        json(rich),
        json(older),
        toml.as_bytes().to_vec(),
    ]
}
