//! Header fields as the file has them.

use std::collections::BTreeMap;

use cellway_core::policy::OneOrMany;
use cellway_router::config::Tables;
use http::{HeaderName, HeaderValue};

/// The fields of a table of headers. A list is the same field several times.
pub(crate) fn fields(
    setting: &str,
    table: &BTreeMap<String, OneOrMany>,
    mistakes: &mut Tables,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields = Vec::new();
    for (name, values) in table {
        let setting = format!("{setting}.{name}");
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            let problem = format!("{name:?} can't be the name of a header");
            mistakes.mistake(&setting, problem, "use letters, digits and -");
            continue;
        };
        for value in values.as_slice() {
            let value = text(&setting, value, mistakes);
            fields.extend(value.map(|value| (name.clone(), value)));
        }
    }
    fields
}

/// The value of a field.
pub(crate) fn text(setting: &str, value: &str, mistakes: &mut Tables) -> Option<HeaderValue> {
    let made = HeaderValue::from_str(value).ok();
    if made.is_none() {
        let problem = "has bytes that a header can't hold, such as a line break";
        mistakes.mistake(setting, problem, "write one line");
    }
    made
}
