//! Names that make no SVID, or another's (SPIFFE ID, section 2; X.509-SVID, sections 2 and 5.2).

use crate::der::tlv;
use crate::make::{Cert, address_name, dns_name, email_name, names, other_name, uri_name};
use crate::pki::{ACME, Pki};
use crate::{Row, Setup};

const CLASS: &str = "names";

pub(crate) fn rows(pki: &Pki) -> Vec<Row> {
    let mut rows = ids(pki);
    rows.extend(sets(pki));
    rows.extend(kinds(pki));
    rows.extend(dns(pki));
    rows
}

/// What is wrong with a URI, and the URI.
type Uri = (&'static str, &'static str);

/// Paths that name no tenant, or that a server could read differently.
const PATHS: &[Uri] = &[
    ("no path", "spiffe://clients.test"),
    ("an empty path", "spiffe://clients.test/"),
    ("no tenant", "spiffe://clients.test/tenant"),
    ("an empty tenant", "spiffe://clients.test/tenant/"),
    ("a slash at the end", "spiffe://clients.test/tenant/acme/"),
    ("an empty segment", "spiffe://clients.test//tenant/acme"),
    (
        "an empty segment further on",
        "spiffe://clients.test/tenant/acme//x",
    ),
    ("a dot segment", "spiffe://clients.test/./tenant/acme"),
    (
        "a path that climbs",
        "spiffe://clients.test/tenant/globex/../acme",
    ),
    (
        "a path that climbs at the end",
        "spiffe://clients.test/tenant/acme/x/..",
    ),
    ("an escaped letter", "spiffe://clients.test/tenant/%61cme"),
    ("an escaped slash", "spiffe://clients.test/tenant%2facme"),
    (
        "an escaped slash in the tenant",
        "spiffe://clients.test/tenant/acme%2fx",
    ),
];

/// Parts of a URI that a SPIFFE ID must not have.
const PARTS: &[Uri] = &[
    ("a port", "spiffe://clients.test:443/tenant/acme"),
    ("an empty port", "spiffe://clients.test:/tenant/acme"),
    ("a user", "spiffe://root@clients.test/tenant/acme"),
    ("an empty user", "spiffe://@clients.test/tenant/acme"),
    (
        "our domain as a user",
        "spiffe://clients.test@evil.test/tenant/acme",
    ),
    ("a query", "spiffe://clients.test/tenant/acme?x=1"),
    ("an empty query", "spiffe://clients.test/tenant/acme?"),
    ("a fragment", "spiffe://clients.test/tenant/acme#x"),
    ("an empty fragment", "spiffe://clients.test/tenant/acme#"),
];

/// Schemes other than `spiffe://`.
const SCHEMES: &[Uri] = &[
    ("another scheme", "https://clients.test/tenant/acme"),
    (
        "a scheme that begins alike",
        "spiffes://clients.test/tenant/acme",
    ),
    (
        "a scheme in upper case",
        "SPIFFE://clients.test/tenant/acme",
    ),
    ("a scheme alone", "spiffe:clients.test/tenant/acme"),
    ("one slash too few", "spiffe:/clients.test/tenant/acme"),
    ("one slash too many", "spiffe:///clients.test/tenant/acme"),
];

/// Trust domains other than `clients.test`.
const TRUST_DOMAINS: &[Uri] = &[
    (
        "a trust domain in upper case",
        "spiffe://Clients.test/tenant/acme",
    ),
    ("an empty trust domain", "spiffe:///tenant/acme"),
    ("another trust domain", "spiffe://evil.test/tenant/acme"),
    (
        "a trust domain that ends alike",
        "spiffe://evil.clients.test/tenant/acme",
    ),
    (
        "a trust domain that begins alike",
        "spiffe://clients.test.evil/tenant/acme",
    ),
    (
        "a trust domain that is cut short",
        "spiffe://clients.tes/tenant/acme",
    ),
    (
        "a trust domain with a dot at its end",
        "spiffe://clients.test./tenant/acme",
    ),
    (
        "a trust domain with an escaped dot",
        "spiffe://clients%2etest/tenant/acme",
    ),
    (
        "a trust domain in brackets",
        "spiffe://[clients.test]/tenant/acme",
    ),
];

