//! The configuration as a tree of values, with the place where each was written.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::error::{ConfigError, Place};
use super::places::Places;
use super::units;

/// The settings of a file and of the environment, merged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) root: Table,
    pub(super) places: Places,
    /// The exact text of environment variables that were parsed as TOML but may turn out to be
    /// strings.
    raw: BTreeMap<String, String>,
    /// Numbers outside of their type, and what replaced each.
    replaced: BTreeMap<String, i64>,
}

/// One step from a table or list to one of its entries.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Step {
    Index(usize),
    Key(String),
}

impl Tree {
    /// Reads TOML. All syntax errors are found at once, and what could be read is returned.
    pub(crate) fn parse(text: &str, errors: &mut Vec<ConfigError>) -> Self {
        let (table, mistakes) = DeTable::parse_recoverable(text);
        let lines = Lines::new(text);
        errors.extend(mistakes.iter().map(|mistake| {
            let line = mistake.span().map(|span| lines.of(&span));
            let written = line.and_then(|line| text.lines().nth(line - 1));
            let (problem, fix) = syntax(mistake.message(), written.unwrap_or_default());
            ConfigError {
                place: line.map_or(Place::File, Place::Line),
                setting: String::new(),
                problem,
                fix,
            }
        }));
        let mut tree = Self::default();
        tree.root = tree.table("", table.get_ref(), &lines, errors);
        tree
    }

    fn table(
        &mut self,
        path: &str,
        table: &DeTable<'_>,
        lines: &Lines,
        errors: &mut Vec<ConfigError>,
    ) -> Table {
        let mut out = Table::new();
        for (key, value) in table {
            let path = join(path, key.get_ref());
            // A table that exists only because a deeper header names it has no place of its own.
            self.places.set(&*path, Place::Line(lines.of(&key.span())));
            let value = self.value(&path, value.get_ref(), lines, errors);
            out.insert(key.get_ref().to_string(), value);
        }
        out
    }

