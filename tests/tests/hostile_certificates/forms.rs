//! Certificates that are signed by a trusted authority and yet none (RFC 5280, section 4.1).

use rcgen::RsaKeySize;

use crate::Row;
use crate::der::{integer, octets, oid, sequence, tlv};
use crate::make::{
    AGO, ALTERNATIVE_NAMES, Cert, ENDED, FAR_FUTURE, FUTURE, Key, RSA_SHA256, SIGNATURES,
    extension, names, uri_name, usage,
};
use crate::pki::{ACME, Pki};

/// An extension that nobody knows.
const PRIVATE: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x7f];

pub(crate) fn rows(pki: &Pki) -> Vec<Row> {
    let mut rows = times(pki);
    rows.extend(fields(pki));
    rows.extend(extensions(pki));
    rows.extend(wrong_signatures(pki));
    rows.extend(weak_and_stolen(pki));
    rows
}

fn times(pki: &Pki) -> Vec<Row> {
    [
        ("expired", AGO, ENDED),
        ("not yet valid", FUTURE, FAR_FUTURE),
        ("ends before it begins", FUTURE, AGO),
        ("ends before it begins, both past", ENDED, AGO),
        ("no end that is a time", AGO, "20981301000000Z"),
        ("an end without seconds", AGO, "209801010000Z"),
        ("an end in local time", AGO, "20980101000000+0100"),
    ]
    .map(|(what, from, until)| {
        let cert = Cert::svid(ACME).validity(from, until);
        Row::new("validity", what, pki.leaf(cert))
    })
    .into()
}

fn fields(pki: &Pki) -> Vec<Row> {
    let edited = |edit: fn(&mut Cert)| {
        let mut cert = Cert::svid(ACME);
        edit(&mut cert);
        cert
    };
    [
        ("version 1", edited(|cert| cert.version = None)),
        (
            "version 1 without extensions",
            edited(|cert| {
                cert.version = None;
                cert.subject = ACME.to_owned();
                cert.extensions.clear();
            }),
        ),
        ("version 1, said", edited(|cert| cert.version = Some(0))),
        ("version 2", edited(|cert| cert.version = Some(1))),
        ("version 4", edited(|cert| cert.version = Some(3))),
        ("no serial", edited(|cert| cert.serial.clear())),
        ("serial 0", edited(|cert| cert.serial = vec![0])),
        ("a negative serial", edited(|cert| cert.serial = vec![0x80])),
        (
            "a serial of 21 bytes",
            edited(|cert| cert.serial = vec![0x11; 21]),
        ),
        (
            "a serial with a zero before it",
            edited(|cert| cert.serial = vec![0, 0x11]),
        ),
        ("a byte after it", edited(|cert| cert.rest = vec![0])),
        (
            "another certificate after it",
            edited(|cert| cert.rest = sequence(&[])),
        ),
    ]
    .map(|(what, cert)| Row::new("form", what, pki.leaf(cert)))
    .into()
}

fn extensions(pki: &Pki) -> Vec<Row> {
    let with = |extension: Vec<u8>| Cert::svid(ACME).and(extension);
    let named = sequence(&[uri_name(ACME)]);
    let spoilt = |value: &[u8]| {
        let name = extension(ALTERNATIVE_NAMES, false, value);
        Cert::leaf().only(vec![usage(&[SIGNATURES]), name])
    };
    let said_oddly = sequence(&[oid(ALTERNATIVE_NAMES), tlv(0x01, &[1]), octets(&named)]);
    let long = tlv(0x81, &[b'x'; 70_000]);
    [
        (
            "an unknown critical extension",
            with(extension(PRIVATE, true, &integer(&[1]))),
        ),
        (
            "an unknown extension twice",
            with(extension(PRIVATE, false, b"a")).and(extension(PRIVATE, false, b"b")),
        ),
        (
            "names and a byte after them",
            spoilt(&[named.clone(), vec![0]].concat()),
        ),
        (
            "names that are cut short",
            spoilt(&named[..named.len() - 1]),
        ),
        ("names that are no sequence", spoilt(&uri_name(ACME))),
        (
            "names in a length of too many bytes",
            spoilt(&[&[0x30, 0x82, 0, named.len() as u8 - 2], &named[2..]].concat()),
        ),
        (
            "names in an endless form",
            spoilt(&[&[0x30, 0x80], &named[2..], &[0, 0]].concat()),
        ),
        (
            "critical written as 1",
            Cert::leaf().only(vec![usage(&[SIGNATURES]), said_oddly]),
        ),
        (
            "larger than a handshake takes",
            Cert::leaf().and(names(&[uri_name(ACME), long])),
        ),
    ]
    .map(|(what, cert)| Row::new("extensions", what, pki.leaf(cert)))
    .into()
}

