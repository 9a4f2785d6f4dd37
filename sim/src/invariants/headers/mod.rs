//! Nothing that a client wrote into an identity header reaches a cell.

use std::time::Duration;

use super::{Invariant, shown};
use crate::fact::Fact;

/// A part of the value of every header that the simulator's clients forge.
pub const FORGED: &str = "forged-by-client";

/// The value of the forged header in every answer of the simulator's cells. Its name has the router's
/// prefix.
pub const FORGED_BY_CELL: &str = "forged-by-cell";

/// A header's name as a cell's framework may read it: many fold all but letters and digits.
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
}

/// Whether a cell's framework may read a header's name as one that begins with `prefix`.
pub(super) fn may_begin_with(prefix: &str, name: &str) -> bool {
    let mut folded = folded(name);
    prefix.chars().all(|c| folded.next() == Some(c))
}

/// No header or trailer with a value that a client made up arrives at a cell. Neither does one with a
/// name that a cell could mistake for one of the router's.
#[derive(Debug)]
pub struct NoForgedHeaders {
    prefix: String,
}

impl NoForgedHeaders {
    /// With this prefix of the router's own headers.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    fn check(
        &self,
        cell: &str,
        tag: Option<&String>,
        fields: &[(String, String)],
    ) -> Result<(), String> {
        for (name, value) in fields {
            if value.contains(FORGED) {
                return Err(format!(
                    "{cell} received {name}: {value}, which the client of {} made up",
                    shown(tag)
                ));
            }
            if may_begin_with(&self.prefix, name) && !folded(name).eq(name.chars()) {
                let similar: String = folded(name).collect();
                return Err(format!(
                    "{cell} received the header {name}, which software may read as {similar}"
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for NoForgedHeaders {
    fn name(&self) -> &'static str {
        "no_forged_headers"
    }

    fn observe(&mut self, _: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::AnswerForged { tag, header } => Err(format!(
                "the answer to {tag} has the header {header}, which its cell made up; the router must remove it"
            )),
            Fact::Arrived(arrived) => {
                self.check(&arrived.cell, arrived.tag.as_ref(), &arrived.headers)
            }
            Fact::BodyEnded(ended) => self.check(&ended.cell, ended.tag.as_ref(), &ended.trailers),
            _ => Ok(()),
        }
    }
}

/// No bearer token arrives at a cell, because a cell could use it to act as the client.
#[derive(Debug)]
pub struct CredentialsStay;

impl Invariant for CredentialsStay {
    fn name(&self) -> &'static str {
        "credentials_stay"
    }

    fn observe(&mut self, _: Duration, fact: &Fact) -> Result<(), String> {
        let (cell, tag, fields) = match fact {
            Fact::Arrived(arrived) => (&arrived.cell, &arrived.tag, &arrived.headers),
            Fact::BodyEnded(ended) => (&ended.cell, &ended.tag, &ended.trailers),
            _ => return Ok(()),
        };
        let is_credential = |(name, value): &&(String, String)| {
            name == "authorization" || value.starts_with("Bearer ")
        };
        match fields.iter().find(is_credential) {
            Some((name, _)) => Err(format!(
                "{cell} received the credentials of {} in the header {name}",
                shown(tag.as_ref())
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
