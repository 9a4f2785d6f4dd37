//! Certificates that must count: all are `acme`.

use rcgen::RsaKeySize;

use crate::make::{
    Authority, CERTIFICATES, CLIENTS, Cert, FUTURE, KEY_ENCIPHERMENT, Key, LISTS, SERVERS,
    SIGNATURES, address_name, basic, constraints, dns_name, email_name, extension, names,
    other_name, purposes, uri_name, usage,
};
use crate::pki::{ACME, Pki};
use crate::{Row, Setup};

pub(crate) fn rows(pki: &Pki) -> Vec<Row> {
    let mut rows = keys(pki);
    rows.extend(ids(pki));
    rows.extend(forms(pki));
    rows.extend(dns(pki));
    rows.extend(chains(pki));
    rows.extend(authorities(pki));
    rows.extend(lists(pki));
    rows
}

fn keys(pki: &Pki) -> Vec<Row> {
    let leaf = || Cert::svid(ACME);
    let rsa = Key::rsa(RsaKeySize::_2048);
    let legacy = pki
        .leaf(Cert::leaf())
        .chain(|chain| *chain = vec![pki.legacy[1].clone()]);
    let mut rows = vec![
        Row::new("", "RSA root", legacy),
        Row::new("", "ECDSA P-256 root", pki.p256.issue(leaf(), &pki.key)),
        Row::new("", "ECDSA P-384 root", pki.p384.issue(leaf(), &pki.key)),
    ];
    for (what, key) in [
        ("Ed25519", pki.key.clone()),
        ("ECDSA P-256", Key::p256()),
        ("ECDSA P-384", Key::p384()),
        ("RSA 2048", rsa.clone()),
        ("RSA 3072", Key::rsa(RsaKeySize::_3072)),
        ("RSA 4096", Key::rsa(RsaKeySize::_4096)),
    ] {
        let mut shown = pki.root.issue(leaf(), &key);
        rows.push(Row::new("", format!("{what}, TLS 1.3"), shown.clone()));
        shown.tls12 = true;
        rows.push(Row::new("", format!("{what}, TLS 1.2"), shown));
    }
    let between = pki.root.below(Cert::authority("rsa"), rsa);
    rows.push(Row::new("", "RSA between", between.issue(leaf(), &pki.key)));
    rows
}

fn ids(pki: &Pki) -> Vec<Row> {
    let tail = |len: usize| format!("{ACME}/{}", "x".repeat(len - ACME.len() - 1));
    [
        ("an id", ACME.to_owned()),
        ("an id that goes on", format!("{ACME}/web/frontend")),
        (
            "an id with every allowed character",
            format!("{ACME}/aZ09.-_"),
        ),
        (
            "an id with dots that climb nowhere",
            format!("{ACME}/.../..a/a.."),
        ),
        ("an id of 256 bytes", tail(256)),
        ("an id of 257 bytes", tail(257)),
        ("an id of 2048 bytes", tail(2_048)),
    ]
    .map(|(what, id)| Row::new("", what, pki.leaf(Cert::svid(&id))))
    .into()
}

fn forms(pki: &Pki) -> Vec<Row> {
    let mut rows = extensions(pki);
    rows.extend(more_names(pki));
    rows
}

/// Extensions and serial numbers.
fn extensions(pki: &Pki) -> Vec<Row> {
    let with = |extension: Vec<u8>| Cert::svid(ACME).and(extension);
    let used = |set: &[u8]| Cert::leaf().only(vec![usage(set), names(&[uri_name(ACME)])]);
    let mut long_serial = [0xff; 21];
    long_serial[0] = 0;
    let mut subjectless = Cert::leaf();
    subjectless.subject.clear();
    let value = crate::der::sequence(&[uri_name(ACME)]);
    let critical = subjectless.and(extension(crate::make::ALTERNATIVE_NAMES, true, &value));
    [
        ("for clients", with(purposes(&[CLIENTS]))),
        (
            "for clients and servers",
            with(purposes(&[SERVERS, CLIENTS])),
        ),
        ("no authority, said", with(basic(None, None))),
        ("no authority, said in long", with(basic(Some(false), None))),
        (
            "a key for more than signatures",
            used(&[SIGNATURES, KEY_ENCIPHERMENT]),
        ),
        (
            "an extension that nobody knows",
            with(extension(
                &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x7f],
                false,
                b"x",
            )),
        ),
        (
            "a serial of 20 bytes and a zero",
            Cert::svid(ACME).serial(&long_serial),
        ),
        ("a serial of 20 bytes", Cert::svid(ACME).serial(&[0x7f; 20])),
        ("no subject, and names that are critical", critical),
    ]
    .map(|(what, cert)| Row::new("", what, pki.leaf(cert)))
    .into()
}

/// Names of other kinds beside the tenant's URI.
fn more_names(pki: &Pki) -> Vec<Row> {
    let named = |more: &[Vec<u8>]| {
        let all = [&[uri_name(ACME)], more].concat();
        Cert::leaf().and(names(&all))
    };
    let many: Vec<_> = (0..60).map(|i| dns_name(&format!("n{i}.test"))).collect();
    // Not DER, but some authorities write it, and it is harmless.
    let parts = [
        crate::der::oid(crate::make::ALTERNATIVE_NAMES),
        crate::der::boolean(false),
        crate::der::octets(&crate::der::sequence(&[uri_name(ACME)])),
    ];
    let said_false = Cert::leaf().and(crate::der::sequence(&parts));
    [
        (
            "a DNS name beside it",
            named(&[dns_name("web.clients.test")]),
        ),
        (
            "names of other kinds beside it",
            named(&[
                address_name([10, 0, 0, 1]),
                email_name("a@b.test"),
                other_name("acme"),
            ]),
        ),
        ("critical written as false", said_false),
        ("many DNS names beside it", named(&many)),
    ]
    .map(|(what, cert)| Row::new("", what, pki.leaf(cert)))
    .into()
}

