//! Certificates and lists, every part of which can be another than it should be.

use std::sync::{Arc, Mutex};

use rcgen::{KeyPair, PublicKeyData, SigningKey as _};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;

use crate::der::{
    bits, boolean, context, integer, name, named_bits, octets, oid, sequence, time, tlv,
};

/// Everything here holds for longer than anybody will run it.
pub(crate) const LONG_AGO: &str = "20000101000000Z";
pub(crate) const AGO: &str = "20200101000000Z";
pub(crate) const ENDED: &str = "20210101000000Z";
pub(crate) const FUTURE: &str = "20980101000000Z";
pub(crate) const FAR_FUTURE: &str = "20990101000000Z";

pub(crate) const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
const ECDSA_SHA256: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];
const ECDSA_SHA384: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03,
];
pub(crate) const RSA_SHA256: &[u8] = &[
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00,
];

pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
pub(crate) const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
pub(crate) const EXTENDED_USAGE: &[u8] = &[0x55, 0x1d, 0x25];

pub(crate) const SIGNATURES: u8 = 0;
pub(crate) const KEY_ENCIPHERMENT: u8 = 2;
pub(crate) const CERTIFICATES: u8 = 5;
pub(crate) const LISTS: u8 = 6;

pub(crate) const SERVERS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
pub(crate) const CLIENTS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
pub(crate) const CODE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
pub(crate) const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

/// A key and how it signs.
#[derive(Clone)]
pub(crate) struct Key {
    pair: Arc<KeyPair>,
    algorithm: &'static [u8],
}

impl Key {
    /// The Ed25519 key of this seed.
    pub(crate) fn seeded(seed: u8) -> Self {
        let PrivateKeyDer::Pkcs8(der) = cellway_testbed::Key::from_seed([seed; 32]).der() else {
            panic!("the lab writes PKCS#8");
        };
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519);
        Self::new(pair.unwrap(), ED25519)
    }

    pub(crate) fn p256() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
        Self::new(pair.unwrap(), ECDSA_SHA256)
    }

    pub(crate) fn p384() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384);
        Self::new(pair.unwrap(), ECDSA_SHA384)
    }

    pub(crate) fn rsa(size: rcgen::RsaKeySize) -> Self {
        let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        Self::new(pair.unwrap(), RSA_SHA256)
    }

    fn new(pair: KeyPair, algorithm: &'static [u8]) -> Self {
        let pair = Arc::new(pair);
        Self { pair, algorithm }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).unwrap()
    }

    fn public(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// For a handshake.
    pub(crate) fn handshake(&self) -> Arc<dyn SigningKey> {
        let der = PrivatePkcs8KeyDer::from(self.pair.serialize_der());
        any_supported_type(&der.into()).unwrap()
    }
}