    fn value(
        &mut self,
        path: &str,
        value: &DeValue<'_>,
        lines: &Lines,
        errors: &mut Vec<ConfigError>,
    ) -> Value {
        match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(flag) => Value::Boolean(*flag),
            DeValue::Datetime(time) => Value::Datetime(*time),
            DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Integer(integer) => {
                match i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Ok(integer) => Value::Integer(integer),
                    Err(_) => {
                        errors.push(ConfigError {
                            place: self.place(path),
                            setting: path.to_owned(),
                            problem: format!("the number {integer} is too large"),
                            fix: String::new(),
                        });
                        Value::Integer(1)
                    }
                }
            }
            DeValue::Array(items) => {
                let mut out = Vec::new();
                for (i, item) in items.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    self.places.set(&*path, Place::Line(lines.of(&item.span())));
                    out.push(self.value(&path, item.get_ref(), lines, errors));
                }
                Value::Array(out)
            }
            DeValue::Table(table) => Value::Table(self.table(path, table, lines, errors)),
        }
    }

    /// Where a setting was written, or else where the table that holds it was.
    pub(crate) fn place(&self, setting: &str) -> Place {
        self.places.of(setting)
    }

    /// Sets the value of an environment variable. `raw` is its exact text.
    pub(crate) fn set(
        &mut self,
        steps: &[Step],
        variable: &str,
        raw: &str,
        value: Value,
    ) -> Result<(), String> {
        let mut path = String::new();
        let is_table = value.is_table();
        let mut root = Value::Table(std::mem::take(&mut self.root));
        let result = set_in(&mut root, steps, &mut path, value);
        if let Value::Table(table) = root {
            self.root = table;
        }
        result?;
        let place = Place::Variable(variable.to_owned());
        // What the value replaced was written elsewhere.
        self.places.clear_inside(&path);
        // A mistake in one word of a list is reported for the list.
        if let (Some((Step::Index(_), list)), false) = (steps.split_last(), is_table) {
            self.places.set(name_of(list), place.clone());
        }
        let mut so_far = String::new();
        for step in steps {
            so_far = step.join(&so_far);
            self.places.set_first(&so_far, &place);
        }
        self.places.set(&*path, place);
        self.raw.insert(path, raw.to_owned());
        Ok(())
    }

    /// Removes and returns the exact text of a setting that came from the environment.
    pub(crate) fn take_raw(&mut self, setting: &str) -> Option<String> {
        self.raw.remove(setting)
    }

    /// Sets a value. Does nothing if the tables above it don't exist.
    pub(crate) fn put(&mut self, steps: &[Step], value: Value) {
        let Some((Step::Key(last), parents)) = steps.split_last() else {
            return;
        };
        if let Some(table) = self.table_at(parents) {
            table.insert(last.clone(), value);
        }
    }

    /// Sets the value of a setting or of an entry of a list, and makes the tables and lists above it.
    /// Does nothing if another value is in the place of one of them.
    pub(crate) fn replace(&mut self, steps: &[Step], value: Value) {
        let mut root = Value::Table(std::mem::take(&mut self.root));
        // A value in the way stays as it is.
        let _ = set_in(&mut root, steps, &mut String::new(), value);
        if let Value::Table(root) = root {
            self.root = root;
        }
    }

    /// Replaces a number that doesn't fit in the type of its setting by one that does.
    pub(crate) fn replace_number(&mut self, steps: &[Step], number: i64) {
        self.replace(steps, Value::Integer(number));
        self.replaced.insert(name_of(steps), number);
    }

    /// The setting, or the entry of this list, whose number was replaced by one that `problem` is
    /// about.
    pub(crate) fn replaced_in(&self, setting: &str, problem: &str) -> Option<&str> {
        let mut replaced = self.replaced.iter();
        let found = replaced.find(|(name, number)| {
            let entry = name.strip_prefix(setting);
            entry.is_some_and(|entry| entry.is_empty() || entry.starts_with('['))
                && problem.contains(&number.to_string())
        });
        found.map(|(name, _)| name.as_str())
    }

    /// Removes a setting; `false` if there was none.
    pub(crate) fn remove(&mut self, steps: &[Step]) -> bool {
        let Some((Step::Key(last), parents)) = steps.split_last() else {
            return false;
        };
        self.table_at(parents)
            .is_some_and(|table| table.remove(last).is_some())
    }

    /// Gives a setting another name in its table; `false` if that name is taken.
    pub(crate) fn rename(&mut self, steps: &[Step], name: &str) -> bool {
        let Some((Step::Key(last), parents)) = steps.split_last() else {
            return false;
        };
        let (last, parents) = (last.clone(), parents.to_vec());
        let Some(table) = self.table_at(&parents) else {
            return false;
        };
        if table.contains_key(name) {
            return false;
        }
        let Some(value) = table.remove(&last) else {
            return false;
        };
        table.insert(name.to_owned(), value);
        // Later messages about it still name its original place.
        let (old, new) = (name_of(steps), join(&name_of(&parents), name));
        self.places.follow(&old, &new);
        true
    }

    /// Makes a table the only entry of a list.
    pub(crate) fn wrap(&mut self, steps: &[Step]) {
        let Some(value) = self.value_at(steps) else {
            return;
        };
        let table = std::mem::replace(value, Value::Boolean(false));
        *value = Value::Array(vec![table]);
        let name = name_of(steps);
        self.places.follow(&name, &format!("{name}[0]"));
    }

    /// Puts the first entry of a list in the list's place.
    pub(crate) fn unwrap(&mut self, steps: &[Step]) {
        let Some(Value::Array(list)) = self.value_at(steps) else {
            return;
        };
        if list.is_empty() {
            return;
        }
        let first = list.swap_remove(0);
        self.put(steps, first);
        let name = name_of(steps);
        self.places.follow(&format!("{name}[0]"), &name);
    }

    /// The setting's value, if it is a string.
    pub(crate) fn text(&self, setting: &str) -> Option<&str> {
        let mut at: Option<&Value> = None;
        for part in setting.split('.') {
            let (name, indexes) = part.split_once('[').unwrap_or((part, ""));
            at = match at {
                None => self.root.get(name),
                Some(value) => value.get(name),
            };
            for index in indexes.split('[').filter(|index| !index.is_empty()) {
                let index: usize = index.trim_end_matches(']').parse().ok()?;
                at = at?.get(index);
            }
        }
        at?.as_str()
    }

    fn table_at(&mut self, steps: &[Step]) -> Option<&mut Table> {
        match steps {
            [] => Some(&mut self.root),
            steps => self.value_at(steps)?.as_table_mut(),
        }
    }

    /// The value of a setting.
    pub(crate) fn value_at(&mut self, steps: &[Step]) -> Option<&mut Value> {
        let (first, rest) = steps.split_first()?;
        let Step::Key(first) = first else { return None };
        let mut at = self.root.get_mut(first)?;
        for step in rest {
            at = match step {
                Step::Key(key) => at.as_table_mut()?.get_mut(key)?,
                Step::Index(index) => at.as_array_mut()?.get_mut(*index)?,
            };
        }
        Some(at)
    }
}

