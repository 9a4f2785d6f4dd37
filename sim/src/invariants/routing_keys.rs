//! A routing key counts only with a gateway or signature behind it, and reaches no cell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::in_force::{self, InForce};
use super::journal::{Journal, Passed};
use super::{Bounds, Invariant, Settings, SettingsInForce};
use crate::fact::{Behind, Fact};

/// What the header's name begins with, as a cell's framework might fold it.
const NAME: &str = "x-routing-key";

/// No field under the routing key's names, in any spelling, arrives at a cell; and a request that
/// shows a routing key passes only with a gateway or a signature behind it: by a key that its
/// router's configuration lists, and neither older nor further ahead than that allows, by the clock
/// of the router that decided it.
///
/// The configuration is what the world wrote to the router's disk, as for `anonymous_apart`.
#[derive(Debug)]
pub struct RoutingKeys {
    journal: Journal,
    settings: SettingsInForce,
    /// The kids that each router's configuration lists.
    routers: BTreeMap<String, InForce<BTreeSet<String>>>,
}

impl RoutingKeys {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            journal: Journal::new(&bounds.header_prefix),
            settings: bounds.settings.clone(),
            routers: BTreeMap::new(),
        }
    }
}

impl Invariant for RoutingKeys {
    fn name(&self) -> &'static str {
        "routing_keys"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Configured {
                router, signers, ..
            } => in_force::configured(
                &mut self.routers,
                router,
                signers.clone(),
                self.settings.read_by(router, at),
            ),
            Fact::Arrived(arrived) => {
                no_field(&arrived.cell, arrived.tag.as_ref(), &arrived.headers)?;
            }
            Fact::Trailers {
                cell,
                tag,
                trailers,
            } => no_field(cell, tag.as_ref(), trailers)?,
            _ => in_force::reloaded(&mut self.routers, at, fact),
        }
        let Some(passed) = self.journal.passed(at, fact) else {
            return Ok(());
        };
        match &passed.sent.routing_key {
            None | Some(Behind::Gateway) => Ok(()),
            Some(Behind::Nobody) => Err(format!(
                "{} passed, and nobody stands behind its routing key",
                passed.sent.tag
            )),
            Some(Behind::Signer { kid, time }) => {
                let router = &passed.decided.life.router;
                listed(self.routers.get(router), kid, &passed)?;
                let decided = [passed.decided_at; 2];
                let most = |setting: fn(&Settings) -> Duration| {
                    self.settings.most(router, decided, setting)
                };
                let times = [
                    most(|it| it.signature_max_age),
                    most(|it| it.signature_skew),
                ];
                in_time(*time, times, &passed)
            }
        }
    }
}

fn no_field(cell: &str, tag: Option<&String>, fields: &[(String, String)]) -> Result<(), String> {
    for (name, _) in fields {
        let folded: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        if folded.starts_with(NAME) {
            return Err(format!("{cell} received {name} of {tag:?}"));
        }
    }
    Ok(())
}

fn listed(
    known: Option<&InForce<BTreeSet<String>>>,
    kid: &str,
    passed: &Passed<'_>,
) -> Result<(), String> {
    let lists = |known: &InForce<BTreeSet<String>>| {
        let mut lists = known.at(passed.decided_at);
        lists.any(|kids| kids.contains(kid))
    };
    match known.is_some_and(lists) {
        true => Ok(()),
        false => Err(format!(
            "{} passed {} with a routing key signed by {kid}, which isn't listed there",
            passed.sent.tag, passed.decided.life.router
        )),
    }
}

/// Whole seconds, as the signature has them.
fn in_time(
    time: Duration,
    [max_age, skew]: [Duration; 2],
    passed: &Passed<'_>,
) -> Result<(), String> {
    let now = Duration::from_secs(passed.decided.unix.as_secs());
    let problem = if now > time + max_age {
        "that was too old"
    } else if time > now + skew {
        "of the future"
    } else {
        return Ok(());
    };
    Err(format!(
        "{} passed with a routing key's signature {problem}",
        passed.sent.tag
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::engine::EPOCH;
    use crate::fact::Sent;

    fn fed(facts: &[Fact]) -> Result<(), String> {
        let bounds = with_settings(Settings {
            reload_within: SECOND * 3,
            signature_max_age: SECOND * 60,
            signature_skew: SECOND * 5,
            ..Settings::default()
        });
        feed(&mut RoutingKeys::new(&bounds), facts)
    }

    fn configured(kids: &[&str]) -> Fact {
        Fact::Configured {
            router: "router-1".to_owned(),
            anonymous: None,
            cell_bound: crate::fact::CellBoundRules {
                enforced: true,
                once: false,
            },
            signers: kids.iter().map(|kid| (*kid).to_owned()).collect(),
            rules: None,
        }
    }

    fn showing(behind: Behind) -> Fact {
        match sent("t", "acme") {
            Fact::Sent(sent) => Fact::Sent(Sent {
                routing_key: Some(behind),
                ..sent
            }),
            other => other,
        }
    }

    fn signed(kid: &str, time: Duration) -> Fact {
        let kid = kid.to_owned();
        showing(Behind::Signer { kid, time })
    }

    #[test]
    fn content_with_gateways_and_listed_signers() {
        for shown in [showing(Behind::Gateway), signed("edge", EPOCH)] {
            let facts = [
                configured(&["edge"]),
                shown,
                allowed("r", "a", 1),
                arrived("a", "t", "r"),
            ];
            assert_eq!(fed(&facts), Ok(()));
        }
    }

    #[test]
    fn notices_a_spoofed_key_that_passes() {
        let facts = [
            configured(&["edge"]),
            showing(Behind::Nobody),
            allowed("r", "a", 1),
            arrived("a", "t", "r"),
        ];
        assert!(fed(&facts).unwrap_err().contains("nobody stands behind"));
    }

    #[test]
    fn notices_a_signer_that_was_taken_out() {
        let facts = |passes_after| {
            let mut facts = vec![
                configured(&["edge"]),
                signed("edge", EPOCH),
                configured(&["next"]),
            ];
            facts.extend((0..passes_after).map(|_| Fact::FaultBegins(String::new())));
            facts.extend([allowed("r", "a", 1), arrived("a", "t", "r")]);
            facts
        };
        assert_eq!(fed(&facts(2)), Ok(()), "the router may not have looked yet");
        assert!(fed(&facts(3)).unwrap_err().contains("isn't listed"));
    }

    #[test]
    fn notices_a_signature_out_of_its_time() {
        // `allowed` is decided when the router's clock shows the epoch.
        for (time, passes) in [
            (EPOCH - SECOND * 60, true),
            (EPOCH - SECOND * 61, false),
            (EPOCH + SECOND * 5, true),
            (EPOCH + SECOND * 6, false),
        ] {
            let facts = [
                configured(&["edge"]),
                signed("edge", time),
                allowed("r", "a", 1),
                arrived("a", "t", "r"),
            ];
            assert_eq!(fed(&facts).is_ok(), passes, "{time:?}");
        }
    }

    #[test]
    fn notices_its_names_at_a_cell() {
        for name in ["x-routing-key", "x_routing_key", "x-routing-key-signature"] {
            let fact = with_header(arrived("a", "t", "r"), name, "acme");
            assert!(fed(&[fact]).unwrap_err().contains(name));
            let trailers = Fact::Trailers {
                cell: "a".to_owned(),
                tag: None,
                trailers: vec![(name.to_owned(), "acme".to_owned())],
            };
            assert!(fed(&[trailers]).unwrap_err().contains(name));
        }
    }
}
