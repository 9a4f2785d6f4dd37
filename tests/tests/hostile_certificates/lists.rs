//! Lists that can't be honoured: a router doesn't start with one, and a reload with one changes
//! nothing.

use cellway_testbed::Signer;
use cellway_tests::world::{World, boot};

use crate::Setup;
use crate::der::{boolean, context, integer, named_bits, sequence, tlv};
use crate::make::{Authority, FUTURE, extension, uri_name};
use crate::pki::Pki;
use crate::routers::config;

const DELTA: &[u8] = &[0x55, 0x1d, 0x1b];
const SCOPE: &[u8] = &[0x55, 0x1d, 0x1c];

/// A list whose issuing distribution point says this (RFC 5280, section 5.2.5).
fn scoped(authority: &Authority, tag: u8, value: &[u8]) -> Vec<u8> {
    let place = context(0, &context(0, &uri_name("http://ca.test/list")));
    let scope = extension(SCOPE, true, &sequence(&[place, tlv(tag, value)]));
    authority.list(&[], FUTURE, &[scope])
}

fn bad(authority: &Authority) -> Vec<(&'static str, Vec<u8>)> {
    let with = |all: &[Vec<u8>]| authority.list(&[Pki::REVOKED], FUTURE, all);
    let plain = with(&[]);
    let yes = &boolean(true)[2..];
    let reasons = named_bits(&[1]);
    vec![
        (
            "a delta list",
            with(&[extension(DELTA, true, &integer(&[1]))]),
        ),
        ("an indirect list", scoped(authority, 0x84, yes)),
        (
            "for some reasons only",
            scoped(authority, 0x83, &reasons[2..]),
        ),
        (
            "for attribute certificates only",
            scoped(authority, 0x85, yes),
        ),
        (
            "an unknown critical extension",
            with(&[extension(&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x7f], true, b"x")]),
        ),
        (
            "a scope, and no place that it is for",
            with(&[extension(SCOPE, true, &sequence(&[tlv(0x81, yes)]))]),
        ),
        ("a byte after it", [&plain[..], &[0]].concat()),
        ("cut short", plain[..plain.len() - 1].to_vec()),
    ]
}

#[tokio::test]
async fn a_list_that_cant_be_honoured_is_refused_where_it_is_named() {
    let world = World::up(Signer::from_seed("ed", [7; 32]).unwrap()).await;
    let pki = Pki::new();
    pki.write(&world.folder);
    let text = config(&world, Setup::Lists).replace("lists.pem", "list.der");
    world.folder.write("cellway.toml", &text);
    let put = |der: &[u8]| std::fs::write(world.folder.path("list.der"), der).unwrap();
    let file = world.folder.path("cellway.toml");
    let named = |error: &str| error.replace(&world.folder.path(""), "");
    // Whole lists, also those for users' certificates alone, are good.
    put(&scoped(&pki.listed, 0x81, &boolean(true)[2..]));
    let router = boot(&file).await.unwrap();
    let mut lines = Vec::new();
    for (what, list) in bad(&pki.listed) {
        put(&list);
        let Err(error) = boot(&file).await else {
            panic!("{what}: it starts");
        };
        let refused = router.reload_refused().await;
        assert!(refused.contains("trust.crl[0]"), "{refused}");
        lines.push(format!("{what}: {}", named(&error)));
    }
    put(&pki.listed.list(&[], FUTURE, &[]));
    router.reload().await;
    insta::assert_snapshot!("lists", lines.join("\n"));
}
