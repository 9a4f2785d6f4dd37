//! What can be taken away from a scenario.

use toml::{Table, Value};

use super::list;

/// A kind of cut. A scenario has a number of places where it can be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cut {
    /// Elements of the list at this path, with everything that names them.
    Elements(&'static [&'static str]),
    /// Settings of the routers.
    Settings,
    /// Fields of clients, hosts and tenants that have a default.
    Fields,
    /// A number becomes 1.
    Numbers,
    /// The end of the run.
    Time,
    /// The length of a fault.
    Lengths,
}

impl Cut {
    /// All cuts. First those that take away most of what a run must do.
    pub(super) const ALL: [Self; 15] = [
        Self::Elements(&["fault"]),
        Self::Elements(&["workload", "client"]),
        Self::Elements(&["world", "tenant"]),
        Self::Elements(&["world", "placement"]),
        Self::Elements(&["world", "envoy"]),
        Self::Elements(&["world", "balancer"]),
        Self::Elements(&["world", "cell"]),
        Self::Elements(&["world", "issuer"]),
        Self::Settings,
        Self::Numbers,
        Self::Fields,
        Self::Time,
        Self::Lengths,
        Self::Elements(&["expect", "answers"]),
        Self::Elements(&["expect", "errors"]),
    ];

    /// In how many places it can be made.
    pub(super) fn places(self, scenario: &Table) -> usize {
        match self {
            Self::Elements(path) => list(scenario, path).map_or(0, Vec::len),
            Self::Settings => leaves(scenario, &["router"]).len(),
            Self::Fields => fields(scenario).len(),
            Self::Numbers => numbers(scenario).len(),
            Self::Time => 1,
            Self::Lengths => list(scenario, &["fault"]).map_or(0, Vec::len),
        }
    }

    /// The scenario after so many cuts from this place on. `None` if nothing would change.
    pub(super) fn without(self, scenario: &Table, from: usize, count: usize) -> Option<Table> {
        let mut smaller = scenario.clone();
        let cut = from..from.saturating_add(count);
        match self {
            Self::Elements(path) => {
                let elements = list(scenario, path)?;
                let gone = elements.get(from..cut.end.min(elements.len()))?;
                let names: Vec<_> = gone.iter().filter_map(name).collect();
                let kept = (elements.iter().enumerate()).filter(|(at, _)| !cut.contains(at));
                let kept = kept.map(|(_, element)| element.clone()).collect();
                put(&mut smaller, path, Value::Array(kept));
                for name in names {
                    forget(&mut smaller, &name);
                }
            }
            Self::Settings => remove(&mut smaller, &leaves(scenario, &["router"]), &cut),
            Self::Fields => remove(&mut smaller, &fields(scenario), &cut),
            Self::Numbers => {
                for path in in_range(&numbers(scenario), &cut) {
                    if let Some(value) = at(&mut smaller, path) {
                        *value = Value::Integer(1);
                    }
                }
            }
            Self::Time => {
                let ms = millis(scenario.get("duration")?)?;
                // Whole seconds are easier to read.
                let shorter = ms * 3 / 4;
                let second = if shorter < 1_000 { 1 } else { 1_000 };
                smaller.insert("duration".to_owned(), text(shorter / second * second));
            }
            Self::Lengths => {
                let faults = smaller.get_mut("fault")?.as_array_mut()?;
                let end = cut.end.min(faults.len());
                for fault in faults.get_mut(from..end)? {
                    let lasts = fault.get_mut("for")?;
                    *lasts = text(millis(lasts)? / 2);
                }
            }
        }
        (smaller != *scenario).then_some(smaller)
    }
}

/// A step to a value inside a scenario.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

type Path = Vec<Step>;

/// Fields that are never cut: without them it would not be the same client, host or tenant.
const KEPT: [&str; 9] = [
    "name",
    "id",
    "kind",
    "tenant",
    "cell",
    "placement",
    "rate",
    "tier",
    "credential",
];

/// The settings under this table, the outer ones first.
fn leaves(scenario: &Table, table: &[&str]) -> Vec<Path> {
    let mut found = Vec::new();
    let start: Path = table
        .iter()
        .map(|key| Step::Key((*key).to_owned()))
        .collect();
    if let Some(value) = get(scenario, &start) {
        walk(value, &start, &mut |path, _| found.push(path.clone()));
    }
    found.sort_by_key(Vec::len);
    found
}

/// The fields of `[world]` and of clients that aren't needed to tell what they are.
fn fields(scenario: &Table) -> Vec<Path> {
    let mut found = Vec::new();
    for table in ["world", "workload"] {
        let start = vec![Step::Key(table.to_owned())];
        let Some(value) = get(scenario, &start) else {
            continue;
        };
        walk(value, &start, &mut |path, value| {
            if let Some(Step::Key(key)) = path.last()
                && !KEPT.contains(&key.as_str())
                && !is_tables(value)
            {
                found.push(path.clone());
            }
        });
    }
    found
}

