//! Envelopes are valid at the right cell only.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Arrived, Decided, EnvelopeChecked, Fact, Proved, Sent};

/// How long a cell may take to judge what has arrived: longer than it waits for keys.
const JUDGED_WITHIN: Duration = Duration::from_secs(5);

/// What a cell says of an envelope under a key that it hasn't got.
const NO_KEY: [&str; 2] = ["envelope_unknown_key", "envelope_no_keys"];

/// Where routers seal envelopes, every request that arrives as `verified` carries one that holds at
/// the very cell, for the caller that the router decided on and that the client really is; at every
/// other cell it wouldn't hold. What arrives otherwise has none.
///
/// A cell may refuse an envelope because it doesn't know the key if it lags: it says itself that it
/// couldn't fetch the published set for longer than that may be kept. Routers must get along with
/// any other.
#[derive(Debug)]
pub struct EnvelopeHolds {
    prefix: String,
    /// Whether routers seal envelopes.
    sealed: bool,
    settings: SettingsInForce,
    /// Keys that must no longer seal: from when on, and until when.
    replaced: Vec<(String, Duration, Option<Duration>)>,
    sent: BTreeMap<String, Sent>,
    decided: BTreeMap<String, Decided>,
    decided_at: BTreeMap<String, Duration>,
    /// By request id, what hasn't been checked yet: more than once what was sent again.
    waiting: BTreeMap<String, Vec<(Duration, Arrived)>>,
    /// When each endpoint of a cell last had the published keys.
    fetched: BTreeMap<String, Duration>,
}

impl EnvelopeHolds {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            prefix: bounds.header_prefix.clone(),
            sealed: bounds.envelopes,
            settings: bounds.settings.clone(),
            replaced: bounds.replaced_envelope_keys.clone(),
            sent: BTreeMap::new(),
            decided: BTreeMap::new(),
            decided_at: BTreeMap::new(),
            waiting: BTreeMap::new(),
            fetched: BTreeMap::new(),
        }
    }

    fn own<'a>(&self, arrived: &'a Arrived, name: &str) -> Option<&'a str> {
        arrived.header(&format!("{}{name}", self.prefix))
    }

    fn arrived(&mut self, at: Duration, arrived: &Arrived) {
        // What has no id has passed no router, which is for others to say.
        if let Some(id) = self.own(arrived, "request-id") {
            let waiting = self.waiting.entry(id.to_owned()).or_default();
            waiting.push((at, arrived.clone()));
        }
    }

    fn checked(&mut self, at: Duration, checked: &EnvelopeChecked) -> Result<(), String> {
        let host = &checked.host;
        let id = checked.request_id.as_deref().unwrap_or_default();
        let Some((_, arrived)) = self.waiting.get_mut(id).and_then(Vec::pop) else {
            return Err(format!("{host} checked a request that it hasn't received"));
        };
        let tag = arrived.tag.clone().unwrap_or_default();
        if let Some((cell, _)) = (checked.elsewhere.iter()).find(|(_, found)| found.is_ok()) {
            return Err(format!("the envelope of {tag} holds at {cell} too"));
        }
        if self.own(&arrived, "auth") != Some("verified") {
            return match &checked.found {
                Err(refused) if refused == "envelope_missing" => Ok(()),
                found => Err(format!(
                    "{tag} isn't verified, and has an envelope: {found:?}"
                )),
            };
        }
        let decided = self.decided_at.get(id).copied().unwrap_or_default();
        let mut replaced = self.replaced.iter();
        let old = replaced.find(|(kid, from, until)| {
            let is_over = until.is_some_and(|until| decided >= until);
            checked.kid.as_ref() == Some(kid) && decided > *from && !is_over
        });
        if let Some((kid, from, _)) = old {
            return Err(format!(
                "the envelope of {tag} is sealed under {kid}, whose place another key has taken by {from:?}"
            ));
        }
        match &checked.found {
            Ok(proved) => self.is_right(&tag, id, &arrived, proved),
            Err(refused) if NO_KEY.contains(&refused.as_str()) => {
                let fetched = self.fetched.get(host);
                let lags =
                    fetched.is_none_or(|fetched| at > *fetched + self.keys_max_age(*fetched));
                match lags {
                    true => Ok(()),
                    false => Err(format!(
                        "{host} refuses the envelope of {tag} ({refused}), and had the \
                         published keys at {fetched:?}"
                    )),
                }
            }
            Err(refused) => Err(format!("{host} refuses the envelope of {tag}: {refused}")),
        }
    }

    /// How long a cell may keep the keys that it fetched at this time, whichever router it asked.
    fn keys_max_age(&self, fetched: Duration) -> Duration {
        let settings = &self.settings;
        settings.least("", [fetched; 2], |it| it.envelope_keys_max_age)
    }

    /// Whether what an envelope proves is what the router decided, and true.
    fn is_right(
        &self,
        tag: &str,
        id: &str,
        arrived: &Arrived,
        proved: &Proved,
    ) -> Result<(), String> {
        let Some(decided) = self.decided.get(id) else {
            return Err(format!(
                "an envelope holds for {tag}, which no router decided"
            ));
        };
        let meant = self.sent.get(tag).map(|sent| &sent.tenant);
        if proved.tenant != decided.tenant || proved.tenant.as_ref() != meant {
            return Err(format!(
                "the envelope of {tag} is {:?}'s; the router decided on {:?}, and the client acts \
                 for {meant:?}",
                proved.tenant, decided.tenant
            ));
        }
        if proved.cell != arrived.cell || Some(&proved.cell) != decided.cell.as_ref() {
            return Err(format!(
                "the envelope of {tag} is for {}, the router decided on {:?}, and {} received it",
                proved.cell, decided.cell, arrived.cell
            ));
        }
        if Some(proved.placement_epoch) != decided.registry_version {
            return Err(format!(
                "the envelope of {tag} is of registry version {}, and it was decided on {:?}",
                proved.placement_epoch, decided.registry_version
            ));
        }
        Ok(())
    }
}

impl Invariant for EnvelopeHolds {
    fn name(&self) -> &'static str {
        "envelope_holds"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        if !self.sealed {
            return Ok(());
        }
        match fact {
            Fact::Sent(sent) => {
                self.sent.insert(sent.tag.clone(), sent.clone());
            }
            Fact::Decided(decided) => {
                let id = decided.request_id.clone();
                self.decided_at.insert(id.clone(), at);
                self.decided.insert(id, decided.clone());
            }
            Fact::Arrived(arrived) => self.arrived(at, arrived),
            Fact::EnvelopeChecked(checked) => return self.checked(at, checked),
            Fact::EnvelopeKeys {
                host,
                outcome: Ok(_),
            } => {
                self.fetched.insert(host.clone(), at);
            }
            // What a host was about to judge when it crashed it never will.
            Fact::FaultBegins(what) if what.starts_with("crash ") => self.waiting.clear(),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, at: Duration) -> Result<(), String> {
        let mut waiting = self.waiting.values().flatten();
        let forgotten = waiting.find(|(since, _)| *since + JUDGED_WITHIN < at);
        match (self.sealed, forgotten) {
            (true, Some((_, arrived))) => Err(format!(
                "{} never said what it makes of the envelope of {:?}",
                arrived.cell, arrived.tag
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
