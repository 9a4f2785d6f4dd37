//! The query of a page: one parameter at most.

use cellway_core::Text;

/// The parameter that a page was asked with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Query<'a> {
    /// Its name. Empty if there is none.
    pub(super) name: &'a str,
    /// Its value, decoded.
    pub(super) value: Option<String>,
}

impl<'a> Query<'a> {
    /// Reads a query that has one of these parameters at most.
    ///
    /// # Errors
    /// What is wrong, in words for whoever asks.
    pub(super) fn read(query: Option<&'a str>, names: &[&str]) -> Result<Self, String> {
        let Some(query) = query else {
            let (name, value) = ("", None);
            return Ok(Self { name, value });
        };
        let found = query.split_once('=');
        let is_known = |(name, value): &(&str, &str)| names.contains(name) && !value.contains('&');
        let Some((name, value)) = found.filter(is_known) else {
            let example = names.first().unwrap_or(&"");
            let names = names.join(" or ");
            return Err(format!(
                "expected {names} as the only parameter, such as ?{example}=some-id"
            ));
        };
        // Three characters for each one that is percent-encoded.
        match Text::id(value) {
            Ok(value) => Ok(Self {
                name,
                value: Some(value.decode().into_owned()),
            }),
            Err(_) => Err(format!(
                "the value of {name} is empty, too long or not percent-encoded"
            )),
        }
    }
}
