//! Labels are bounded: made-up names create no time series.

use std::collections::BTreeSet;

use cellway_testbed::{Protocol, Request, San, Signer};
use cellway_tests::world::{Running, World, certificate};
use http::Method;
use http::header::{HOST, HeaderValue};

/// How many of each kind are made up.
const MANY: usize = 400;
/// How many certificates, each of which needs a handshake.
const CERTIFICATES: usize = 40;

/// Names and labels of all series.
async fn series(router: &Running) -> BTreeSet<String> {
    let page = router.admin("/metrics").await.body;
    let page = String::from_utf8(page.into()).unwrap();
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let names = samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()));
    names.collect()
}

/// The `n`-th of each made-up request.
fn made_up(world: &World, n: usize) -> Vec<Request> {
    let idp = &world.idp;
    let sign = |claims| idp.sign(&claims).unwrap();
    let host = HeaderValue::try_from(format!("host-{n}.example")).unwrap();
    let mut method = Request::get("/").bearer(&world.token());
    method.method = Method::from_bytes(format!("METHOD{n}").as_bytes()).unwrap();
    vec![
        Request::get("/").bearer(&sign(world.claims().tenant(&format!("tenant-{n}")))),
        Request::get("/").bearer(&sign(world.claims().kid(&format!("kid-{n}")))),
        Request::get("/").bearer(&sign(
            world
                .claims()
                .with("iss", format!("https://issuer-{n}.example")),
        )),
        Request::get("/").bearer(&sign(world.claims().subject(&format!("subject-{n}")))),
        Request::get(&format!("/path-{n}/x?y={n}")).bearer(&world.token()),
        Request::get("/").bearer(&world.token()).header(HOST, host),
        method,
    ]
}

async fn ask(world: &World, router: &Running, numbers: std::ops::Range<usize>) {
    let trusted = [&world.authorities.servers];
    let client = router.client(Protocol::Http1, &trusted, None);
    let mut connection = client.connect().await.unwrap();
    for n in numbers {
        for request in made_up(world, n) {
            connection.send(request).await.unwrap();
        }
        world.seen.since();
    }
}

async fn show(world: &World, router: &Running, numbers: std::ops::Range<usize>) {
    let trusted = [&world.authorities.servers];
    for n in numbers {
        let san = San::Uri(format!("spiffe://clients.test/tenant/san-{n}"));
        let credential = certificate(&world.authorities.clients, vec![san]);
        let client = router.client(Protocol::Http1, &trusted, Some(&credential));
        client.send(Request::get("/")).await.unwrap();
    }
}

#[tokio::test]
async fn made_up_names_make_no_series() {
    let world = World::up(Signer::from_seed("k1", [1; 32]).unwrap()).await;
    let router = world.router().await;
    ask(&world, &router, 0..2).await;
    show(&world, &router, 0..2).await;
    let before = series(&router).await;
    assert!(before.len() < 1_000, "{} series", before.len());
    ask(&world, &router, 2..MANY).await;
    show(&world, &router, 2..CERTIFICATES).await;
    let after = series(&router).await;
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:#?}");
}