fn dns(pki: &Pki) -> Vec<Row> {
    let named = |all: &[&str]| {
        let all: Vec<_> = all.iter().map(|name| dns_name(name)).collect();
        names(&all)
    };
    let host = "acme.clients.test";
    [
        ("a DNS name", Cert::leaf().and(named(&[host]))),
        (
            "a DNS name in upper case",
            Cert::leaf().and(named(&["ACME.Clients.Test"])),
        ),
        (
            "a DNS name among others",
            Cert::leaf().and(named(&["x.y.z.test", host])),
        ),
        ("a DNS name twice", Cert::leaf().and(named(&[host, host]))),
        (
            "a DNS name without a key usage",
            Cert::leaf().only(vec![named(&[host])]),
        ),
        ("an id where DNS names count too", Cert::svid(ACME)),
    ]
    .map(|(what, cert)| Row::new("", what, pki.leaf(cert)).at(Setup::Names))
    .into()
}

/// Chains with authorities between, sent in full, in part, or with more.
fn chains(pki: &Pki) -> Vec<Row> {
    let leaf = || Cert::svid(ACME);
    let mut deep = pki.root.clone();
    for i in 0..4 {
        deep = deep.below(Cert::authority(&format!("deep {i}")), Key::seeded(40 + i));
    }
    let long = deep.issue(leaf(), &pki.key);
    let between = pki.root.below(Cert::authority("between"), Key::seeded(37));
    let usual = || between.issue(leaf(), &pki.key);
    // Signed by the old root and by the next one: whichever the router has leads to it.
    let also_by = |root: &Authority| root.below(Cert::authority("between"), between.key.clone());
    let crossed = also_by(&pki.next).issue(leaf(), &pki.key);
    let stranger = also_by(&pki.stranger).chain[0].clone();
    let and_root = |authority: &Authority| usual().chain(|c| c.push(authority.root.clone()));
    [
        ("one authority between", usual()),
        ("four authorities between", long.clone()),
        (
            "four authorities between, out of order",
            long.chain(|c| c[1..].reverse()),
        ),
        ("the root sent along", and_root(&pki.root)),
        ("something unrelated sent along", and_root(&pki.stranger)),
        (
            "the one between sent twice",
            usual().chain(|c| c.push(c[1].clone())),
        ),
        ("an old root", pki.leaf(leaf())),
        (
            "the next root of the same name",
            pki.next.issue(leaf(), &pki.key),
        ),
        ("crossed, by the next root", crossed),
        (
            "crossed, an unknown root's first",
            usual().chain(|c| c.insert(1, stranger)),
        ),
    ]
    .map(|(what, shown)| Row::new("", what, shown))
    .into()
}

/// Authorities with limits that the leaf keeps to, and with names of their own.
fn authorities(pki: &Pki) -> Vec<Row> {
    let leaf = || Cert::svid(ACME);
    let ours = [dns_name("other.test")];
    let excluding = Cert::authority("limited").and(constraints(&[], &ours));
    let flat = Cert::authority("flat").only(vec![
        basic(Some(true), Some(0)),
        usage(&[CERTIFICATES, LISTS]),
    ]);
    let silent = Cert::authority("silent").only(vec![basic(Some(true), None)]);
    let own = Cert::authority("own").and(names(&[uri_name("spiffe://clients.test")]));
    let web =
        Cert::authority("web").and(names(&[uri_name("https://ca.test/"), dns_name("ca.test")]));
    let both = Cert::authority("both").and(purposes(&[SERVERS, CLIENTS]));
    let later = Cert::authority("later").validity("20250101000000Z", "20970101000000Z");
    let early = leaf().validity("20200101000000Z", FUTURE);
    [
        (
            "an authority that excludes others",
            pki.below(excluding, leaf()),
        ),
        ("an authority that goes no deeper", pki.below(flat, leaf())),
        (
            "an authority without a key usage",
            pki.below(silent, leaf()),
        ),
        ("an authority with its own id", pki.below(own, leaf())),
        (
            "an authority with names that are no ids",
            pki.below(web, leaf()),
        ),
        ("an authority for both purposes", pki.below(both, leaf())),
        (
            "an authority that begins after the leaf and ends before it",
            pki.below(later, early),
        ),
        (
            "a root that goes no deeper",
            pki.shallow.issue(leaf(), &pki.key),
        ),
    ]
    .map(|(what, shown)| Row::new("", what, shown))
    .into()
}

fn lists(pki: &Pki) -> Vec<Row> {
    let leaf = || Cert::svid(ACME).serial(&[0x54]);
    let others =
        |authority: &Authority, serial| authority.issue(Cert::svid(ACME).serial(serial), &pki.key);
    [
        ("on neither of two lists", pki.twice.issue(leaf(), &pki.key)),
        (
            "on the new authority's list, by the old",
            others(&pki.changing, Pki::REVOKED_SINCE),
        ),
        (
            "on the old authority's list, by the new",
            others(&pki.changed, Pki::REVOKED),
        ),
        ("not on its list", pki.listed.issue(leaf(), &pki.key)),
        (
            "neither it nor its authority on a list",
            pki.listed_below(&[1]).issue(leaf(), &pki.key),
        ),
    ]
    .map(|(what, shown)| Row::new("", what, shown).at(Setup::Lists))
    .into()
}