const SIGNATURES_CLASS: &str = "signatures";

/// `acme`'s certificate, changed before it is signed.
fn edited(edit: impl FnOnce(&mut Cert)) -> Cert {
    let mut cert = Cert::svid(ACME);
    edit(&mut cert);
    cert
}

/// Signatures by another key, or over something else.
fn wrong_signatures(pki: &Pki) -> Vec<Row> {
    let forged = |by: Key| edited(|cert| cert.forger = Some(by));
    let algorithms = |all| pki.leaf(edited(|cert| cert.algorithms = all));
    let turned = pki.leaf(Cert::svid(ACME)).chain(|chain| {
        if let Some(last) = chain[0].last_mut() {
            *last ^= 1;
        }
    });
    let renamed = pki.leaf(Cert::svid("spiffe://clients.test/tenant/evil"));
    let renamed = renamed.chain(|chain| {
        let at = chain[0].windows(4).position(|w| w == b"evil").unwrap();
        chain[0][at..at + 4].copy_from_slice(b"acme");
    });
    [
        ("by another key", pki.leaf(forged(Key::seeded(32)))),
        (
            "by another key, ECDSA",
            pki.p256.issue(forged(Key::p256()), &pki.key),
        ),
        ("by its own key", pki.leaf(forged(pki.key.clone()))),
        ("one bit turned", turned),
        ("the name changed after signing", renamed),
        (
            "another algorithm outside",
            algorithms([None, Some(RSA_SHA256)]),
        ),
        (
            "another algorithm inside",
            algorithms([Some(RSA_SHA256), None]),
        ),
        (
            "another algorithm on both sides",
            algorithms([Some(RSA_SHA256); 2]),
        ),
    ]
    .map(|(what, shown)| Row::new(SIGNATURES_CLASS, what, shown))
    .into()
}

/// Signatures that are too weak, and handshakes that a certificate's owner hasn't signed.
fn weak_and_stolen(pki: &Pki) -> Vec<Row> {
    let legacy = |at: &[usize]| {
        let chain = at.iter().map(|i| pki.legacy[*i].clone()).collect();
        pki.leaf(Cert::leaf()).chain(|old| *old = chain)
    };
    let stolen = |key: Key| {
        let mut shown = pki.leaf(Cert::svid(ACME));
        shown.key = key.handshake();
        shown
    };
    let mut stolen_12 = stolen(Key::seeded(31));
    stolen_12.tls12 = true;
    [
        ("RSA with SHA-1", legacy(&[2])),
        ("RSA with MD5", legacy(&[3])),
        ("RSA of 1024 bits above it", legacy(&[5, 4])),
        ("somebody else's certificate", stolen(Key::seeded(31))),
        ("somebody else's certificate, TLS 1.2", stolen_12),
        (
            "somebody else's certificate, RSA key",
            stolen(Key::rsa(RsaKeySize::_2048)),
        ),
    ]
    .map(|(what, shown)| Row::new(SIGNATURES_CLASS, what, shown))
    .into()
}
