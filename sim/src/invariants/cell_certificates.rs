//! No cell is used with an expired certificate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use crate::engine::EPOCH;
use crate::fact::Fact;

/// Nothing arrives at an endpoint that was started with an expired certificate and has got no new
/// one since. All its connections would have been made after the expiry.
///
/// A connection that was made earlier may continue. Routers' clocks are assumed to be right.
#[derive(Debug, Default)]
pub struct CellCertificates {
    /// Hosts whose connections are all newer than the expiry of their certificate.
    ended: BTreeMap<String, Duration>,
}

impl Invariant for CellCertificates {
    fn name(&self) -> &'static str {
        "cell_certificates"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Certified { host, ends, anew } => {
                self.ended.remove(host);
                if let Some(ends) = ends.filter(|ends| *anew && EPOCH + at >= *ends) {
                    self.ended.insert(host.clone(), ends);
                }
                Ok(())
            }
            Fact::Arrived(arrived) => match self.ended.get(&arrived.host) {
                Some(ends) => Err(format!(
                    "{} received {:?} with a certificate that had ended {:?} after the start",
                    arrived.host,
                    arrived.tag,
                    ends.saturating_sub(EPOCH)
                )),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    /// The first of them at the epoch.
    fn fed(certified: &[(Option<u32>, bool)]) -> Result<(), String> {
        let certified = certified.iter().map(|(ends, anew)| Fact::Certified {
            host: "a-1".to_owned(),
            ends: ends.map(|ends| EPOCH + SECOND * ends),
            anew: *anew,
        });
        let facts: Vec<_> = certified.chain([arrived("a", "t", "r")]).collect();
        feed(&mut CellCertificates::default(), &facts)
    }

    #[test]
    fn notices_an_endpoint_that_started_with_an_ended_certificate() {
        assert!(fed(&[(Some(0), true)]).is_err());
        assert!(fed(&[(Some(1), true), (Some(1), true)]).is_err());
    }

    #[test]
    fn content_with_what_may_be_older_and_with_a_new_one() {
        assert_eq!(fed(&[(None, true)]), Ok(()));
        assert_eq!(fed(&[(Some(1), true)]), Ok(()));
        assert_eq!(fed(&[(Some(0), false)]), Ok(()));
        assert_eq!(fed(&[(Some(0), true), (None, false)]), Ok(()));
    }
}