/// Numbers of hosts and clients above 1.
fn numbers(scenario: &Table) -> Vec<Path> {
    let mut found = fields(scenario);
    found.retain(|path| matches!(get(scenario, path), Some(Value::Integer(2..))));
    found
}

fn is_tables(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|list| list.iter().any(Value::is_table))
}

/// Calls `see` with everything below a value.
fn walk(value: &Value, path: &Path, see: &mut impl FnMut(&Path, &Value)) {
    let mut below = |step: Step, value: &Value| {
        let path: Path = path.iter().cloned().chain([step]).collect();
        see(&path, value);
        walk(value, &path, see);
    };
    if let Value::Table(table) = value {
        for (key, value) in table {
            below(Step::Key(key.clone()), value);
        }
    } else if let Value::Array(list) = value
        && is_tables(value)
    {
        for (at, value) in list.iter().enumerate() {
            below(Step::Index(at), value);
        }
    }
}

fn get<'a>(scenario: &'a Table, path: &[Step]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let Step::Key(first) = first else {
        return None;
    };
    rest.iter()
        .try_fold(scenario.get(first)?, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(at) => value.get(*at),
        })
}

fn at<'a>(scenario: &'a mut Table, path: &[Step]) -> Option<&'a mut Value> {
    let (first, rest) = path.split_first()?;
    let Step::Key(first) = first else {
        return None;
    };
    rest.iter()
        .try_fold(scenario.get_mut(first)?, |value, step| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Index(at) => value.get_mut(*at),
        })
}

fn in_range<'a>(paths: &'a [Path], cut: &std::ops::Range<usize>) -> &'a [Path] {
    paths
        .get(cut.start..cut.end.min(paths.len()))
        .unwrap_or_default()
}

/// Removes these values. From the last to the first, so that places in lists stay the same.
fn remove(scenario: &mut Table, paths: &[Path], cut: &std::ops::Range<usize>) {
    for path in in_range(paths, cut).iter().rev() {
        let Some((last, within)) = path.split_last() else {
            continue;
        };
        match (at(scenario, within), last) {
            (Some(Value::Table(table)), Step::Key(key)) => drop(table.remove(key)),
            (Some(Value::Array(list)), Step::Index(at)) if *at < list.len() => {
                list.remove(*at);
            }
            _ => {}
        }
    }
}

/// Sets the list at this path. Without elements it is removed.
fn put(scenario: &mut Table, path: &[&str], list: Value) {
    let path: Path = path
        .iter()
        .map(|key| Step::Key((*key).to_owned()))
        .collect();
    let is_empty = list.as_array().is_some_and(Vec::is_empty);
    if let Some(value) = at(scenario, &path) {
        *value = list;
    }
    if is_empty {
        remove(scenario, &[path], &(0..1));
    }
}

/// The name of a client or host, or the id of a tenant, cell or placement.
fn name(element: &Value) -> Option<String> {
    let name = element.get("name").or_else(|| element.get("id"))?;
    name.as_str().map(str::to_owned)
}

/// Takes away everything that names something that is gone: elements of lists, fields, and names in
/// lists of names.
fn forget(table: &mut Table, gone: &str) {
    let is_gone = |value: &Value| value.as_str().is_some_and(|text| names(text, gone));
    table.retain(|key, value| key == "about" || !is_gone(value));
    for (_, value) in table.iter_mut() {
        if let Value::Table(table) = value {
            forget(table, gone);
        } else if let Value::Array(list) = value {
            list.retain(|value| !is_gone(value));
            list.retain(|value| value.as_table().is_none_or(|table| !has(table, gone)));
            let tables = list.iter_mut().filter_map(Value::as_table_mut);
            tables.for_each(|table| forget(table, gone));
        }
    }
}

/// Whether a fault, a client or a tenant is about something that is gone.
fn has(table: &Table, gone: &str) -> bool {
    table.iter().any(|(key, value)| {
        let text = |value: &Value| value.as_str().is_some_and(|text| names(text, gone));
        if let Value::Array(list) = value {
            return key == "between" && list.iter().any(text);
        }
        // Without these it may still do.
        let can_go = ["fallback", "issuer", "router", "via", "through"];
        text(value) && !can_go.contains(&&**key)
    })
}

/// Whether a text is this name, or one of its hosts, such as `iron-2` of the cell `iron`.
fn names(text: &str, name: &str) -> bool {
    let rest = text
        .strip_prefix(name)
        .or_else(|| text.strip_prefix("idp-")?.strip_prefix(name));
    rest.is_some_and(|rest| {
        rest.is_empty()
            || rest
                .strip_prefix('-')
                .is_some_and(|n| n.parse::<u32>().is_ok())
    })
}

/// A time of a scenario in milliseconds.
fn millis(value: &Value) -> Option<u64> {
    let text = value.as_str()?;
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * unit)
}

fn text(ms: u64) -> Value {
    Value::String(match ms % 1_000 {
        0 => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    })
}