/// A certificate before it is signed.
#[derive(Clone)]
pub(crate) struct Cert {
    /// What the version says; `None` for none, which is version 1.
    pub version: Option<u8>,
    pub serial: Vec<u8>,
    pub subject: String,
    pub issuer: Option<String>,
    pub validity: [&'static str; 2],
    pub extensions: Vec<Vec<u8>>,
    /// The algorithms that it names, inside and outside, where they aren't the issuer's.
    pub algorithms: [Option<&'static [u8]>; 2],
    /// Who signs, where it isn't the issuer.
    pub forger: Option<Key>,
    /// What stands after the certificate.
    pub rest: Vec<u8>,
}

impl Cert {
    /// A leaf without names.
    pub(crate) fn leaf() -> Self {
        Self {
            version: Some(2),
            serial: vec![0x11],
            subject: "leaf".to_owned(),
            issuer: None,
            validity: [AGO, FUTURE],
            extensions: vec![usage(&[SIGNATURES])],
            algorithms: [None, None],
            forger: None,
            rest: Vec::new(),
        }
    }

    /// A leaf with this URI name.
    pub(crate) fn svid(uri: &str) -> Self {
        Self::leaf().and(names(&[uri_name(uri)]))
    }

    /// A certificate that may sign others.
    pub(crate) fn authority(subject: &str) -> Self {
        let mut authority = Self::leaf();
        authority.subject = subject.to_owned();
        authority.validity = [LONG_AGO, FAR_FUTURE];
        authority.extensions = vec![basic(Some(true), None), usage(&[CERTIFICATES, LISTS])];
        authority
    }

    /// With one more extension.
    pub(crate) fn and(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// With these extensions only.
    pub(crate) fn only(mut self, extensions: Vec<Vec<u8>>) -> Self {
        self.extensions = extensions;
        self
    }

    pub(crate) fn serial(mut self, serial: &[u8]) -> Self {
        self.serial = serial.to_vec();
        self
    }

    pub(crate) fn validity(mut self, from: &'static str, until: &'static str) -> Self {
        self.validity = [from, until];
        self
    }

    fn sign(&self, issuer: &str, signer: &Key, public: Vec<u8>) -> Vec<u8> {
        let [inside, outside] = self
            .algorithms
            .map(|algorithm| algorithm.unwrap_or(signer.algorithm).to_vec());
        let issuer = self.issuer.as_deref().unwrap_or(issuer);
        let mut parts = Vec::new();
        if let Some(version) = self.version {
            parts.push(context(0, &integer(&[version])));
        }
        parts.extend([
            integer(&self.serial),
            inside,
            name(issuer),
            sequence(&self.validity.map(time)),
            name(&self.subject),
            public,
        ]);
        if !self.extensions.is_empty() {
            parts.push(context(3, &sequence(&self.extensions)));
        }
        let signed = sequence(&parts);
        let signature = self.forger.as_ref().unwrap_or(signer).sign(&signed);
        let whole = sequence(&[signed, outside, bits(&signature)]);
        [whole, self.rest.clone()].concat()
    }
}

/// Who signs certificates.
#[derive(Clone)]
pub(crate) struct Authority {
    pub name: String,
    pub key: Key,
    /// Its certificate, then that of its issuer, and so on; the root is left out of chains.
    pub chain: Vec<Vec<u8>>,
    /// The root's certificate.
    pub root: Vec<u8>,
}

impl Authority {
    /// A root.
    pub(crate) fn root(name: &str, key: Key) -> Self {
        Self::root_of(Cert::authority(name), key)
    }

    /// A root with a certificate of its own making.
    pub(crate) fn root_of(cert: Cert, key: Key) -> Self {
        let root = cert.sign(&cert.subject, &key, key.public());
        let (name, chain) = (cert.subject, Vec::new());
        Self {
            name,
            key,
            chain,
            root,
        }
    }

    /// An authority below this one.
    pub(crate) fn below(&self, cert: Cert, key: Key) -> Self {
        let mut chain = vec![cert.sign(&self.name, &self.key, key.public())];
        chain.extend(self.chain.iter().cloned());
        let (name, root) = (cert.subject, self.root.clone());
        Self {
            name,
            key,
            chain,
            root,
        }
    }

    /// What a client shows that has this certificate.
    pub(crate) fn issue(&self, cert: Cert, key: &Key) -> Shown {
        let mut chain = vec![cert.sign(&self.name, &self.key, key.public())];
        chain.extend(self.chain.iter().cloned());
        Shown {
            chain,
            key: key.handshake(),
            tls12: false,
            hints: Arc::default(),
        }
    }

    /// A revocation list of this authority, DER. `extensions` is empty for none.
    pub(crate) fn list(&self, serials: &[&[u8]], until: &str, extensions: &[Vec<u8>]) -> Vec<u8> {
        let revoked = serials
            .iter()
            .map(|serial| sequence(&[integer(serial), time(AGO)]));
        let revoked: Vec<_> = revoked.collect();
        let mut all = vec![extension(&[0x55, 0x1d, 0x14], false, &integer(&[1]))];
        all.extend(extensions.iter().cloned());
        let mut parts = vec![
            integer(&[1]),
            self.key.algorithm.to_vec(),
            name(&self.name),
            time(AGO),
            time(until),
        ];
        if !revoked.is_empty() {
            parts.push(sequence(&revoked));
        }
        parts.push(context(0, &sequence(&all)));
        let signed = sequence(&parts);
        let signature = self.key.sign(&signed);
        sequence(&[signed, self.key.algorithm.to_vec(), bits(&signature)])
    }
}

/// What a client shows in its handshake.
#[derive(Clone)]
pub(crate) struct Shown {
    pub chain: Vec<Vec<u8>>,
    pub key: Arc<dyn SigningKey>,
    /// Speaks TLS 1.2 only.
    pub tls12: bool,
    /// The authorities' names that a server last asked for.
    pub hints: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Shown {
    pub(crate) fn chain(mut self, edit: impl FnOnce(&mut Vec<Vec<u8>>)) -> Self {
        edit(&mut self.chain);
        self
    }
}

pub(crate) fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(id)];
    if critical {
        parts.push(boolean(true));
    }
    parts.push(octets(value));
    sequence(&parts)
}

pub(crate) fn usage(set: &[u8]) -> Vec<u8> {
    extension(KEY_USAGE, true, &named_bits(set))
}

pub(crate) fn purposes(purposes: &[&[u8]]) -> Vec<u8> {
    let purposes: Vec<_> = purposes.iter().map(|purpose| oid(purpose)).collect();
    extension(EXTENDED_USAGE, false, &sequence(&purposes))
}

pub(crate) fn basic(authority: Option<bool>, below_max: Option<u8>) -> Vec<u8> {
    let mut parts: Vec<_> = authority.map(boolean).into_iter().collect();
    parts.extend(below_max.map(|most| integer(&[most])));
    extension(BASIC_CONSTRAINTS, true, &sequence(&parts))
}

/// Name constraints: what is permitted, what is excluded, as general names.
pub(crate) fn constraints(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Vec<u8> {
    let mut parts = Vec::new();
    for (number, names) in [permitted, excluded].into_iter().enumerate() {
        if !names.is_empty() {
            let trees: Vec<_> = names
                .iter()
                .map(|name| sequence(std::slice::from_ref(name)))
                .collect();
            parts.push(context(number as u8, &trees.concat()));
        }
    }
    extension(NAME_CONSTRAINTS, true, &sequence(&parts))
}

pub(crate) fn names(names: &[Vec<u8>]) -> Vec<u8> {
    extension(ALTERNATIVE_NAMES, false, &sequence(names))
}

pub(crate) fn uri_name(uri: &str) -> Vec<u8> {
    tlv(0x86, uri.as_bytes())
}

pub(crate) fn dns_name(name: &str) -> Vec<u8> {
    tlv(0x82, name.as_bytes())
}

pub(crate) fn email_name(name: &str) -> Vec<u8> {
    tlv(0x81, name.as_bytes())
}

pub(crate) fn address_name(address: [u8; 4]) -> Vec<u8> {
    tlv(0x87, &address)
}

/// A name of a kind of its own (RFC 5280, section 4.2.1.6) that holds this text.
pub(crate) fn other_name(text: &str) -> Vec<u8> {
    let kind = oid(&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 20, 2, 3]);
    let value = context(0, &tlv(0x0c, text.as_bytes()));
    context(0, &[kind, value].concat())
}
