//! The requests that clients have sent to routers and that are not answered yet.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fact::Fact;

/// Requests by tag. Those that go through an Envoy are left out.
#[derive(Debug, Default)]
pub(super) struct OnTheWay(BTreeMap<String, ToRouter>);

/// A request to a router.
#[derive(Debug)]
pub(super) struct ToRouter {
    /// When it was sent.
    pub(super) sent: Duration,
    pub(super) router: String,
}

impl OnTheWay {
    /// Takes the next fact.
    pub(super) fn observe(&mut self, at: Duration, fact: &Fact) {
        match fact {
            Fact::Sent(sent) if sent.via.is_none() => {
                let router = sent.to.clone();
                self.0
                    .insert(sent.tag.clone(), ToRouter { sent: at, router });
            }
            Fact::Answered { tag, .. } => {
                self.0.remove(tag);
            }
            _ => {}
        }
    }

    /// The request with this tag.
    pub(super) fn get(&self, tag: &str) -> Option<&ToRouter> {
        self.0.get(tag)
    }
}