/// Tenants that are no name, or not one of the registry's.
const TENANTS: &[Uri] = &[
    (
        "a tenant in upper case",
        "spiffe://clients.test/tenant/ACME",
    ),
    (
        "a tenant with a tilde",
        "spiffe://clients.test/tenant/~acme",
    ),
    (
        "a tenant with a plus",
        "spiffe://clients.test/tenant/acme+globex",
    ),
    (
        "a tenant with a comma",
        "spiffe://clients.test/tenant/acme,globex",
    ),
    (
        "a tenant with a semicolon",
        "spiffe://clients.test/tenant/acme;globex",
    ),
    (
        "a tenant with a backslash",
        "spiffe://clients.test/tenant\\acme",
    ),
    (
        "a tenant with a space at its end",
        "spiffe://clients.test/tenant/acme ",
    ),
    (
        "a space before the id",
        " spiffe://clients.test/tenant/acme",
    ),
    ("a tenant and a NUL", "spiffe://clients.test/tenant/acme\0"),
    (
        "a NUL and another tenant",
        "spiffe://clients.test/tenant/acme\0.evil",
    ),
    ("a line break", "spiffe://clients.test/tenant/acme\r\nx: y"),
    (
        "a letter beyond ASCII",
        "spiffe://clients.test/tenant/acm\u{e9}",
    ),
    (
        "a Cyrillic letter",
        "spiffe://clients.test/tenant/\u{430}cme",
    ),
    ("a template", "spiffe://clients.test/tenant/{tenant}"),
    ("a wildcard", "spiffe://clients.test/tenant/*"),
    ("a service", "spiffe://clients.test/service/acme"),
    (
        "a tenant that nobody knows",
        "spiffe://clients.test/tenant/nobody",
    ),
    (
        "a tenant that is suspended",
        "spiffe://clients.test/tenant/wayne",
    ),
    ("an empty name", ""),
];

/// One URI name.
fn ids(pki: &Pki) -> Vec<Row> {
    let long_domain = format!("spiffe://{}/tenant/acme", "a".repeat(256));
    let long = format!("{ACME}/{}", "x".repeat(2_048 - ACME.len()));
    let too_long = [
        ("a trust domain that is too long", &*long_domain),
        ("an id that is too long", &*long),
    ];
    [PATHS, PARTS, SCHEMES, TRUST_DOMAINS, &too_long, TENANTS]
        .concat()
        .into_iter()
        .map(|(what, uri)| Row::new(CLASS, what, pki.leaf(Cert::svid(uri))))
        .collect()
}

/// A leaf with these names.
fn named(all: &[Vec<u8>]) -> Cert {
    Cert::leaf().and(names(all))
}

/// No URI name, or several of them.
fn sets(pki: &Pki) -> Vec<Row> {
    let acme = || uri_name(ACME);
    let mut subject = Cert::leaf();
    subject.subject = ACME.to_owned();
    [
        ("no names", Cert::leaf()),
        ("an empty list of names", named(&[])),
        ("the id as common name", subject),
        (
            "two ids",
            named(&[acme(), uri_name("spiffe://clients.test/tenant/globex")]),
        ),
        (
            "two ids, the other first",
            named(&[uri_name("spiffe://evil.test/x"), acme()]),
        ),
        ("the same id twice", named(&[acme(), acme()])),
        (
            "an id and another URI",
            named(&[acme(), uri_name("https://clients.test/")]),
        ),
        (
            "another URI and an id",
            named(&[uri_name("https://clients.test/"), acme()]),
        ),
        ("an id and an empty URI", named(&[acme(), uri_name("")])),
        (
            "two extensions of names",
            Cert::svid(ACME).and(names(&[dns_name("a.test")])),
        ),
        (
            "the id in two extensions",
            Cert::svid(ACME).and(names(&[acme()])),
        ),
        (
            "the id in an extension after an empty one",
            named(&[]).and(names(&[acme()])),
        ),
    ]
    .map(|(what, cert)| Row::new(CLASS, what, pki.leaf(cert)))
    .into()
}

