//! Settings with the right name in the wrong table.

use serde::de::DeserializeOwned;

use super::brackets::header;
use super::probe;
use super::tree::{Step, Tree};

/// The most tables that a message names: of a name that more of them have, nothing can be said.
const TABLES_MAX: usize = 2;

/// Says where a setting belongs whose name the table at its place doesn't have. `None` if no table
/// has it, or too many do.
pub(super) fn elsewhere<T: DeserializeOwned>(steps: &[Step]) -> Option<String> {
    let Some((Step::Key(name), _)) = steps.split_last() else {
        return None;
    };
    let mut found = Found {
        name,
        settings: Vec::new(),
        tables: Vec::new(),
    };
    found.look::<T>(&[]);
    let (settings, tables) = (found.settings, found.tables);
    if !(1..=TABLES_MAX).contains(&(settings.len() + tables.len())) {
        return None;
    }
    let settings =
        (!settings.is_empty()).then(|| format!("it belongs in {}", settings.join(" or ")));
    let tables = (!tables.is_empty()).then(|| format!("write {}", tables.join(" or ")));
    let fixes: Vec<_> = settings.into_iter().chain(tables).collect();
    Some(fixes.join(", or "))
}

/// Where a name is known.
struct Found<'a> {
    name: &'a str,
    /// The headers of the tables that have a setting of this name.
    settings: Vec<String>,
    /// The headers of the tables of this name.
    tables: Vec<String>,
}

impl Found<'_> {
    /// Looks in the table at this place, and in all tables within it.
    fn look<T: DeserializeOwned>(&mut self, table: &[Step]) {
        for setting in probe::settings::<T>(&Tree::default(), table) {
            let is_it = setting == self.name;
            let mut inside = table.to_vec();
            inside.push(Step::Key(setting));
            match inner::<T>(inside) {
                Some(inner) => {
                    if is_it {
                        self.tables.push(brackets(&inner));
                    }
                    self.look::<T>(&inner);
                }
                None if is_it => self.settings.push(brackets(table)),
                None => {}
            }
        }
    }
}

/// The place of the settings within a setting: itself if it is a table, or its first entry if it is a
/// list of tables. `None` if it is neither.
fn inner<T: DeserializeOwned>(mut setting: Vec<Step>) -> Option<Vec<Step>> {
    let is_table = |steps: &[Step]| !probe::settings::<T>(&Tree::default(), steps).is_empty();
    if is_table(&setting) {
        return Some(setting);
    }
    setting.push(Step::Index(0));
    is_table(&setting).then_some(setting)
}

/// The header of a table: `[upstream]` or `[[traffic]]`.
fn brackets(table: &[Step]) -> String {
    match table.last() {
        None => "the file, above the first table".to_owned(),
        Some(Step::Key(_)) => format!("[{}]", header(table)),
        Some(Step::Index(_)) => format!("[[{}]]", header(table)),
    }
}
