//! Good tokens are accepted once routers have had time to fetch their keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Bounds, Invariant};
use crate::fact::{Answer, Fact, Sent};

/// A time in which an issuer's key must be known to every router.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownKey {
    /// The issuer's name.
    pub issuer: String,
    /// The key's name.
    pub key: String,
    /// From when on, since the start: a new key is fetched as soon as a token names it.
    pub from: Duration,
    /// Until when, if it is withdrawn.
    pub until: Option<Duration>,
}

/// A good token isn't refused for its key, or because keys are missing, while every router must know
/// the key.
///
/// A router fetches a new key when the first token names it. So until a router has accepted the key, a fault
/// between it and the issuer may keep it from knowing it, and the wait for the next fetch too.
#[derive(Debug)]
pub struct KeysTaken {
    known: Vec<KnownKey>,
    troubles: Vec<(String, Duration, Duration)>,
    /// Routers, and the issuers and keys of tokens that they have accepted.
    accepted: BTreeSet<(String, String, String)>,
    /// Requests that aren't answered, by tag.
    open: BTreeMap<String, (Duration, Arc<Sent>)>,
}

impl KeysTaken {
    /// With these keys.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            known: bounds.known_keys.clone(),
            troubles: bounds.key_troubles.clone(),
            accepted: BTreeSet::new(),
            open: BTreeMap::new(),
        }
    }
}

impl Invariant for KeysTaken {
    fn name(&self) -> &'static str {
        "keys_taken"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Sent(sent) if sent.good && sent.token.is_some() => {
                self.open.insert(sent.tag.clone(), (at, sent.clone()));
            }
            Fact::Answered { tag, answer } => {
                let Some((sent_at, sent)) = self.open.remove(tag) else {
                    return Ok(());
                };
                let for_its_key = matches!(answer, Answer::Router(reason)
                    if matches!(reason.as_str(), "no_matching_key" | "bad_signature" | "jwks_unreachable"));
                let Some(token) = sent.token.as_ref() else {
                    return Ok(());
                };
                let of = (sent.to.clone(), token.issuer.clone(), token.key.clone());
                if *answer == Answer::Ok {
                    self.accepted.insert(of);
                    return Ok(());
                }
                let mut troubles = self.troubles.iter();
                let in_trouble = troubles.any(|(issuer, from, until)| {
                    *issuer == token.issuer && *from <= at && sent_at <= *until
                });
                if !for_its_key || in_trouble && !self.accepted.contains(&of) {
                    return Ok(());
                }
                let mut known = self.known.iter();
                let known = known.any(|key| {
                    key.issuer == token.issuer
                        && key.key == token.key
                        && key.from <= sent_at
                        && key.until.is_none_or(|until| at < until)
                });
                if known {
                    return Err(format!(
                        "{tag} was answered {answer}, but {} must know the key {} of {}",
                        sent.to, token.key, token.issuer
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
