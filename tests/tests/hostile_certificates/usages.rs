//! Certificates that aren't a client's: authorities, and keys for something else (X.509-SVID,
//! sections 4 and 5.2; RFC 5280, section 4.2.1).

use crate::Row;
use crate::der::{integer, octets, sequence};
use crate::make::{
    ANY_PURPOSE, BASIC_CONSTRAINTS, CERTIFICATES, CLIENTS, CODE, Cert, KEY_ENCIPHERMENT, KEY_USAGE,
    LISTS, SERVERS, SIGNATURES, Shown, basic, extension, names, purposes, uri_name, usage,
};
use crate::pki::{ACME, Pki};

const CLASS: &str = "usage";

pub(crate) fn rows(pki: &Pki) -> Vec<Row> {
    let mut rows = leaves(pki);
    rows.extend(authorities(pki));
    rows
}

/// A client certificate with these extensions.
fn with(extensions: &[Vec<u8>]) -> Cert {
    let named = vec![names(&[uri_name(ACME)])];
    Cert::leaf().only([named, extensions.to_vec()].concat())
}

fn signs() -> Vec<u8> {
    usage(&[SIGNATURES])
}

fn leaves(pki: &Pki) -> Vec<Row> {
    let certs = marked_as_authorities().into_iter();
    let certs = certs.chain(key_usages()).chain(other_purposes());
    certs
        .map(|(what, cert)| Row::new(CLASS, what, pki.leaf(cert)))
        .collect()
}

/// Clients that could also be authorities.
fn marked_as_authorities() -> [(&'static str, Cert); 7] {
    [
        ("an authority", with(&[signs(), basic(Some(true), None)])),
        (
            "an authority that says how deep",
            with(&[signs(), basic(Some(true), Some(0))]),
        ),
        (
            "an authority that may sign certificates",
            with(&[usage(&[SIGNATURES, CERTIFICATES]), basic(Some(true), None)]),
        ),
        (
            "an authority without a key usage",
            with(&[basic(Some(true), None)]),
        ),
        (
            "no authority that may sign certificates",
            with(&[usage(&[SIGNATURES, CERTIFICATES])]),
        ),
        (
            "no authority that may sign lists",
            with(&[usage(&[SIGNATURES, LISTS])]),
        ),
        (
            "it says that it is none, and may sign certificates",
            with(&[basic(Some(false), None), usage(&[SIGNATURES, CERTIFICATES])]),
        ),
    ]
}

/// Key usages that don't allow signatures, and basic constraints that contradict themselves.
fn key_usages() -> [(&'static str, Cert); 7] {
    [
        ("no key usage", with(&[])),
        ("a key usage without a use", with(&[usage(&[])])),
        (
            "a key for encryption only",
            with(&[usage(&[KEY_ENCIPHERMENT])]),
        ),
        (
            "a key usage that is no bit string",
            with(&[extension(KEY_USAGE, true, &octets(&[0x80]))]),
        ),
        ("two key usages", with(&[signs(), usage(&[CERTIFICATES])])),
        (
            "basic constraints twice",
            with(&[signs(), basic(None, None), basic(Some(true), None)]),
        ),
        (
            "a depth, and no authority",
            with(&[
                signs(),
                extension(BASIC_CONSTRAINTS, true, &sequence(&[integer(&[1])])),
            ]),
        ),
    ]
}

/// Purposes other than a client's.
fn other_purposes() -> [(&'static str, Cert); 5] {
    [
        ("for servers only", with(&[signs(), purposes(&[SERVERS])])),
        ("for code only", with(&[signs(), purposes(&[CODE])])),
        // RFC 5280, section 4.2.1.12: whoever asks for one purpose may refuse this.
        (
            "for any purpose, clients not named",
            with(&[signs(), purposes(&[ANY_PURPOSE])]),
        ),
        ("for no purpose", with(&[signs(), purposes(&[])])),
        (
            "purposes twice",
            with(&[signs(), purposes(&[CLIENTS]), purposes(&[SERVERS])]),
        ),
    ]
}

fn authorities(pki: &Pki) -> Vec<Row> {
    let itself = |authority: &crate::make::Authority, chain: Vec<Vec<u8>>| Shown {
        chain,
        key: authority.key.handshake(),
        tls12: false,
        hints: Default::default(),
    };
    let named = Cert::authority("named").and(names(&[uri_name(ACME)]));
    let below = pki.root.below(named, crate::make::Key::seeded(31));
    vec![
        Row::new(
            CLASS,
            "the root itself",
            itself(&pki.root, vec![pki.root.root.clone()]),
        ),
        Row::new(
            CLASS,
            "an authority below it, by its name",
            itself(&below, below.chain.clone()),
        ),
    ]
}
