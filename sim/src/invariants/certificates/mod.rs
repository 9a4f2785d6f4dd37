//! A connection doesn't outlive its client's certificate.

use std::time::Duration;

use super::Invariant;
use super::journal::Journal;
use crate::fact::Fact;

/// No request arrives that came over a connection whose client certificate had expired by the clock
/// of the router that decided it.
#[derive(Debug)]
pub struct CertificateLife {
    journal: Journal,
}

impl CertificateLife {
    /// With this prefix of the router's own headers.
    pub fn new(prefix: &str) -> Self {
        let journal = Journal::new(prefix);
        Self { journal }
    }
}

impl Invariant for CertificateLife {
    fn name(&self) -> &'static str {
        "certificate_life"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        let Some(passed) = self.journal.passed(at, fact) else {
            return Ok(());
        };
        match passed.certificate_expires {
            Some(expires) if passed.decided.unix >= expires => Err(format!(
                "{} forwarded {} from a connection whose client certificate had expired",
                passed.decided.life.router, passed.sent.tag
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
