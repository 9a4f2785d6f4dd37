//! A connection doesn't outlive its client's certificate.

use std::time::Duration;

use super::{Invariant, Passed};

/// No request arrives that came over a connection whose client certificate had expired by the clock
/// of the router that decided it.
#[derive(Debug)]
pub struct CertificateLife;

impl Invariant for CertificateLife {
    fn name(&self) -> &'static str {
        "certificate_life"
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
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
