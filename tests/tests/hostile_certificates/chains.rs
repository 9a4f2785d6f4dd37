//! Chains that don't hold (RFC 5280, section 6; X.509-SVID, sections 3 and 4).

use crate::Row;
use crate::make::{
    AGO, Authority, CERTIFICATES, Cert, ENDED, FAR_FUTURE, FUTURE, Key, LISTS, LONG_AGO, SERVERS,
    SIGNATURES, basic, constraints, dns_name, extension, names, purposes, uri_name, usage,
};
use crate::pki::{ACME, Pki};

const CLASS: &str = "chains";

pub(crate) fn rows(pki: &Pki) -> Vec<Row> {
    let mut rows = roots(pki);
    rows.extend(links(pki));
    rows.extend(limits(pki));
    rows.extend(signers(pki));
    rows.extend(lengths(pki));
    rows
}

fn roots(pki: &Pki) -> Vec<Row> {
    let leaf = || Cert::svid(ACME);
    let namesake = Authority::root("root", Key::seeded(33));
    let own = Authority::root_of(leaf(), pki.key.clone());
    let mut itself = pki.leaf(leaf());
    itself.chain = vec![own.root];
    let with_root = |authority: &Authority| {
        let root = authority.root.clone();
        authority.issue(leaf(), &pki.key).chain(|c| c.push(root))
    };
    vec![
        Row::new(CLASS, "signed by itself", itself),
        Row::new(
            CLASS,
            "a root that has ended",
            pki.ended.issue(leaf(), &pki.key),
        ),
        Row::new(
            CLASS,
            "a root with another domain's id",
            pki.elsewhere.issue(leaf(), &pki.key),
        ),
        Row::new(
            CLASS,
            "an unknown root",
            pki.stranger.issue(leaf(), &pki.key),
        ),
        Row::new(
            CLASS,
            "an unknown root, sent along",
            with_root(&pki.stranger),
        ),
        Row::new(
            CLASS,
            "a root of the same name",
            namesake.issue(leaf(), &pki.key),
        ),
        Row::new(
            CLASS,
            "a root of the same name, sent along",
            with_root(&namesake),
        ),
        Row::new(
            CLASS,
            "an unknown root, a known one sent along",
            pki.stranger
                .issue(leaf(), &pki.key)
                .chain(|chain| chain.push(pki.root.root.clone())),
        ),
    ]
}

/// One authority between root and leaf, which isn't what it should be.
fn links(pki: &Pki) -> Vec<Row> {
    let between = || Cert::authority("between");
    let only = |extensions: &[Vec<u8>]| between().only(extensions.to_vec());
    let may = || usage(&[CERTIFICATES, LISTS]);
    let ca = || basic(Some(true), None);
    let mut unversioned = only(&[]);
    unversioned.version = None;
    [
        ("no authority", only(&[usage(&[SIGNATURES])])),
        (
            "no authority, said",
            only(&[basic(Some(false), None), may()]),
        ),
        ("no authority, but may sign", only(&[may()])),
        ("version 1", unversioned),
        (
            "an authority that may not sign",
            only(&[ca(), usage(&[SIGNATURES])]),
        ),
        (
            "an authority that may sign lists only",
            only(&[ca(), usage(&[LISTS])]),
        ),
        ("expired", between().validity(LONG_AGO, ENDED)),
        ("not yet valid", between().validity(FUTURE, FAR_FUTURE)),
        ("signed by another", {
            let mut forged = between();
            forged.forger = Some(Key::seeded(34));
            forged
        }),
        ("for servers only", between().and(purposes(&[SERVERS]))),
        (
            "an unknown critical extension",
            between().and(extension(&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x7f], true, b"x")),
        ),
        (
            "basic constraints twice",
            only(&[basic(Some(false), None), ca(), may()]),
        ),
    ]
    .map(|(what, cert)| {
        let name = format!("between: {what}");
        Row::new(CLASS, name, pki.below(cert, Cert::svid(ACME)))
    })
    .into()
}

