//! The registry with other keys of cells.

use serde_json::Value;

/// The document with the made key sets in place of those in the cells' annotations. A cell without the
/// annotation stays without.
pub(crate) fn with_keys_of_cells(
    document: &mut Value,
    annotation: &str,
    mut published: impl FnMut(&str) -> String,
) {
    // The older form of the document has its cells in `data`.
    let cells = ["cells", "data"].map(|list| document.get(list).is_some().then_some(list));
    for list in cells.into_iter().flatten() {
        let cells = document.get_mut(list).and_then(Value::as_array_mut);
        for cell in cells.into_iter().flatten() {
            let Some(id) = cell.get("id").and_then(Value::as_str).map(str::to_owned) else {
                continue;
            };
            let keys = cell
                .get_mut("annotations")
                .and_then(|all| all.get_mut(annotation));
            if let Some(keys) = keys {
                *keys = published(&id).into();
            }
        }
    }
}
