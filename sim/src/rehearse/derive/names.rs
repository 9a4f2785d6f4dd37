//! Names in a scenario, which are host names and SANs, for names of the user.

use std::collections::{BTreeMap, BTreeSet};

/// The longest name in a scenario is 40; hosts get a number.
const NAME_MAX: usize = 32;

/// Gives every name of the user another one that a scenario may have, and no two the same.
#[derive(Debug, Default)]
pub(super) struct Names {
    given: BTreeMap<(&'static str, String), String>,
    used: BTreeSet<String>,
}

impl Names {
    /// The name of this thing. `what` distinguishes a cell from a tenant with the same name.
    pub(super) fn of(&mut self, what: &'static str, name: &str) -> String {
        let key = (what, name.to_owned());
        if let Some(given) = self.given.get(&key) {
            return given.clone();
        }
        let given = self.free(what, &slug(name));
        self.given.insert(key, given.clone());
        given
    }

    fn free(&mut self, what: &str, slug: &str) -> String {
        let good = !slug.is_empty() && slug.len() <= NAME_MAX;
        let first = match good {
            true => slug.to_owned(),
            false => what.to_owned(),
        };
        let numbered = (2..).map(|n| format!("{what}-{first}-{n}"));
        let mut all = [first.clone(), format!("{what}-{first}")]
            .into_iter()
            .chain(numbered);
        let free = all.find(|name| !self.clashes(name)).unwrap_or(first);
        self.used.insert(free.clone());
        free
    }

    /// Whether a host of something else may have this name, or something else a host with it.
    fn clashes(&self, name: &str) -> bool {
        let numbered = |of: &str, name: &str| {
            let rest = name
                .strip_prefix(of)
                .and_then(|rest| rest.strip_prefix('-'));
            rest.is_some_and(|rest| rest.parse::<u32>().is_ok())
        };
        let reserved = ["router-", "idp-", "control-plane"];
        reserved.iter().any(|reserved| name.starts_with(reserved))
            || self
                .used
                .iter()
                .any(|used| used == name || numbered(used, name) || numbered(name, used))
    }
}

fn slug(name: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    };
    let text: String = name.chars().map(plain).collect();
    text.trim_matches('-').to_owned()
}
