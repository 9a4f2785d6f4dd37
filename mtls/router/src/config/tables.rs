//! Other files of tables, with the same messages as the configuration has.

use serde::de::DeserializeOwned;

use super::error::{ConfigError, ConfigErrors};
use super::places::Places;
use super::shape::shape;
use super::tree::Tree;

/// The tables of a TOML file that isn't the configuration, and the mistakes in them.
#[derive(Debug)]
pub struct Tables {
    file: String,
    places: Places,
    mistakes: Vec<ConfigError>,
}

impl Tables {
    /// Reads `text`, the content of `file`, as a `T`. Then the caller checks what the values mean, notes
    /// each [`mistake`](Self::mistake), and calls [`check`](Self::check).
    ///
    /// # Errors
    /// Every mistake of syntax, and if there is none, of form: unknown settings, missing ones, wrong
    /// types.
    pub fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<(T, Self), ConfigErrors> {
        let mut mistakes = Vec::new();
        let mut tree = Tree::parse(text, &mut mistakes);
        let read = match mistakes.is_empty() {
            true => shape::<T>(&mut tree, &mut mistakes),
            false => None,
        };
        let file = file.to_owned();
        let places = tree.places;
        match read {
            Some(read) if mistakes.is_empty() => Ok((
                read,
                Self {
                    file,
                    places,
                    mistakes,
                },
            )),
            _ => Err(ConfigErrors::new(&file, mistakes)),
        }
    }

    /// Notes a mistake in the value of a setting, such as `caller[0].token.issuer`.
    pub fn mistake(&mut self, setting: &str, problem: impl Into<String>, fix: impl Into<String>) {
        self.mistakes.push(ConfigError {
            place: self.places.of(setting),
            setting: setting.to_owned(),
            problem: problem.into(),
            fix: fix.into(),
        });
    }

    /// Fails if a mistake was noted.
    ///
    /// # Errors
    /// Every mistake that was noted.
    pub fn check(&self) -> Result<(), ConfigErrors> {
        match self.mistakes.is_empty() {
            true => Ok(()),
            false => Err(ConfigErrors::new(&self.file, self.mistakes.clone())),
        }
    }
}
