//! Envelopes are valid at the right cell only.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Arrived, Decided, EnvelopeJudged, Fact, Proved, Sent};

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
    /// By request id, what hasn't been judged yet: more than once what was sent again.
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

    fn judged(&mut self, at: Duration, judged: &EnvelopeJudged) -> Result<(), String> {
        let host = &judged.host;
        let id = judged.request_id.as_deref().unwrap_or_default();
        let Some((_, arrived)) = self.waiting.get_mut(id).and_then(Vec::pop) else {
            return Err(format!("{host} judged a request that it hasn't received"));
        };
        let tag = arrived.tag.clone().unwrap_or_default();
        if let Some((cell, _)) = (judged.elsewhere.iter()).find(|(_, found)| found.is_ok()) {
            return Err(format!("the envelope of {tag} holds at {cell} too"));
        }
        if self.own(&arrived, "auth") != Some("verified") {
            return match &judged.found {
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
            judged.kid.as_ref() == Some(kid) && decided > *from && !is_over
        });
        if let Some((kid, from, _)) = old {
            return Err(format!(
                "the envelope of {tag} is sealed under {kid}, whose place another key has taken by {from:?}"
            ));
        }
        match &judged.found {
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
            Fact::EnvelopeJudged(judged) => return self.judged(at, judged),
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
mod tests {
    use super::super::Settings;
    use super::super::testing::*;
    use super::*;

    fn bounds(envelopes: bool) -> Bounds {
        Bounds {
            envelopes,
            replaced_envelope_keys: vec![("old".to_owned(), SECOND, Some(SECOND * 9))],
            ..with_settings(Settings {
                envelope_keys_max_age: SECOND * 10,
                ..Settings::default()
            })
        }
    }

    fn fed(facts: &[Fact]) -> Result<(), String> {
        feed(&mut EnvelopeHolds::new(&bounds(true)), facts)
    }

    fn judged() -> EnvelopeJudged {
        EnvelopeJudged {
            host: "a-1".to_owned(),
            request_id: Some("r".to_owned()),
            kid: Some("env-1".to_owned()),
            found: Ok(Proved {
                tenant: Some("acme".to_owned()),
                cell: "a".to_owned(),
                placement_epoch: 1,
            }),
            elsewhere: vec![("b".to_owned(), Err("envelope_other_cell".to_owned()))],
        }
    }

    /// A request that is decided and arrives at `a`, and what is made of its envelope.
    fn with(change: impl FnOnce(&mut EnvelopeJudged)) -> Vec<Fact> {
        let mut judged = judged();
        change(&mut judged);
        vec![
            keys(Ok(1)),
            sent("t", "acme"),
            allowed("r", "a", 1),
            arrived("a", "t", "r"),
            Fact::EnvelopeJudged(judged),
        ]
    }

    fn refused(reason: &str) -> Vec<Fact> {
        with(|judged| judged.found = Err(reason.to_owned()))
    }

    fn keys(outcome: Result<usize, String>) -> Fact {
        Fact::EnvelopeKeys {
            host: "a-1".to_owned(),
            outcome,
        }
    }

    fn proved(change: impl FnOnce(&mut Proved)) -> Vec<Fact> {
        with(|judged| {
            if let Ok(proved) = &mut judged.found {
                change(proved);
            }
        })
    }

    #[test]
    fn content_with_an_envelope_that_says_what_is_true() {
        assert_eq!(fed(&with(|_| ())), Ok(()));
    }

    #[test]
    fn notices_an_envelope_of_somebody_else() {
        let other = proved(|proved| proved.tenant = Some("globex".to_owned()));
        assert!(fed(&other).unwrap_err().contains("globex"));
        // The router was taken in: what it proves is what it decided, and not true.
        let mut facts = with(|_| ());
        facts[1] = sent("t", "globex");
        assert!(fed(&facts).unwrap_err().contains("acts for"));
        assert!(fed(&proved(|proved| proved.cell = "b".to_owned())).is_err());
        assert!(fed(&proved(|proved| proved.placement_epoch = 2)).is_err());
        let mut undecided = with(|_| ());
        undecided.remove(2);
        assert!(fed(&undecided).unwrap_err().contains("no router decided"));
    }

    #[test]
    fn notices_an_envelope_that_holds_elsewhere() {
        let facts = with(|judged| judged.elsewhere[0].1 = Ok(()));
        assert!(fed(&facts).unwrap_err().contains("holds at b too"));
    }

    #[test]
    fn notices_a_request_without_one_or_with_one_that_is_refused() {
        for reason in [
            "envelope_missing",
            "envelope_expired",
            "envelope_bad_signature",
        ] {
            assert!(fed(&refused(reason)).unwrap_err().contains(reason));
        }
    }

    #[test]
    fn notices_a_key_that_a_cell_had_no_time_to_learn() {
        for reason in NO_KEY {
            // Four seconds after the cell had the published keys, then more than ten.
            assert!(fed(&refused(reason)).unwrap_err().contains(reason));
            let mut late = refused(reason);
            let idle = std::iter::repeat_n(keys(Err("unreachable".to_owned())), 7);
            late.splice(1..1, idle);
            assert_eq!(fed(&late), Ok(()), "a cell that lags");
        }
        let mut never = refused(NO_KEY[1]);
        never[0] = keys(Err("unreachable".to_owned()));
        assert_eq!(fed(&never), Ok(()), "a cell that has just begun");
    }

    #[test]
    fn notices_an_envelope_that_nobody_is_proved_by() {
        let anonymous = |mut facts: Vec<Fact>| {
            facts[3] = with_header(facts[3].clone(), "x-cellway-auth", "anonymous");
            fed(&facts)
        };
        assert!(
            anonymous(with(|_| ()))
                .unwrap_err()
                .contains("isn't verified")
        );
        assert_eq!(anonymous(refused("envelope_missing")), Ok(()));
    }

    #[test]
    fn notices_a_cell_that_says_nothing() {
        let mut facts = with(|_| ());
        facts.pop();
        facts.extend(std::iter::repeat_n(keys(Ok(1)), 9));
        assert!(fed(&facts).unwrap_err().contains("never said"));
        facts.insert(4, Fact::FaultBegins("crash a".to_owned()));
        assert_eq!(fed(&facts), Ok(()), "it crashed");
        let judged = vec![Fact::EnvelopeJudged(judged())];
        assert!(fed(&judged).unwrap_err().contains("hasn't received"));
    }

    #[test]
    fn says_nothing_where_nobody_seals() {
        let mut without = EnvelopeHolds::new(&bounds(false));
        assert_eq!(feed(&mut without, &refused("envelope_missing")), Ok(()));
    }

    #[test]
    fn notices_a_key_whose_place_another_has_taken() {
        let old = with(|judged| judged.kid = Some("old".to_owned()));
        assert!(fed(&old).unwrap_err().contains("another key has taken"));
    }
}
