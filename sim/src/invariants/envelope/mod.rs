//! Envelopes are valid at the right cell only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Bounds, Invariant, SettingsInForce, shown};
use crate::engine::EPOCH;
use crate::fact::{Answer, Arrived, Decided, EnvelopeChecked, Fact, Proved, Sent};

/// By how much the clocks of routers and cells may differ. The cells' verifier has this leeway.
const LEEWAY: Duration = Duration::from_secs(5);

/// Why a cell refuses an envelope if it doesn't have the key.
const NO_KEY: [&str; 2] = ["envelope_unknown_key", "envelope_no_keys"];

/// If routers seal envelopes, every request that arrives as `verified` carries an envelope that is
/// valid at this cell and at no other. It names the tenant that the router decided for and that the
/// client really acts for. Other requests carry none.
///
/// A cell may refuse an envelope for an unknown key only if it has not been able to fetch the
/// published keys for longer than services may keep them. The cell reports this itself. A cell that
/// fetches them gets all that may have sealed an envelope that is still valid, and those that follow.
#[derive(Debug)]
pub struct EnvelopeHolds {
    prefix: String,
    /// Whether routers seal envelopes.
    sealed: bool,
    settings: SettingsInForce,
    /// Keys that must not seal between these times, because another key has replaced them.
    replaced: Vec<(String, Duration, Option<Duration>)>,
    /// Keys that routers must publish between these times.
    published: Vec<(String, Duration, Duration)>,
    sent: BTreeMap<String, Arc<Sent>>,
    decided: BTreeMap<String, Arc<Decided>>,
    decided_at: BTreeMap<String, Duration>,
    /// Arrivals whose envelope hasn't been checked yet, by request id. A retry arrives again. A router that
    /// gives up a request doesn't wait for the check.
    waiting: BTreeMap<String, Vec<Arrived>>,
    /// The requests of which a cell has checked an envelope.
    judged: BTreeSet<String>,
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
            published: bounds.published_envelope_keys.clone(),
            sent: BTreeMap::new(),
            decided: BTreeMap::new(),
            decided_at: BTreeMap::new(),
            waiting: BTreeMap::new(),
            judged: BTreeSet::new(),
            fetched: BTreeMap::new(),
        }
    }

    fn own<'a>(&self, arrived: &'a Arrived, name: &str) -> Option<&'a str> {
        arrived.header(&format!("{}{name}", self.prefix))
    }

    fn received(&mut self, arrived: &Arrived) {
        // A request without an id has passed no router: `assigned_cell` reports that.
        if let Some(id) = self.own(arrived, "request-id") {
            let waiting = self.waiting.entry(id.to_owned()).or_default();
            waiting.push(arrived.clone());
        }
    }

    fn checked(&mut self, at: Duration, checked: &EnvelopeChecked) -> Result<(), String> {
        let host = &checked.host;
        let id = checked.request_id.as_deref().unwrap_or_default();
        let Some(arrived) = self.waiting.get_mut(id).and_then(Vec::pop) else {
            return Err(format!(
                "{host} checked the envelope of a request that it hasn't received"
            ));
        };
        let tag = arrived.tag.clone().unwrap_or_default();
        self.judged.insert(tag.clone());
        if let Some((cell, _)) = (checked.elsewhere.iter()).find(|(_, found)| found.is_ok()) {
            return Err(format!(
                "the envelope of {tag} is valid at the cell {cell} too"
            ));
        }
        if self.own(&arrived, "auth") != Some("verified") {
            return match &checked.found {
                Err(refused) if refused == "envelope_missing" => Ok(()),
                found => Err(format!(
                    "{tag} arrived unverified, but with an envelope ({})",
                    found.as_ref().err().map_or("valid", String::as_str)
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
                "the envelope of {tag} is sealed with {kid}, which another key had replaced by {from:?}"
            ));
        }
        match &checked.found {
            Ok(proved) => {
                self.is_right(&tag, id, &arrived, proved)?;
                self.is_new(at, &tag, id, proved)
            }
            Err(refused) if NO_KEY.contains(&refused.as_str()) => {
                let fetched = self.fetched.get(host);
                let lags =
                    fetched.is_none_or(|fetched| at > *fetched + self.keys_max_age(*fetched));
                match lags {
                    true => Ok(()),
                    false => Err(format!(
                        "{host} refuses the envelope of {tag} ({refused}), but fetched the \
                         published keys at {}",
                        fetched.map_or_else(|| "no time".to_owned(), |at| format!("{at:?}"))
                    )),
                }
            }
            Err(refused) if self.is_clocks_fault(at, id, refused) => Ok(()),
            Err(refused) => Err(format!("{host} refuses the envelope of {tag}: {refused}")),
        }
    }

    /// Whether the router's clock was so wrong that a cell with the right time must refuse.
    fn is_clocks_fault(&self, at: Duration, id: &str, refused: &str) -> bool {
        let (Some(decided), Some(decided_at)) = (self.decided.get(id), self.decided_at.get(id))
        else {
            return false;
        };
        let (shown, real) = (decided.unix, EPOCH + *decided_at);
        let router = &decided.life.router;
        let lifetime =
            || (self.settings).least(router, [*decided_at, at], |it| it.envelope.lifetime);
        match refused {
            "envelope_not_yet_valid" => shown > real + LEEWAY,
            // Envelopes have whole seconds.
            "envelope_expired" => shown + lifetime() < EPOCH + at + Duration::from_secs(1),
            _ => false,
        }
    }

    /// A cell answers only what it has checked.
    fn answered(&self, tag: &str, answer: &Answer) -> Result<(), String> {
        let is_of_cell = match answer {
            Answer::Ok | Answer::Cell(_) | Answer::CellGrpc(_) => true,
            Answer::Router(_) | Answer::Refused | Answer::Closed(_) | Answer::None => false,
        };
        match is_of_cell && !self.judged.contains(tag) {
            true => Err(format!(
                "{tag} was answered {answer}, but no cell reported whether its envelope is valid"
            )),
            false => Ok(()),
        }
    }

    /// A crashed host never checks what it had received, and has no keys when it starts again.
    fn crashes(&mut self, name: &str) {
        self.waiting.clear();
        self.fetched.retain(|host, _| {
            let rest = host.strip_prefix(name);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        });
    }

    /// An endpoint has fetched so many keys.
    fn fetched(&mut self, at: Duration, host: &str, keys: usize) -> Result<(), String> {
        self.fetched.insert(host.to_owned(), at);
        let published = self.published.iter();
        let needed: Vec<_> = published
            .filter(|(_, from, until)| (*from..=*until).contains(&at))
            .map(|(kid, ..)| kid.as_str())
            .collect();
        match keys < needed.len() {
            true => Err(format!(
                "{host} has fetched {keys} envelope keys, but routers must publish {}",
                needed.join(", ")
            )),
            false => Ok(()),
        }
    }

    /// How long a cell may keep the keys that it fetched at this time, whichever router it asked.
    fn keys_max_age(&self, fetched: Duration) -> Duration {
        let settings = &self.settings;
        settings.least("", [fetched; 2], |it| it.envelope.keys_max_age)
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
                "{tag} has a valid envelope, but no router decided it"
            ));
        };
        let meant = self.sent.get(tag).map(|sent| &sent.tenant);
        if proved.tenant != decided.tenant || proved.tenant.as_ref() != meant {
            return Err(format!(
                "the envelope of {tag} names the tenant {}; the router decided for {}, and the \
                 client acts for {}",
                shown(proved.tenant.as_ref()),
                shown(decided.tenant.as_ref()),
                shown(meant)
            ));
        }
        if proved.cell != arrived.cell || Some(&proved.cell) != decided.cell.as_ref() {
            return Err(format!(
                "the envelope of {tag} is for the cell {}; the router chose {}, and {} received it",
                proved.cell,
                shown(decided.cell.as_ref()),
                arrived.cell
            ));
        }
        let header = |name: &str| {
            let name = format!("{}{name}", self.prefix);
            arrived.header(&name).unwrap_or_default()
        };
        let (subject, roles) = (proved.subject.as_deref(), proved.roles.join(","));
        if subject.unwrap_or_default() != header("sub") || roles != header("roles") {
            return Err(format!(
                "the envelope of {tag} names the user {} with the roles {roles:?}, but its \
                 headers {:?} and {:?}",
                shown(subject),
                header("sub"),
                header("roles")
            ));
        }
        if Some(proved.placement_epoch) != decided.registry_version {
            return Err(format!(
                "the envelope of {tag} names registry version {}, but the decision used {}",
                proved.placement_epoch,
                shown(decided.registry_version)
            ));
        }
        Ok(())
    }
}

