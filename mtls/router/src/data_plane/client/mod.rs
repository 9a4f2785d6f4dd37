//! The client behind a connection, and whether its certificate is still valid.

use std::sync::Mutex;

use cellway_core::Unix;
use cellway_core::cert::PeerCertificate;
use rustls::pki_types::CertificateDer;

use crate::active_config::ActiveConfig;
use crate::lock::lock_uncontended;
use crate::tls::ChainRefused;

/// A client's certificate and its chain.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) certificate: PeerCertificate,
    /// The chain as the client sent it. It is verified again when bundles or lists change or lists
    /// become stale.
    chain: Vec<CertificateDer<'static>>,
    verification: LastVerification,
}

/// The last verification of the chain, if there was one.
#[derive(Debug, Default)]
struct LastVerification(Mutex<Option<Verification>>);

/// The result of the last verification. It is remembered until something changes that it depends
/// on. A refusal is remembered too, so that a refused client costs no more than an accepted one.
#[derive(Clone, Copy, Debug)]
struct Verification {
    /// The configuration that it was verified under.
    epoch: u64,
    /// When it was verified. The result doesn't count if the clock was set back since.
    from: Unix,
    /// When a list becomes stale or a certificate expires.
    until: Option<Unix>,
    result: Result<Unix, ChainRefused>,
}

impl Client {
    /// A client whose chain isn't verified yet.
    pub(crate) fn unverified(
        certificate: PeerCertificate,
        chain: Vec<CertificateDer<'static>>,
    ) -> Self {
        Self {
            certificate,
            chain,
            verification: LastVerification::default(),
        }
    }

    /// A client whose chain a handshake verified at `from`. The first certificate in the chain
    /// expires at `ends`.
    pub(crate) fn verified(
        certificate: PeerCertificate,
        chain: Vec<CertificateDer<'static>>,
        epoch: u64,
        [from, ends]: [Unix; 2],
        staling: Option<Unix>,
    ) -> Self {
        let verification = Verification::new(epoch, from, staling, Ok(ends));
        Self {
            certificate,
            chain,
            verification: LastVerification(Mutex::new(Some(verification))),
        }
    }

    /// When the first certificate in the chain expires. The connection is closed then.
    pub(crate) fn ends(&self) -> Unix {
        let leaf = self.certificate.not_after();
        let verification = *lock_uncontended(&self.verification.0);
        let end = verification.and_then(|verification| verification.result.ok());
        end.map_or(leaf, |end| end.min(leaf))
    }

    /// Checks that the chain is good now under this configuration. Calls `verify` only if something
    /// has changed since the last time: a reload, a list that became stale, a certificate that
    /// expired. `verify` returns when the first certificate expires.
    ///
    /// # Errors
    /// The error of `verify`, from now or from the last time.
    pub(crate) fn reverify(
        &self,
        active: &ActiveConfig,
        now: Unix,
        verify: impl FnOnce(&[CertificateDer<'static>]) -> Result<Unix, ChainRefused>,
    ) -> Result<(), ChainRefused> {
        let staling = active.next_staling(now);
        self.verification
            .reverify(active.epoch, staling, now, || verify(&self.chain))
    }
}

impl LastVerification {
    fn reverify(
        &self,
        epoch: u64,
        staling: Option<Unix>,
        now: Unix,
        verify: impl FnOnce() -> Result<Unix, ChainRefused>,
    ) -> Result<(), ChainRefused> {
        let mut last = lock_uncontended(&self.0);
        if let Some(verification) = *last
            && verification.holds(epoch, now)
        {
            return verification.result.map(drop);
        }
        let result = verify();
        *last = Some(Verification::new(epoch, now, staling, result));
        result.map(drop)
    }
}

impl Verification {
    fn new(
        epoch: u64,
        from: Unix,
        staling: Option<Unix>,
        result: Result<Unix, ChainRefused>,
    ) -> Self {
        let change = match result {
            Ok(ends) => Some(ends),
            // The certificate may become valid later, and checking that again costs no signature.
            Err(ChainRefused::Expired) => Some(from),
            Err(
                ChainRefused::Revoked
                | ChainRefused::RevocationUnknown
                | ChainRefused::UnknownIssuer
                | ChainRefused::Signer(_)
                | ChainRefused::Usage
                | ChainRefused::Untrusted,
            ) => None,
        };
        Self {
            epoch,
            from,
            until: change.into_iter().chain(staling).min(),
            result,
        }
    }

    fn holds(&self, epoch: u64, now: Unix) -> bool {
        self.epoch == epoch && self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests;