impl Step {
    /// The path with this step's name appended.
    pub(crate) fn join(&self, path: &str) -> String {
        match self {
            Self::Index(index) => format!("{path}[{index}]"),
            Self::Key(key) => join(path, key),
        }
    }
}

/// The full name of a setting.
pub(crate) fn name_of(steps: &[Step]) -> String {
    steps
        .iter()
        .fold(String::new(), |path, step| step.join(&path))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Walks down the path, creates missing tables and list entries, and sets the value.
fn set_in(at: &mut Value, steps: &[Step], path: &mut String, value: Value) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        *at = value;
        return Ok(());
    };
    let fresh = || match rest.first() {
        Some(Step::Index(_)) => Value::Array(Vec::new()),
        Some(Step::Key(_)) | None => Value::Table(Table::new()),
    };
    let next = match (step, at) {
        (Step::Key(key), Value::Table(table)) => table.entry(key.clone()).or_insert_with(fresh),
        (Step::Index(index), Value::Array(list)) => {
            if *index > list.len() {
                return Err(format!(
                    "`{path}` has {} entries, so the next one is number {}, not {index}",
                    list.len(),
                    list.len()
                ));
            }
            if *index == list.len() {
                list.push(fresh());
            }
            &mut list[*index]
        }
        (Step::Key(_), Value::Array(_)) => {
            return Err(format!(
                "`{path}` is a list: name the entry by its number, from 0"
            ));
        }
        (_, other) => {
            return Err(format!(
                "`{path}` is a {}, which holds no settings of its own",
                other.type_str()
            ));
        }
    };
    *path = step.join(path);
    set_in(next, rest, path, value)
}

/// What is wrong with a line that isn't TOML, and what to do.
fn syntax(message: &str, line: &str) -> (String, String) {
    if let Some((name, value)) = assigned(line) {
        let problem = format!("not valid TOML: {name} = {value}");
        let advice = units::advice(name, Some(value));
        if let Some(advice) = advice.filter(|_| value.parse::<u64>().is_err()) {
            return (problem, format!("write {advice}"));
        }
        if is_unquoted(value) {
            return (problem, format!("text needs quotes: {name} = \"{value}\""));
        }
    }
    let fix = match header(line) {
        Some(name) if message.contains("duplicate key") => {
            format!("join the two tables; or, if there may be several, write each as [[{name}]]")
        }
        _ => String::new(),
    };
    (format!("not valid TOML: {message}"), fix)
}

/// The name in a line such as `[upstream]`.
fn header(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix('[')?.split(']').next()?;
    (!name.is_empty() && !name.starts_with('[')).then_some(name.trim())
}

/// Where the lines of a text start.
struct Lines(Vec<usize>);

/// The longest value that a message repeats, in bytes.
const SHOWN_MAX: usize = 120;

/// The name and the value of a line such as `issuer = idp`, if the value isn't too long to repeat.
fn assigned(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.split(" #").next()?.trim());
    let has_syntax = value.contains(['"', '\'', '[', ']', '{', '}', '=', '\\']);
    (!has_syntax && value.len() <= SHOWN_MAX).then_some((name, value))
}

/// Whether a value is text that lacks its quotes.
fn is_unquoted(value: &str) -> bool {
    let is_text = value.starts_with(|c: char| c.is_ascii_alphabetic() || "/.".contains(c))
        || value.contains(['/', ':']);
    is_text && !["true", "false", "inf", "nan"].contains(&value)
}

impl Lines {
    fn new(text: &str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(newlines.map(|(at, _)| at).collect())
    }

    /// The line, from 1, on which a span starts.
    fn of(&self, span: &Range<usize>) -> usize {
        self.0.partition_point(|newline| *newline < span.start) + 1
    }
}
