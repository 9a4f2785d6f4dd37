//! TLS with all its randomness from the seed.
//!
//! rustls takes randomness from its provider in two places: `secure_random` (nonces, session ids) and
//! the key exchange groups, for which aws-lc-rs uses its own generator. Both are replaced here; this
//! X25519 is given its secret. Signatures must not be random either, so certificates and tokens of a
//! simulation use only Ed25519.
//!
//! Only the source of randomness is replaced. Cipher suites, signature checks and the handshake are
//! the same as in production.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ::aws_lc_rs::agreement::{PrivateKey, PublicKey, UnparsedPublicKey, X25519, agree};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret,
    SupportedKxGroup, aws_lc_rs,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved};

use crate::random::Random;

/// A provider for one incarnation of a host, based on aws-lc-rs.
///
/// rustls requires `'static` sources of randomness, so each call leaks two small objects. There is one
/// call for each start of a host, and the scenario bounds their number.
pub(crate) fn provider(random: Random) -> Arc<CryptoProvider> {
    let source: &'static Source = Box::leak(Box::new(Source(Mutex::new(random))));
    let group: &'static SeededX25519 = Box::leak(Box::new(SeededX25519(source)));
    Arc::new(CryptoProvider {
        secure_random: source,
        kx_groups: vec![group],
        ..aws_lc_rs::default_provider()
    })
}

/// An Ed25519 private key in PKCS#8 (RFC 8410, section 7), made from 32 bytes.
pub fn ed25519_pkcs8(secret: [u8; 32]) -> Vec<u8> {
    const PREFIX: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    [PREFIX.as_slice(), secret.as_slice()].concat()
}

struct Source(Mutex<Random>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl Source {
    fn draw(&self, buffer: &mut [u8]) {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        random.fill(buffer);
    }
}

impl SecureRandom for Source {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        self.draw(buffer);
        Ok(())
    }
}

#[derive(Debug)]
struct SeededX25519(&'static Source);

impl SupportedKxGroup for SeededX25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = [0; 32];
        self.0.draw(&mut bytes);
        let failed = || Error::General("no X25519 key from 32 bytes".to_owned());
        let secret = PrivateKey::from_private_key(&X25519, &bytes).map_err(|_| failed())?;
        let public = secret.compute_public_key().map_err(|_| failed())?;
        Ok(Box::new(Exchange { secret, public }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    secret: PrivateKey,
    public: PublicKey,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = UnparsedPublicKey::new(&X25519, peer);
        // It also refuses a key whose shared secret would be zero (RFC 7748, section 6.1).
        let invalid = Error::from(PeerMisbehaved::InvalidKeyShare);
        agree(&self.secret, peer, invalid, |secret| {
            Ok(SharedSecret::from(secret))
        })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_ref()
    }
}

#[cfg(test)]
mod tests;
