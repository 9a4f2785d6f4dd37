//! Remembers the chains that were verified, so that a client that connects again costs no signature
//! check but its own.
//!
//! The signatures on a chain don't change, and to verify them takes more than a quarter of a handshake.
//! What may change with time bounds how long a result counts: no certificate expires and no revocation
//! list becomes stale meanwhile. A reload makes a new verifier, which remembers nothing.
//!
//! Only chains that were accepted are remembered, so a client without a trusted certificate can't fill
//! the table. The key is a SHA-256 of the whole chain.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{Context, SHA256};
use cellway_core::Unix;
use rustls::pki_types::CertificateDer;

/// The most chains that are remembered. A chain whose place is taken replaces the other one.
const CHAINS_MAX: usize = 4096;

/// The digest of a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ChainDigest([u8; 32]);

impl ChainDigest {
    pub(super) fn of(leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Self {
        let mut digest = Context::new(&SHA256);
        for certificate in [leaf].into_iter().chain(rest) {
            // Each length comes first, so that no other split into certificates has the same digest.
            digest.update(&(certificate.len() as u64).to_be_bytes());
            digest.update(certificate);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.finish().as_ref());
        Self(bytes)
    }

    /// Its place in the table.
    fn place(&self) -> usize {
        let [first, second, ..] = self.0;
        usize::from(u16::from_be_bytes([first, second])) % CHAINS_MAX
    }
}

/// A chain that was verified.
struct Verified {
    chain: ChainDigest,
    /// When it was verified. The result doesn't count if the clock was set back since.
    from: Unix,
    /// Until when the result counts.
    until: Unix,
    /// When the first certificate in it expires.
    ends: Unix,
}

/// The chains that one verifier has accepted. Reading and writing takes no lock.
pub(super) struct VerifiedChains(Box<[ArcSwapOption<Verified>]>);

impl Default for VerifiedChains {
    fn default() -> Self {
        Self((0..CHAINS_MAX).map(|_| ArcSwapOption::empty()).collect())
    }
}

impl fmt::Debug for VerifiedChains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifiedChains").finish_non_exhaustive()
    }
}

impl VerifiedChains {
    /// When the first certificate of the chain expires, if the chain was verified and nothing that
    /// counts has changed by `now`.
    pub(super) fn get(&self, chain: &ChainDigest, now: Unix) -> Option<Unix> {
        let place = self.0[chain.place()].load();
        let verified = place.as_ref()?;
        let holds = verified.chain == *chain && verified.from <= now && now < verified.until;
        holds.then_some(verified.ends)
    }

    /// Notes that the chain was verified at `now`, that its first certificate expires at `ends`, and
    /// that the next revocation list becomes stale at `staling`.
    pub(super) fn put(&self, chain: ChainDigest, now: Unix, ends: Unix, staling: Option<Unix>) {
        self.0[chain.place()].store(Some(Arc::new(Verified {
            chain,
            from: now,
            until: staling.map_or(ends, |staling| staling.min(ends)),
            ends,
        })));
    }
}

#[cfg(test)]
mod tests;
