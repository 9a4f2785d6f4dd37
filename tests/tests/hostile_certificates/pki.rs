//! Who signs what in the tables.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cellway_tests::world::Folder;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::make::{Authority, Cert, ENDED, FUTURE, Key, LONG_AGO, Shown, basic, names, uri_name};

/// The name that a good certificate bears.
pub(crate) const ACME: &str = "spiffe://clients.test/tenant/acme";

/// Certificates that can't be made with today's libraries, or not without a key that is too small:
/// a root, and leaves by it with RSA and SHA-256, SHA-1 and MD5; then an authority below it that
/// has a key of 1024 bits, and a leaf by that. The leaves have the key of [`Pki::key`].
const LEGACY: &str = include_str!("legacy.pem");

/// The authorities, and the key of most leaves.
pub(crate) struct Pki {
    /// In every bundle.
    pub root: Authority,
    /// In every bundle too: a root of the same name with the next key, as there is while an
    /// authority is changed.
    pub next: Authority,
    pub p256: Authority,
    pub p384: Authority,
    /// A root that says itself for how many authorities below it speaks: none.
    pub shallow: Authority,
    /// Has a fresh list that revokes [`Self::REVOKED`].
    pub listed: Authority,
    /// Has a list that is past its time.
    pub stale: Authority,
    /// Has no list.
    pub unlisted: Authority,
    /// Has a list by somebody else of the same name.
    pub forged: Authority,
    /// Has two lists, of which the second revokes [`Self::REVOKED`].
    pub twice: Authority,
    /// Has a list; so has its successor of the same name, another one.
    pub changing: Authority,
    pub changed: Authority,
    /// A root that has ended.
    pub ended: Authority,
    /// A root with the id of another trust domain.
    pub elsewhere: Authority,
    /// The only root of the trust domain `own.test`, which has a bundle of its own.
    pub own: Authority,
    /// In no bundle.
    pub stranger: Authority,
    pub legacy: Vec<Vec<u8>>,
    pub key: Key,
}

impl Pki {
    pub(crate) const REVOKED: &[u8] = &[0x55];
    /// By [`Self::changed`] only.
    pub(crate) const REVOKED_SINCE: &[u8] = &[0x56];

    pub(crate) fn new() -> Self {
        let root = |name, seed| Authority::root(name, Key::seeded(seed));
        let shallow = Cert::authority("shallow");
        let rules = basic(Some(true), Some(0));
        let usage = shallow.extensions[1].clone();
        let ended = Cert::authority("ended").validity(LONG_AGO, ENDED);
        let other = names(&[uri_name("spiffe://other.test")]);
        let elsewhere = Cert::authority("elsewhere").and(other);
        let legacy = CertificateDer::pem_slice_iter(LEGACY.as_bytes());
        Self {
            root: root("root", 1),
            next: root("root", 2),
            p256: Authority::root("p256", Key::p256()),
            p384: Authority::root("p384", Key::p384()),
            shallow: Authority::root_of(shallow.only(vec![rules, usage]), Key::seeded(3)),
            listed: root("listed", 4),
            stale: root("stale", 5),
            unlisted: root("unlisted", 6),
            forged: root("forged", 7),
            twice: root("twice", 9),
            changing: root("changing", 10),
            changed: root("changing", 11),
            ended: Authority::root_of(ended, Key::seeded(12)),
            elsewhere: Authority::root_of(elsewhere, Key::seeded(13)),
            own: root("own", 14),
            stranger: root("stranger", 8),
            legacy: legacy.map(|der| der.unwrap().to_vec()).collect(),
            key: Key::seeded(99),
        }
    }

    /// All that the common bundle has.
    pub(crate) fn roots(&self) -> Vec<Vec<u8>> {
        let authorities = [
            &self.root,
            &self.next,
            &self.p256,
            &self.p384,
            &self.shallow,
            &self.listed,
            &self.stale,
            &self.unlisted,
            &self.forged,
            &self.twice,
            &self.changing,
            &self.changed,
            &self.ended,
            &self.elsewhere,
        ];
        let mut roots: Vec<_> = authorities.map(|a| a.root.clone()).into();
        roots.push(self.legacy[0].clone());
        roots
    }

    /// Writes what the setups name.
    pub(crate) fn write(&self, folder: &Folder) {
        folder.write("all.pem", pem("CERTIFICATE", &self.roots()));
        Self::write_own(folder, &[&self.own]);
        let forger = Authority::root("forged", Key::seeded(70));
        let lists = [
            self.listed.list(&[Self::REVOKED], FUTURE, &[]),
            self.listed_below(&[1]).list(&[Self::REVOKED], FUTURE, &[]),
            self.twice.list(&[], FUTURE, &[]),
            self.twice.list(&[Self::REVOKED], FUTURE, &[]),
            self.changing.list(&[Self::REVOKED], FUTURE, &[]),
            self.changed.list(&[Self::REVOKED_SINCE], FUTURE, &[]),
            self.stale.list(&[], ENDED, &[]),
            forger.list(&[], FUTURE, &[]),
        ];
        folder.write("lists.pem", pem("X509 CRL", &lists));
    }

    /// Writes the bundle of `own.test`.
    pub(crate) fn write_own(folder: &Folder, authorities: &[&Authority]) {
        let roots: Vec<_> = authorities.iter().map(|a| a.root.clone()).collect();
        folder.write("own.pem", pem("CERTIFICATE", &roots));
    }

    /// An authority with a list of its own below [`Self::listed`], whose own certificate has this
    /// serial.
    pub(crate) fn listed_below(&self, serial: &[u8]) -> Authority {
        let cert = Cert::authority("below").serial(serial);
        self.listed.below(cert, Key::seeded(40))
    }

    /// A leaf by the root.
    pub(crate) fn leaf(&self, cert: Cert) -> Shown {
        self.root.issue(cert, &self.key)
    }

    /// A leaf by an authority with this certificate, below the root.
    pub(crate) fn below(&self, authority: Cert, leaf: Cert) -> Shown {
        let authority = self.root.below(authority, Key::seeded(30));
        authority.issue(leaf, &self.key)
    }
}

fn pem(label: &str, all: &[Vec<u8>]) -> String {
    let block = |der: &Vec<u8>| {
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    all.iter().map(block).collect()
}
