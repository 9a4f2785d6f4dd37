//! An Envoy forwards only what its router allows, and as the router would have forwarded it.

use std::collections::BTreeMap;
use std::time::Duration;

use cellway_testbed::Heard;

use super::Invariant;
use super::journal::{Journal, Passed};
use crate::fact::Fact;

/// A request that was sent through an Envoy arrives only if the Envoy was given leave for it, at the
/// cell that was named and under the router's own name for it, which the router has really decided
/// so; and with the same identity as the router stamps on requests of the same tenant, by the same
/// registry version, that it forwards itself.
#[derive(Debug)]
pub struct EnvoyObeys {
    prefix: String,
    journal: Journal,
    /// By tag: the router's name for the request, and the cell.
    leave: BTreeMap<String, (String, String)>,
    /// What routers stamp, by tenant and registry version.
    stamped: BTreeMap<(String, Option<u64>), Stamps>,
}

/// Headers of the router's own, but for those that differ with each request and user.
type Stamps = BTreeMap<String, String>;

impl EnvoyObeys {
    /// With this prefix of the router's own headers.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            journal: Journal::new(prefix),
            leave: BTreeMap::new(),
            stamped: BTreeMap::new(),
        }
    }
}

impl Invariant for EnvoyObeys {
    fn name(&self) -> &'static str {
        "envoy_obeys"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        if let Fact::Heard {
            tag: Some(tag),
            heard: Heard::Leave { request_id, cell },
        } = fact
        {
            let leave = (request_id.clone(), cell.clone());
            self.leave.insert(tag.clone(), leave);
        }
        if let Fact::Arrived(arrived) = fact
            && self.journal.is_via(arrived.tag.as_deref())
        {
            let leave = arrived.tag.as_ref().and_then(|tag| self.leave.get(tag));
            let id = arrived.header(&format!("{}request-id", self.prefix));
            let as_told = leave.is_some_and(|(request_id, cell)| {
                Some(request_id.as_str()) == id && *cell == arrived.cell
            });
            if !as_told {
                let Some(tag) = &arrived.tag else {
                    return Ok(());
                };
                return Err(format!("{tag} arrived at {} without leave", arrived.cell));
            }
        }
        let Some(passed) = self.journal.passed(at, fact) else {
            return Ok(());
        };
        // What a token says is compared; a certificate says other things.
        if passed.sent.token.is_none() || passed.sent.cell_bound.is_some() {
            return Ok(());
        }
        judge(&self.prefix, &mut self.stamped, &passed)
    }
}

fn judge(
    prefix: &str,
    stamped: &mut BTreeMap<(String, Option<u64>), Stamps>,
    passed: &Passed<'_>,
) -> Result<(), String> {
    let key = (passed.sent.tenant.clone(), passed.decided.registry_version);
    let stamps = stamps(prefix, passed);
    if passed.sent.via.is_none() {
        stamped.entry(key).or_insert(stamps);
        return Ok(());
    }
    let tag = &passed.sent.tag;
    if passed.decided.cell.as_ref() != Some(&passed.arrived.cell) {
        return Err(format!("{tag} arrived where no router has decided it"));
    }
    let sub = passed.arrived.header(&format!("{prefix}sub"));
    if sub != Some(&passed.sent.client) {
        return Err(format!("{tag} arrived with sub {sub:?}"));
    }
    match stamped.get(&key) {
        Some(proxied) if *proxied != stamps => Err(format!(
            "{tag} arrived with {stamps:?} through an Envoy, and others with {proxied:?}"
        )),
        Some(_) | None => Ok(()),
    }
}

fn stamps(prefix: &str, passed: &Passed<'_>) -> Stamps {
    const DIFFER: [&str; 2] = ["request-id", "sub"];
    let own = passed.arrived.headers.iter();
    own.filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)))
        .filter(|(name, _)| !DIFFER.contains(name))
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::fact::Token;

    fn token() -> Token {
        Token {
            issuer: "main".to_owned(),
            key: "key-1".to_owned(),
            from: crate::engine::EPOCH,
            ends: crate::engine::EPOCH + SECOND * 3600,
        }
    }

    fn goes(tag: &str, via: Option<&str>) -> Fact {
        let Fact::Sent(mut sent) = sent(tag, "acme") else {
            panic!("not what was sent");
        };
        sent.via = via.map(str::to_owned);
        sent.token = Some(token());
        Fact::Sent(sent)
    }

    fn heard(tag: &str, heard: Heard) -> Fact {
        Fact::Heard {
            tag: Some(tag.to_owned()),
            heard,
        }
    }

    fn leave(tag: &str, cell: &str) -> Fact {
        let leave = Heard::Leave {
            request_id: tag.to_owned(),
            cell: cell.to_owned(),
        };
        heard(tag, leave)
    }

    fn comes(tag: &str, cell: &str) -> Fact {
        with_header(arrived(cell, tag, tag), "x-cellway-sub", "client")
    }

    fn fed(facts: &[Fact]) -> Result<(), String> {
        feed(&mut EnvoyObeys::new("x-cellway-"), facts)
    }

    fn asked(tag: &str, then: &[Fact]) -> Result<(), String> {
        let mut facts = vec![goes(tag, Some("envoy")), allowed(tag, "a", 1)];
        facts.extend_from_slice(then);
        fed(&facts)
    }

    #[test]
    fn content_with_leave() {
        assert_eq!(asked("t", &[leave("t", "a"), comes("t", "a")]), Ok(()));
    }

    #[test]
    fn notices_an_arrival_without_leave() {
        assert!(asked("t", &[comes("t", "a")]).is_err());
        for other in [Heard::Denial, Heard::Nothing] {
            assert!(asked("t", &[heard("t", other), comes("t", "a")]).is_err());
        }
        assert!(asked("t", &[leave("u", "a"), comes("t", "a")]).is_err());
    }

    #[test]
    fn notices_another_cell_and_another_name() {
        assert!(asked("t", &[leave("t", "b"), comes("t", "a")]).is_err());
        assert!(asked("t", &[leave("t", "b"), comes("t", "b")]).is_err());
        let renamed = with_header(comes("t", "a"), "x-cellway-request-id", "u");
        assert!(asked("t", &[leave("t", "a"), renamed]).is_err());
        let nobody = with_header(comes("t", "a"), "x-cellway-sub", "somebody");
        assert!(asked("t", &[leave("t", "a"), nobody]).is_err());
    }

    #[test]
    fn notices_another_identity_than_a_router_stamps() {
        let proxied = [goes("p", None), allowed("p", "a", 1), comes("p", "a")];
        let through = |arrival: Fact| {
            let mut facts = proxied.to_vec();
            facts.extend([
                goes("t", Some("envoy")),
                allowed("t", "a", 1),
                leave("t", "a"),
                arrival,
            ]);
            fed(&facts)
        };
        assert_eq!(through(comes("t", "a")), Ok(()));
        let more = with_header(comes("t", "a"), "x-cellway-roles", "admin");
        assert!(through(more).is_err());
        let less = with_header(comes("t", "a"), "x-cellway-auth", "insecure");
        assert!(through(less).is_err());
    }
}
