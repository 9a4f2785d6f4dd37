//! A public key that tokens are verified with.

use aws_lc_rs::digest;
use aws_lc_rs::signature::ParsedPublicKey;

use super::Algorithm;

/// Identifies the content of a key set: its keys with their ids and algorithms. White space, order
/// and unused members don't change it.
pub type KeysDigest = [u8; 32];

/// One public key, with the one algorithm that it verifies.
#[derive(Debug)]
pub(crate) struct Key {
    pub(super) kid: Option<Box<str>>,
    pub(super) algorithm: Algorithm,
    /// Whether this is the key's first algorithm: the key names it, its curve implies it, or it is
    /// the first RSA algorithm on the issuer's list. A token without `kid` gets such a key first.
    pub(super) first: bool,
    /// Names the key itself, whatever its id.
    pub(super) digest: KeysDigest,
    signature_len: usize,
    public: ParsedPublicKey,
}

impl Key {
    /// A key for signatures of exactly `signature_len` bytes. `material` is the public key, which
    /// is equal for equal keys, whatever the spelling of their JWK.
    pub(super) fn new(
        kid: Option<&str>,
        algorithm: Algorithm,
        signature_len: usize,
        material: &[&[u8]],
        public: ParsedPublicKey,
    ) -> Self {
        let parts = [algorithm.as_str().as_bytes()];
        Self {
            kid: kid.map(Into::into),
            algorithm,
            first: true,
            digest: digest_of(parts.iter().chain(material).copied()),
            signature_len,
            public,
        }
    }

    /// The same key for an algorithm that isn't its first.
    pub(super) fn not_first(self) -> Self {
        Self {
            first: false,
            digest: digest_of([&b"not first"[..], &self.digest].into_iter()),
            ..self
        }
    }

    /// Whether `signature` over `message` is valid under this key.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        signature.len() == self.signature_len && self.public.verify_sig(message, signature).is_ok()
    }

    /// Whether both are the same key with the same id.
    pub(super) fn is_again(&self, other: &Self) -> bool {
        self.kid == other.kid && self.digest == other.digest
    }
}

/// The digest of a set of keys, whatever their order.
pub(super) fn digest_of_all(keys: &[Key]) -> KeysDigest {
    let mut all: Vec<_> = keys
        .iter()
        .map(|key| (key.kid.as_deref(), &key.digest))
        .collect();
    all.sort_unstable();
    digest_of(all.iter().flat_map(|(kid, digest)| {
        let named: &[u8] = if kid.is_some() { b"named" } else { b"unnamed" };
        [named, kid.unwrap_or_default().as_bytes(), &digest[..]]
    }))
}

/// Each part with its length, so that no two lists of parts are the same bytes.
fn digest_of<'a>(parts: impl Iterator<Item = &'a [u8]>) -> KeysDigest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes = KeysDigest::default();
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}