/// The id in names of other kinds, or among them.
fn kinds(pki: &Pki) -> Vec<Row> {
    let latin = tlv(0x86, b"spiffe://clients.test/tenant/acme\xe9");
    let constructed = tlv(0xa6, &tlv(0x16, ACME.as_bytes()));
    let many: Vec<_> = (0..65).map(|i| dns_name(&format!("n{i}.test"))).collect();
    [
        ("the id as a DNS name", named(&[dns_name(ACME)])),
        ("the id as an email address", named(&[email_name(ACME)])),
        (
            "the id as a name of another kind",
            named(&[other_name(ACME)]),
        ),
        ("an address only", named(&[address_name([127, 0, 0, 1])])),
        (
            "an email address only",
            named(&[email_name("acme@clients.test")]),
        ),
        (
            "a DNS name where URIs are asked for",
            named(&[dns_name("acme.clients.test")]),
        ),
        ("an id that isn't ASCII", named(&[latin])),
        ("an id in a constructed string", named(&[constructed])),
        (
            "more names than anybody needs",
            named(&[vec![uri_name(ACME)], many].concat()),
        ),
        (
            "a name of a kind that doesn't exist",
            named(&[uri_name(ACME), tlv(0x89, b"x")]),
        ),
    ]
    .map(|(what, cert)| Row::new(CLASS, what, pki.leaf(cert)))
    .into()
}

/// Where DNS names are asked for too.
fn dns(pki: &Pki) -> Vec<Row> {
    let host = "acme.clients.test";
    let named = |all: &[&str]| {
        let all: Vec<_> = all.iter().map(|name| dns_name(name)).collect();
        Cert::leaf().and(names(&all))
    };
    let mut subject = Cert::leaf();
    subject.subject = host.to_owned();
    [
        ("a DNS name as common name", subject),
        ("a wildcard", named(&["*.clients.test"])),
        ("a wildcard within the label", named(&["acm*.clients.test"])),
        ("a dot at the end", named(&["acme.clients.test."])),
        ("a dot at the beginning", named(&[".acme.clients.test"])),
        ("two dots", named(&["acme..clients.test"])),
        ("no tenant", named(&["clients.test"])),
        ("an empty tenant", named(&[".clients.test"])),
        ("one label too many", named(&["x.acme.clients.test"])),
        (
            "a name that ends in more",
            named(&["acme.clients.test.evil"]),
        ),
        ("a name that ends alike", named(&["acme.evilclients.test"])),
        ("two tenants", named(&[host, "globex.clients.test"])),
        ("a NUL", named(&["acme.clients.test\0.evil"])),
        ("a space", named(&["acme.clients.test "])),
        ("a slash", named(&["acme/.clients.test"])),
        ("a letter beyond ASCII", named(&["acm\u{e9}.clients.test"])),
        (
            "a tenant that nobody knows",
            named(&["nobody.clients.test"]),
        ),
        ("a tenant in Punycode", named(&["xn--acm-dma.clients.test"])),
        (
            "a DNS name beside another domain's id",
            Cert::leaf().and(names(&[
                dns_name(host),
                uri_name("spiffe://evil.test/tenant/acme"),
            ])),
        ),
        (
            "a DNS name beside two ids",
            Cert::leaf().and(names(&[dns_name(host), uri_name(ACME), uri_name(ACME)])),
        ),
        (
            "a DNS name in a second extension",
            named(&[host]).and(names(&[uri_name(ACME)])),
        ),
    ]
    .map(|(what, cert)| Row::new("DNS names", what, pki.leaf(cert)).at(Setup::Names))
    .into()
}
