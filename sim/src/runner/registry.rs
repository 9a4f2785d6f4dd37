//! The registries of a scenario, checked by the real router's own reader.

use cellway_core::registry::Registry;

use crate::scenario::{FaultKind, Scenario};
use crate::world::documents::Documents;

/// Why a router would refuse the registry that a scenario starts with, or a later one that should be
/// good.
pub(super) fn refused(scenario: &Scenario) -> Option<String> {
    let mut documents = Documents::new(scenario, 0);
    let mut good = vec![("the world's registry".to_owned(), documents.present())];
    for fault in &scenario.faults {
        if let FaultKind::Publish(change) = &fault.kind {
            good.push((fault.kind.to_string(), documents.change(change)));
        }
    }
    let meant = good.iter().filter(|(_, document)| document.truth.is_some());
    meant
        .filter_map(|(what, document)| {
            let refused = Registry::from_json(&document.text).err()?;
            Some(format!("{what}: a router refuses it: {refused}"))
        })
        .next()
}
