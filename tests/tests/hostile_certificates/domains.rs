//! Two trust domains, `clients.test` under the common bundle and `own.test` under its own: whose
//! authority vouches for whose names.

use cellway_testbed::Request;
use cellway_tests::world::reason;

use crate::der::name;
use crate::make::{Authority, Cert, Key, Shown, dns_name, names, uri_name};
use crate::pki::{ACME, Pki};
use crate::{Row, Setup};

/// The name of a tenant of the other trust domain.
const GLOBEX: &str = "spiffe://own.test/tenant/globex";

pub(crate) fn hostile(pki: &Pki) -> Vec<Row> {
    let mut rows = other_authorities(pki);
    rows.extend(other_names(pki));
    rows
}

/// Authorities that vouch for names of a trust domain that isn't theirs.
fn other_authorities(pki: &Pki) -> Vec<Row> {
    let issue = |authority: &Authority, uri: &str| authority.issue(Cert::svid(uri), &pki.key);
    let both = |authority: &Authority, uris: [&str; 2]| {
        let uris = uris.map(uri_name);
        authority.issue(Cert::leaf().and(names(&uris)), &pki.key)
    };
    let named = Cert::leaf().and(names(&[dns_name("acme.clients.test")]));
    let crossed = pki.own.below(Cert::authority("between"), Key::seeded(61));
    let other_way = Cert::authority("root");
    let other_way = pki.own.below(other_way, pki.root.key.clone());
    let intermediate = Cert::authority("own").and(names(&[uri_name("spiffe://own.test")]));
    let claims = pki.root.below(intermediate, Key::seeded(60));
    rows([
        (
            "the common authority, a name of the other domain",
            issue(&pki.root, GLOBEX),
        ),
        (
            "the other domain's authority, a common name",
            issue(&pki.own, ACME),
        ),
        (
            "an authority below the other domain's, a common name",
            issue(&crossed, ACME),
        ),
        (
            "a common authority's key under the other domain's root",
            issue(&other_way, GLOBEX).chain(|chain| chain.truncate(1)),
        ),
        (
            "the other domain's authority, its name second",
            both(&pki.own, [ACME, GLOBEX]),
        ),
        (
            "the common authority, its name second",
            both(&pki.root, [GLOBEX, ACME]),
        ),
        (
            "the other domain's authority, a DNS name",
            pki.own.issue(named, &pki.key),
        ),
        (
            "an authority that calls itself the other domain's",
            issue(&claims, GLOBEX),
        ),
    ])
}

/// Names of the other domain's tenants, and of domains that look like it.
fn other_names(pki: &Pki) -> Vec<Row> {
    let issue = |authority: &Authority, uri: &str| authority.issue(Cert::svid(uri), &pki.key);
    rows([
        (
            "its own domain's authority, a tenant of the other",
            issue(&pki.own, "spiffe://own.test/tenant/acme"),
        ),
        (
            "the common authority, a tenant of the other",
            issue(&pki.root, "spiffe://clients.test/tenant/globex"),
        ),
        (
            "a domain that ends alike",
            issue(&pki.own, "spiffe://x.own.test/tenant/globex"),
        ),
        (
            "a domain in upper case",
            issue(&pki.own, "spiffe://OWN.test/tenant/globex"),
        ),
    ])
}

fn rows<const N: usize>(rows: [(&'static str, Shown); N]) -> Vec<Row> {
    rows.map(|(what, shown)| Row::new("trust domains", what, shown).at(Setup::Domains))
        .into()
}

/// Names that count, each as its tenant.
pub(crate) fn good(pki: &Pki) -> Vec<(Row, &'static str)> {
    let between = pki.own.below(Cert::authority("between"), Key::seeded(62));
    let own = Cert::authority("own ca").and(names(&[uri_name("spiffe://own.test")]));
    let own = pki.own.below(own, Key::seeded(63));
    let issue = |authority: &Authority, uri: &str| authority.issue(Cert::svid(uri), &pki.key);
    let tenants = ["acme", "globex", "globex", "globex"];
    let rows = rows([
        (
            "the common authority, a common name",
            issue(&pki.root, ACME),
        ),
        (
            "the other domain's authority, its name",
            issue(&pki.own, GLOBEX),
        ),
        (
            "an authority below the other domain's",
            issue(&between, GLOBEX),
        ),
        (
            "an authority with the other domain's id",
            issue(&own, GLOBEX),
        ),
    ]);
    rows.into_iter().zip(tenants).collect()
}

#[tokio::test]
async fn an_authority_is_changed_for_its_own_trust_domain_alone() {
    let pki = Pki::new();
    let stand = crate::stand(&pki).await;
    let (router, folder) = (stand.router(Setup::Domains), &stand.world.folder);
    let next = Authority::root("own", Key::seeded(64));
    let shown = |authority: &Authority, uri: &str| authority.issue(Cert::svid(uri), &pki.key);
    let connect = async |shown: &Shown| {
        let client = stand.client_of(Setup::Domains, shown);
        client.connect().await.unwrap()
    };
    let (acme, lagging, renewed) = (
        shown(&pki.root, ACME),
        shown(&pki.own, GLOBEX),
        shown(&next, GLOBEX),
    );
    let (mut common, mut old) = (connect(&acme).await, connect(&lagging).await);
    let asked = acme.hints.lock().unwrap().clone();
    for authority in [&pki.root, &pki.own] {
        assert!(asked.contains(&name(&authority.name)), "{}", authority.name);
    }
    let get = || Request::get("/orders");
    assert_eq!(common.send(get()).await.unwrap().status, 200);
    assert_eq!(old.send(get()).await.unwrap().status, 200);

    // Both, one beside the other and of one name, while clients renew.
    Pki::write_own(folder, &[&pki.own, &next]);
    router.reload().await;
    let mut new = connect(&renewed).await;
    for standing in [&mut common, &mut old, &mut new] {
        assert_eq!(standing.send(get()).await.unwrap().status, 200);
    }
    Pki::write_own(folder, &[&next]);
    router.reload().await;
    assert_eq!(common.send(get()).await.unwrap().status, 200);
    assert_eq!(new.send(get()).await.unwrap().status, 200);
    let answer = old.send(get()).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), reason(&answer)),
        (401, "certificate_untrusted".to_owned())
    );

    // What is no bundle changes nothing, and is named.
    folder.write("own.pem", "no PEM");
    let refused = router.reload_refused().await;
    assert!(
        refused.contains("trust.trust_domains (own.test) bundle"),
        "{refused}"
    );
    assert_eq!(new.send(get()).await.unwrap().status, 200);
}
