//! No cell is used with an expired certificate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Invariant, shown};
use crate::engine::EPOCH;
use crate::fact::Fact;

/// Nothing arrives at an endpoint that started with an expired certificate and has not got a new one
/// since, because all its connections were made after the expiry. The same is true for an endpoint
/// that started with the certificate of another cell.
///
/// A connection that was made earlier may continue. Routers' clocks are assumed to be right.
#[derive(Debug, Default)]
pub struct CellCertificates {
    /// Hosts that started after their certificate expired, and when it did.
    ended: BTreeMap<String, Duration>,
    /// Hosts that started with the certificate of another cell, and that cell.
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
                impersonates,
                expires,
                restarted,
            } => {
                self.ended.remove(host);
                self.impostors.remove(host);
                if let Some(of) = impersonates.as_ref().filter(|_| *restarted) {
                    self.impostors.insert(host.clone(), of.clone());
                }
                if let Some(expires) =
                    expires.filter(|expires| *restarted && EPOCH + at >= *expires)
                {
                    self.ended.insert(host.clone(), expires);
                }
                Ok(())
            }
            Fact::Arrived(arrived) => match self.ended.get(&arrived.host) {
                Some(expires) => Err(format!(
                    "{} received {}, but started with a certificate that had expired at {:?}",
                    arrived.host,
                    shown(arrived.tag.as_ref()),
                    expires.saturating_sub(EPOCH)
                )),
                None => match self.impostors.get(&arrived.host) {
                    Some(of) => Err(format!(
                        "{} received {}, but started with the certificate of the cell {of}",
                        arrived.host,
                        shown(arrived.tag.as_ref())
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
