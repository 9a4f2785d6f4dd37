//! A cell gets no more streams on a connection than it allows.

use std::collections::BTreeMap;
use std::time::Duration;

use cellway_testbed::{Excess, Unserved};

use super::{Bounds, Invariant};
use crate::fact::{Arrived, Fact};

/// A router opens no more streams on a connection to a cell than it knows that the cell allows: because it
/// has acknowledged that on this connection, or on another one to the same endpoint before. The cells count
/// the streams, and see the acknowledgments.
#[derive(Debug)]
pub struct StreamsKept {
    transit: Duration,
    /// The routers of requests that aren't answered yet, by tag.
    open: BTreeMap<String, String>,
    /// What a router has acknowledged on some connection to an endpoint, and since when.
    known: BTreeMap<(String, String), (u32, Duration)>,
}

impl StreamsKept {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            transit: bounds.transit_max,
            open: BTreeMap::new(),
            known: BTreeMap::new(),
        }
    }

    fn received(&mut self, at: Duration, arrived: &Arrived) {
        let router = arrived.tag.as_ref().and_then(|tag| self.open.get(tag));
        let (Some(router), Some(allowed)) = (router, arrived.streams_known) else {
            return;
        };
        let key = (router.clone(), arrived.host.clone());
        let known = self.known.entry(key).or_insert((allowed, at));
        if known.0 != allowed {
            *known = (allowed, at);
        }
    }

    fn refused(&self, at: Duration, host: &str, tag: &str, excess: Excess) -> Result<(), String> {
        let Excess { allowed, known } = excess;
        if known {
            return Err(format!(
                "{host} allows {allowed} streams on a connection, which its router has acknowledged there, \
                 but {tag} came on another one"
            ));
        }
        let router = self.open.get(tag).cloned().unwrap_or_default();
        // A connection that begins just now doesn't count.
        let known = self.known.get(&(router.clone(), host.to_owned()));
        match known {
            Some((known, since)) if *known <= allowed && *since + self.transit < at => {
                Err(format!(
                    "{host} allows {allowed} streams on a connection, which {router} knows from another one \
                     since {since:?}, but {tag} came on one more"
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Invariant for StreamsKept {
    fn name(&self) -> &'static str {
        "streams_kept"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::StreamsAllowed(host) => self.known.retain(|(_, of), _| of != host),
            Fact::Started(life) => self.known.retain(|(router, _), _| *router != life.router),
            Fact::Sent(sent) if sent.via.is_none() => {
                self.open.insert(sent.tag.clone(), sent.to.clone());
            }
            Fact::Arrived(it) => self.received(at, it),
            Fact::Unserved {
                host,
                tag: Some(tag),
                how: Unserved::TooManyStreams(excess),
                ..
            } => return self.refused(at, host, tag, *excess),
            Fact::Answered { tag, .. } => {
                self.open.remove(tag);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
