//! The client that a handshake proved, and whether its certificate is still valid.

use std::sync::Mutex;

use cellway_core::Unix;
use cellway_core::cert::PeerCertificate;
use rustls::pki_types::CertificateDer;

use crate::active_config::ActiveConfig;
use crate::lock::lock_uncontended;
use crate::tls::ChainRefused;

/// A client's certificate and the chain behind it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) certificate: PeerCertificate,
    /// As it came, to be verified again when bundles, lists or their age change.
    chain: Vec<CertificateDer<'static>>,
    verification: LastVerification,
}

/// What became of the chain, if anybody looked.
#[derive(Debug, Default)]
struct LastVerification(Mutex<Option<Verification>>);

/// What became of the chain when it was last verified. It is remembered while nothing changes that
/// it hangs on, whether good or bad: a client that is refused costs no more than one that isn't.
#[derive(Clone, Copy, Debug)]
struct Verification {
    /// The settings that it was judged by.
    epoch: u64,
    /// When. A clock that was set back since makes it void.
    from: Unix,
    /// When a list becomes stale or a certificate ends.
    until: Option<Unix>,
    result: Result<Unix, ChainRefused>,
}

impl Client {
    /// A client whose chain nobody has looked at yet.
    pub(crate) fn unproven(
        certificate: PeerCertificate,
        chain: Vec<CertificateDer<'static>>,
    ) -> Self {
        Self {
            certificate,
            chain,
            verification: LastVerification::default(),
        }
    }

    /// A client whose chain a handshake found good `from` this moment on, until the first
    /// certificate of it `ends`.
    pub(crate) fn proven(
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

    /// When the first certificate of the chain ends, and with it the connection.
    pub(crate) fn ends(&self) -> Unix {
        let leaf = self.certificate.not_after();
        let verification = *lock_uncontended(&self.verification.0);
        let end = verification.and_then(|verification| verification.result.ok());
        end.map_or(leaf, |end| end.min(leaf))
    }

    /// Whether the chain is good by these settings, now. `verify` is asked once for each change of
    /// what that hangs on: a reload, a list that becomes stale, an end. It says when the first
    /// certificate ends.
    ///
    /// # Errors
    /// What `verify` says, or said.
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
            // It may come into force, and it costs no signature to see that it hasn't.
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
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Asks with these settings at each of these moments; lists become stale at 100 and at 200. Says
    /// at which moments the chain was verified.
    fn verified(asked: &[(u64, u64)], result: Result<u64, ChainRefused>) -> Vec<u64> {
        let (last, seen) = (LastVerification::default(), Cell::new(Vec::new()));
        let result = result.map(Unix::from_secs);
        for (epoch, secs) in asked {
            let now = Unix::from_secs(*secs);
            let staling = [100, 200].map(Unix::from_secs);
            let next = staling.into_iter().find(|staling| now < *staling);
            let verify = || {
                let mut all = seen.take();
                all.push(*secs);
                seen.set(all);
                result
            };
            assert_eq!(last.reverify(*epoch, next, now, verify), result.map(drop));
        }
        seen.into_inner()
    }

    #[test]
    fn a_chain_is_verified_once_for_each_change() {
        let asked = [(1, 10), (1, 11), (1, 99), (2, 99), (2, 99)];
        assert_eq!(verified(&asked, Ok(1_000)), [10, 99], "a reload");
        let stale = [(1, 99), (1, 100), (1, 101), (1, 199), (1, 200), (1, 900)];
        assert_eq!(verified(&stale, Ok(1_000)), [99, 100, 200]);
        let refused = Err(ChainRefused::RevocationUnknown);
        assert_eq!(
            verified(&stale, refused),
            [99, 100, 200],
            "and no more often"
        );
    }

    #[test]
    fn no_verdict_outlives_the_first_certificate_or_a_clock_that_was_set_back() {
        let asked = [(1, 10), (1, 49), (1, 50), (1, 51)];
        assert_eq!(verified(&asked, Ok(50)), [10, 50, 51]);
        assert_eq!(verified(&[(1, 30), (1, 29), (1, 30)], Ok(50)), [30, 29]);
        let expired = Err(ChainRefused::Expired);
        assert_eq!(verified(&[(1, 30), (1, 30)], expired), [30, 30]);
    }
}
