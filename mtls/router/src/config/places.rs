//! Where each setting was written.

use std::collections::BTreeMap;

use super::error::Place;

/// The places of settings, by their full names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Places(BTreeMap<String, Place>);

impl Places {
    /// The place of a setting, or else of the table that holds it.
    pub(super) fn of(&self, setting: &str) -> Place {
        let mut name = setting;
        loop {
            if let Some(place) = self.0.get(name) {
                return place.clone();
            }
            match name.rfind(['.', '[']) {
                Some(end) => name = &name[..end],
                None => return Place::File,
            }
        }
    }

    pub(super) fn set(&mut self, setting: impl Into<String>, place: Place) {
        self.0.insert(setting.into(), place);
    }

    /// Sets the place of a setting that has none.
    pub(super) fn set_first(&mut self, setting: &str, place: &Place) {
        self.0
            .entry(setting.to_owned())
            .or_insert_with(|| place.clone());
    }

    /// Forgets everything inside of a setting.
    pub(super) fn clear_inside(&mut self, setting: &str) {
        let inside = |name: &str| {
            let rest = name.strip_prefix(setting);
            rest.is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        self.0.retain(|name, _| !inside(name));
    }

    /// Gives a setting and everything inside of it the places that it had under its old name.
    pub(super) fn follow(&mut self, old: &str, new: &str) {
        let within = |name: &String| name.strip_prefix(old).map(|rest| format!("{new}{rest}"));
        let moved = self.0.iter();
        let moved: Vec<_> = moved
            .filter_map(|(name, place)| Some((within(name)?, place.clone())))
            .collect();
        self.0.extend(moved);
    }
}
