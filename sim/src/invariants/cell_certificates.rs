//! No cell is used with an expired certificate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use crate::engine::EPOCH;
use crate::fact::Fact;

/// Nothing arrives at an endpoint that was started with an expired certificate and has got no new
/// one since. All its connections would have been made after the expiry. The same goes for an endpoint that
/// was started with the certificate of another cell.
///
/// A connection that was made earlier may continue. Routers' clocks are assumed to be right.
#[derive(Debug, Default)]
pub struct CellCertificates {
    /// Hosts whose connections are all newer than the expiry of their certificate.
    ended: BTreeMap<String, Duration>,
    /// Hosts whose every connection was made under the certificate of another cell.
    impostors: BTreeMap<String, String>,
}

impl Invariant for CellCertificates {
    fn name(&self) -> &'static str {
        "cell_certificates"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::CellCertificate {
                host,
                of,
                ends,
                anew,
            } => {
                self.ended.remove(host);
                self.impostors.remove(host);
                if let Some(of) = of.as_ref().filter(|_| *anew) {
                    self.impostors.insert(host.clone(), of.clone());
                }
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
                None => match self.impostors.get(&arrived.host) {
                    Some(of) => Err(format!(
                        "{} received {:?} with the certificate of {of}",
                        arrived.host, arrived.tag
                    )),
                    None => Ok(()),
                },
            },
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
