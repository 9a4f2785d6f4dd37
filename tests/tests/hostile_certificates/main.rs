//! Hostile client certificates by class, each in a real handshake with a real router: each is
//! refused, and says why. Good ones of every legal kind: each is taken.
//!
//! The rules are those of SPIFFE's X.509-SVID and RFC 5280; certificates, keys and changes are our
//! own, most of them written byte by byte, because no library makes them. A plain server (rustls's
//! verifier with the same roots, and the first URI name of what it takes) is shown the same, and the
//! rows that it takes are marked `!`: they are what strictness is about. Nothing here depends on the
//! day: good certificates end in 2098, bad ones ended in 2021.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets something else has found a bug"
)]

mod chains;
mod der;
mod domains;
mod forms;
mod good;
mod lists;
mod make;
mod pki;
mod revoked;
mod routers;
mod svids;
mod usages;

use std::collections::BTreeMap;
use std::fmt::Write;

use cellway_testbed::Signer;
use cellway_tests::world::World;

use crate::make::Shown;
use crate::pki::Pki;
use crate::routers::Stand;

/// One client, and the router that it comes to.
pub struct Row {
    class: &'static str,
    name: String,
    setup: Setup,
    shown: Shown,
}

impl Row {
    fn new(class: &'static str, name: impl Into<String>, shown: Shown) -> Self {
        Self {
            class,
            name: name.into(),
            setup: Setup::Uris,
            shown,
        }
    }

    fn at(mut self, setup: Setup) -> Self {
        self.setup = setup;
        self
    }
}

/// How a router's `[trust]` is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setup {
    /// One template, for URI names.
    Uris,
    /// A template for DNS names beside it.
    Names,
    /// With revocation lists.
    Lists,
    /// Two trust domains, one of them with a bundle of its own.
    Domains,
}

impl Setup {
    const ALL: [Self; 4] = [Self::Uris, Self::Names, Self::Lists, Self::Domains];

    fn trust(self) -> &'static str {
        match self {
            Self::Uris => {
                r#"
bundle = "all.pem"
trust_domains = ["clients.test"]
san = ["spiffe://{trust_domain}/tenant/{tenant}/**"]
"#
            }
            Self::Names => {
                r#"
bundle = "all.pem"
trust_domains = ["clients.test"]
san = ["spiffe://{trust_domain}/tenant/{tenant}", "{tenant}.clients.test"]
"#
            }
            Self::Lists => {
                r#"
bundle = "all.pem"
crl = ["lists.pem"]
trust_domains = ["clients.test"]
san = ["spiffe://{trust_domain}/tenant/{tenant}"]
"#
            }
            Self::Domains => {
                r#"
bundle = "all.pem"
trust_domains = [
    { name = "clients.test", tenants = ["acme"] },
    { name = "own.test", tenants = ["globex"], bundle = "own.pem" },
]
san = ["spiffe://{trust_domain}/tenant/{tenant}"]
"#
            }
        }
    }
}

async fn stand(pki: &Pki) -> Stand {
    let world = World::up(Signer::from_seed("ed", [7; 32]).unwrap()).await;
    Stand::new(world, pki).await
}

#[tokio::test]
async fn every_hostile_certificate_is_refused_with_its_reason() {
    let pki = Pki::new();
    let stand = stand(&pki).await;
    let mut rows = svids::rows(&pki);
    rows.extend(usages::rows(&pki));
    rows.extend(forms::rows(&pki));
    rows.extend(chains::rows(&pki));
    rows.extend(revoked::rows(&pki));
    rows.extend(domains::hostile(&pki));
    let mut classes: BTreeMap<&str, (String, [usize; 2])> = BTreeMap::new();
    let mut all = [0, 0];
    let mut taken = Vec::new();
    for row in &rows {
        let outcome = stand.show(row).await;
        let (text, counts) = classes.entry(row.class).or_default();
        let mark = if outcome.plain.is_some() { '!' } else { ' ' };
        let said = match outcome.router {
            Ok(tenant) => {
                taken.push(&*row.name);
                format!("TAKEN as {tenant}")
            }
            Err(why) => why,
        };
        writeln!(text, "{mark} {:<58} {said}", row.name).unwrap();
        for counts in [counts, &mut all] {
            counts[0] += 1;
            counts[1] += usize::from(outcome.plain.is_some());
        }
    }
    let head = format!(
        "{} shown, {} taken; a plain verifier takes {}",
        all[0],
        taken.len(),
        all[1]
    );
    println!("{head}");
    let mut text = format!("{head}\n");
    for (class, (rows, [count, plain])) in classes {
        write!(text, "\n== {class}: {count}, {plain}\n{rows}").unwrap();
    }
    insta::assert_snapshot!("hostile", text);
    assert!(taken.is_empty(), "{taken:#?}");
}

#[tokio::test]
async fn no_good_certificate_is_refused() {
    let pki = Pki::new();
    let stand = stand(&pki).await;
    let rows = good::rows(&pki).into_iter().map(|row| (row, "acme"));
    let rows: Vec<_> = rows.chain(domains::good(&pki)).collect();
    let (mut names, mut refused) = (Vec::new(), Vec::new());
    for (row, tenant) in &rows {
        names.push(&*row.name);
        match stand.show(row).await.router {
            Ok(shown) if shown == *tenant => {}
            other => refused.push((&*row.name, other)),
        }
    }
    println!("{} shown, {} refused", names.len(), refused.len());
    assert!(refused.is_empty(), "{refused:#?}");
    insta::assert_snapshot!("good", names.join("\n"));
}
