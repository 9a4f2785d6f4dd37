//! Headers and trailers that claim what only the router may say.

use bytes::Bytes;
use cellway_testbed::{Protocol, Request};
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::table::Table;

/// More than a request's header may have, which is 64 KiB.
const HEADER_LEN: usize = 70 << 10;
/// More fields than a request's header may have.
const FIELDS: usize = 1_000;

pub(crate) async fn rows(table: &mut Table<'_>) {
    let token = table.world.token();
    let good = || Request::get("/orders").bearer(&token);
    let duplicates = [
        ("x-cellway-tenant", "globex"),
        ("x-cellway-tenant", "acme"),
        ("X-Cellway-Tenant", "globex"),
        ("x-cellway-auth", "verified"),
        ("x-cellway-roles", "admin"),
        ("x-cellway-cell", "b"),
        ("x-cellway-request-id", "mine"),
    ];
    table
        .ask("the router's names, some twice", with(good(), &duplicates))
        .await;
    let near = [
        ("x_cellway_tenant", "globex"),
        ("X-Cellway_Roles", "admin"),
        ("x.cellway.sub", "root"),
        ("x-cellway-anything", "1"),
        ("x-cellway-envelope", "e30"),
        ("X~Cellway!Org", "evil"),
    ];
    table.ask("near misses of them", with(good(), &near)).await;
    evidence(table, good()).await;
    table
        .ask(
            "the router's names and no credential",
            with(Request::get("/"), &duplicates),
        )
        .await;
    let proxied = [(
        "x-forwarded-client-cert",
        "URI=spiffe://clients.test/tenant/acme",
    )];
    table
        .ask(
            "a certificate by hearsay",
            with(Request::get("/"), &proxied),
        )
        .await;
    sizes(table, good()).await;
    connection(table, good()).await;
    trailers(table, good()).await;
}

/// What would count as evidence if somebody else said it, or in another form; and what wouldn't.
async fn evidence(table: &mut Table<'_>, good: Request) {
    let good = || good.clone();
    let others = [
        ("x-routing-key", "globex"),
        ("x_routing_key", "globex"),
        ("Cell_Bound_Authorization", "e30.e30."),
    ];
    table
        .ask("what counts as evidence elsewhere", with(good(), &others))
        .await;
    let broken = [("cell-bound-authorization", "e30.e30.")];
    table
        .ask(
            "a cell-bound authorization of no form",
            with(good(), &broken),
        )
        .await;
    let innocent = [("x-cellwayish", "kept"), ("x-tenant", "kept")];
    table
        .ask("innocent neighbours", with(good(), &innocent))
        .await;
    let choice = [("x-cellway-select-tenant", "globex")];
    table
        .ask("choosing a tenant not held", with(good(), &choice))
        .await;
}

/// More than a header may hold.
async fn sizes(table: &mut Table<'_>, good: Request) {
    let good = || good.clone();
    let long = "x".repeat(HEADER_LEN);
    table
        .ask(
            "a header of 70 KiB",
            with(good(), &[("x-own", long.as_str())]),
        )
        .await;
    let many: Vec<String> = (0..FIELDS).map(|i| format!("x-own-{i}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "1")).collect();
    table.ask("a thousand headers", with(good(), &many)).await;
}

/// `Connection` exists in HTTP/1.1 only. What it may name is gone at the cell.
async fn connection(table: &mut Table<'_>, good: Request) {
    let many = vec!["x-own"; 33].join(", ");
    for (what, options) in [
        (
            "Connection names what is for one hop",
            "x-own, TE, close, x-absent",
        ),
        (
            "Connection names what the router stamps",
            "x-cellway-tenant",
        ),
        ("Connection names a near miss of it", "X_Cellway_Auth"),
        ("Connection names the credential", "close, authorization"),
        ("Connection names the host", "host"),
        ("Connection names a field of the cell's", "accept"),
        ("Connection names 33 fields", &many),
    ] {
        let own = [("x-own", "1"), ("accept", "*/*"), ("connection", options)];
        let request = with(good.clone(), &own);
        table.one(what, Protocol::Http1, request).await;
    }
}

async fn trailers(table: &mut Table<'_>, mut request: Request) {
    request.method = Method::POST;
    request.body = Bytes::from_static(b"hello");
    for (name, value) in [
        ("x-cellway-tenant", "globex"),
        ("x_cellway_roles", "admin"),
        ("x-routing-key", "globex"),
        ("authorization", "Bearer e30.e30."),
        ("content-length", "0"),
        ("x-http-method-override", "DELETE"),
        ("x_original_url", "/admin"),
        ("forwarded", "for=192.0.2.1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("cookie", "session=1"),
        ("if-match", "*"),
        ("x-checksum", "kept"),
    ] {
        append(&mut request.trailers, name, value);
    }
    table
        .ask("what counts in a header, in trailers", request)
        .await;
}

fn with(mut request: Request, headers: &[(&str, &str)]) -> Request {
    for (name, value) in headers {
        append(&mut request.headers, name, value);
    }
    request
}

fn append(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    headers.append(name, HeaderValue::from_str(value).unwrap());
}