/// What an authority was allowed, and didn't keep to.
fn limits(pki: &Pki) -> Vec<Row> {
    let may = || usage(&[CERTIFICATES, LISTS]);
    let flat = Cert::authority("flat").only(vec![basic(Some(true), Some(0)), may()]);
    let flat = pki.root.below(flat, Key::seeded(35));
    let below = |authority: &Authority| {
        let below = authority.below(Cert::authority("deep"), Key::seeded(36));
        below.issue(Cert::svid(ACME), &pki.key)
    };
    let limited = |permitted: &[Vec<u8>], excluded: &[Vec<u8>], leaf: Cert| {
        let rule = constraints(permitted, excluded);
        pki.below(Cert::authority("limited").and(rule), leaf)
    };
    let ours = || [uri_name("clients.test")];
    let both = || Cert::leaf().and(names(&[uri_name(ACME), dns_name("acme.clients.test")]));
    vec![
        Row::new(CLASS, "deeper than the authority may go", below(&flat)),
        Row::new(CLASS, "deeper than the root may go", below(&pki.shallow)),
        Row::new(
            CLASS,
            "a domain that is excluded",
            limited(&[], &ours(), Cert::svid(ACME)),
        ),
        Row::new(
            CLASS,
            "a domain that isn't permitted",
            limited(&[uri_name("other.test")], &[], Cert::svid(ACME)),
        ),
        Row::new(
            CLASS,
            "a DNS name that isn't permitted",
            limited(&[dns_name("other.test")], &[], both()),
        ),
        Row::new(
            CLASS,
            "a DNS name that is excluded",
            limited(&[], &[dns_name("clients.test")], both()),
        ),
    ]
}

/// Names of authorities (X.509-SVID, section 4.1 and SPIFFE ID, section 2.2: an authority's id has
/// no path, and is in the domain of what it signs).
fn signers(pki: &Pki) -> Vec<Row> {
    let named = |uris: &[&str]| {
        let uris: Vec<_> = uris.iter().map(|uri| uri_name(uri)).collect();
        Cert::authority("named").and(names(&uris))
    };
    [
        ("a client's id", named(&[ACME])),
        ("a workload's id", named(&["spiffe://clients.test/ca"])),
        (
            "an id with a slash at its end",
            named(&["spiffe://clients.test/"]),
        ),
        ("an id of another domain", named(&["spiffe://other.test"])),
        (
            "two ids",
            named(&["spiffe://clients.test", "spiffe://other.test"]),
        ),
        ("a URI that is no id", named(&["spiffe://clients.test:1"])),
        (
            "names twice",
            named(&["spiffe://clients.test"]).and(names(&[uri_name(ACME)])),
        ),
    ]
    .map(|(what, cert)| {
        let name = format!("signer: {what}");
        Row::new(CLASS, name, pki.below(cert, Cert::svid(ACME)))
    })
    .into()
}

fn lengths(pki: &Pki) -> Vec<Row> {
    let between = pki.root.below(Cert::authority("between"), Key::seeded(37));
    let missing = between.issue(Cert::svid(ACME), &pki.key);
    let mut deep = pki.root.clone();
    for i in 0..7 {
        deep = deep.below(Cert::authority(&format!("deep {i}")), Key::seeded(40 + i));
    }
    let mut ring = pki.stranger.issue(Cert::svid(ACME), &pki.key);
    for i in 0..40 {
        let other = Authority::root("stranger", Key::seeded(100 + i));
        ring.chain.push(other.root);
    }
    let leaf_last = missing.clone().chain(|chain| chain.reverse());
    let twice = missing.clone().chain(|chain| chain[1] = chain[0].clone());
    vec![
        Row::new(
            CLASS,
            "the one between is missing",
            missing.chain(|chain| chain.truncate(1)),
        ),
        Row::new(CLASS, "the leaf in its issuer's place", twice),
        Row::new(CLASS, "the leaf last", leaf_last),
        Row::new(
            CLASS,
            "seven authorities",
            deep.issue(Cert::svid(ACME), &pki.key),
        ),
        Row::new(CLASS, "forty issuers of one name", ring),
        Row::new(
            CLASS,
            "no certificate at all",
            pki.leaf(Cert::svid(ACME)).chain(Vec::clear),
        ),
        Row::new(
            CLASS,
            "an authority that ended before the leaf",
            pki.below(
                Cert::authority("ended").validity(AGO, ENDED),
                Cert::svid(ACME).validity(AGO, FUTURE),
            ),
        ),
    ]
}