impl EnvelopeHolds {
    /// Whether an envelope that is checked at this time expires in time, by the clock of its router.
    fn is_new(&self, at: Duration, tag: &str, id: &str, proved: &Proved) -> Result<(), String> {
        let (Some(decided), Some(decided_at)) = (self.decided.get(id), self.decided_at.get(id))
        else {
            return Ok(());
        };
        let router = &decided.life.router;
        let lifetime = (self.settings).most(router, [*decided_at, at], |it| it.envelope.lifetime);
        // It may have been sealed just before.
        let sealed_by = decided.unix + at.saturating_sub(*decided_at);
        match proved.expires > sealed_by + lifetime + Duration::from_secs(1) {
            true => Err(format!(
                "the envelope of {tag} expires {:?} after it was checked, but envelopes of {router} \
                 live {lifetime:?}",
                proved.expires.saturating_sub(sealed_by)
            )),
            false => Ok(()),
        }
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
            Fact::FailedOver(failed_over) => {
                if let Some(decided) = self.decided.get_mut(&failed_over.request_id) {
                    Arc::make_mut(decided).cell = Some(failed_over.cell.clone());
                }
            }
            Fact::Arrived(arrived) => self.received(arrived),
            Fact::Answered { tag, answer } => return self.answered(tag, answer),
            Fact::EnvelopeChecked(checked) => return self.checked(at, checked),
            Fact::EnvelopeKeys {
                host,
                outcome: Ok(keys),
            } => return self.fetched(at, host, *keys),
            Fact::FaultBegins(what) => {
                if let Some(name) = what.strip_prefix("crash ") {
                    self.crashes(name);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
