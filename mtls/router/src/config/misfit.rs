//! What serde doesn't accept in a tree of values.

use cellway_core::words::quoted;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::tree::Step;

/// The first setting that serde doesn't accept, and what it says.
pub(super) struct Misfit {
    pub(super) steps: Vec<Step>,
    pub(super) message: String,
}

/// Reads a table as a `T`.
pub(super) fn read<T: DeserializeOwned>(root: &Table) -> Result<T, Misfit> {
    let value = Value::Table(root.clone());
    serde_path_to_error::deserialize::<_, T>(value).map_err(|error| {
        let message = error.inner().message().to_owned();
        let missing = quoted(&message, "missing field ");
        let field = missing.or(quoted(&message, "unknown field "));
        let steps = steps(error.path(), field);
        Misfit { steps, message }
    })
}

/// The setting at this path, or the one in it that has this name.
fn steps(path: &serde_path_to_error::Path, field: Option<&str>) -> Vec<Step> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    let mut steps: Vec<_> = path.iter().filter_map(step).collect();
    let field = field.map(|field| Step::Key(field.to_owned()));
    // An unknown field is in the path already, a missing one isn't.
    if let Some(field) = field
        && steps.last() != Some(&field)
    {
        steps.push(field);
    }
    steps
}
