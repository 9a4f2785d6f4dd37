//! Bodies that are longer than their route allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::Reason;

use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Answer, Arrived, Fact, Sent};

/// No cell gets more of a body than `body_bytes_max` of its route allows, nor a request that says that
/// its body is longer. Nobody is refused as `body_too_large` whose body isn't.
#[derive(Debug)]
pub struct BodyLimit {
    settings: SettingsInForce,
    /// Requests to routers, by tag, and when they were sent.
    sent: BTreeMap<String, (Duration, Arc<Sent>)>,
}

impl BodyLimit {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            sent: BTreeMap::new(),
        }
    }

    /// A cell got so many bytes of a body, or was told that they follow.
    fn came(&self, at: Duration, tag: Option<&String>, bytes: u64) -> Result<(), String> {
        let Some((since, sent)) = tag.and_then(|tag| self.sent.get(tag)) else {
            return Ok(());
        };
        let most = (self.settings).most(&sent.to, [*since, at], |it| it.body_max_of(&sent.client));
        if bytes <= most {
            return Ok(());
        }
        Err(format!(
            "{} lets through {bytes} bytes of the body of {}, although its route allows {most}",
            sent.to, sent.tag
        ))
    }

    fn refused(&self, at: Duration, tag: &String) -> Result<(), String> {
        let Some((since, sent)) = self.sent.get(tag) else {
            return Ok(());
        };
        let least =
            (self.settings).least(&sent.to, [*since, at], |it| it.body_max_of(&sent.client));
        match sent.body {
            Some(bytes) if bytes <= least => Err(format!(
                "{} refuses {tag} as body_too_large, although its body has {bytes} bytes and its route \
                 allows {least}",
                sent.to
            )),
            // It may have become too long.
            Some(_) | None => Ok(()),
        }
    }
}

/// The length that a request states.
fn stated(arrived: &Arrived) -> u64 {
    let length = arrived.header("content-length");
    length
        .and_then(|length| length.parse().ok())
        .unwrap_or_default()
}

impl Invariant for BodyLimit {
    fn name(&self) -> &'static str {
        "body_limit"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            // An Envoy forwards bodies by itself.
            Fact::Sent(sent) if sent.via.is_none() => {
                self.sent.insert(sent.tag.clone(), (at, sent.clone()));
                Ok(())
            }
            Fact::Arrived(arrived) => self.came(at, arrived.tag.as_ref(), stated(arrived)),
            Fact::BodyEnded(ended) => self.came(at, ended.tag.as_ref(), ended.bytes),
            Fact::Answered {
                tag,
                answer: Answer::Router(reason),
            } if reason == Reason::BodyTooLarge.as_str() => self.refused(at, tag),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
