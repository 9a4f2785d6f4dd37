//! Which requests the rules of a policy allow.

use cellway_tests::decide::{Core, Request, Sources, claims, sign, token};

use crate::{normal, spiffe, table};

/// Policies with rules: which rule decides, and which callers it allows.
const RULES: &str = r#"
    [[issuer]]
    name = "main"
    issuer = "https://idp.example"
    audience = "cellway"
    claims = { roles = "roles", scopes = "scope" }

    [[policy]]
    name = "ruled"
    mode = "permissive"
    any_of = ["jwt", "mtls"]
    anonymous_placement = "lobby"

    [[policy.rule]]
    name = "status"
    methods = ["GET"]
    path = "/status"
    allow = "anyone"

    [[policy.rule]]
    name = "profile"
    path = "/me/**"
    allow = "verified"

    [[policy.rule]]
    methods = ["GET"]
    path = "/orders/{id}"
    roles = ["viewer", "editor"]

    [[policy.rule]]
    path = "/orders/{id}"
    roles = ["editor"]
    scopes = ["orders:read", "orders:write"]

    [[policy.rule]]
    grpc = "orders.v1.Orders/List"
    roles = ["viewer"]

    [[policy.rule]]
    path = "/admin/**"
    roles = ["admin"]

    [[policy.rule]]
    methods = ["GET"]
    path = "/files/*"
    allow = "verified"

    [trust]
    bundle = "clients.pem"
    trust_domains = ["example"]
    san = ["spiffe://{trust_domain}/tenant/{tenant}"]
"#;

/// The core of [`RULES`]; its tenant acme allows two roles.
fn ruled() -> Core {
    let terms = r#""acme", "cell": "std-1", "allowed_roles": ["viewer", "editor"]"#;
    let sources = Sources::of(normal().replace(r#""acme", "cell": "std-1""#, terms));
    Core::new(RULES, sources)
}

/// A caller of acme's with these roles and scopes.
fn caller(roles: &[&str], scope: &str) -> Request {
    let claims = claims("acme").with("roles", roles).with("scope", scope);
    Request::to("ruled").bearer(&sign(&claims))
}

fn nobody() -> Request {
    Request::to("ruled")
}

fn viewer() -> Request {
    caller(&["viewer"], "orders:read")
}

fn editor() -> Request {
    caller(&["editor", "admin"], "orders:write orders:read")
}

/// A request with a name.
type Row = (&'static str, Request);

/// Under rules without roles.
fn without_roles() -> Vec<Row> {
    vec![
        ("anyone: anonymous", nobody().asks("GET", "/status")),
        ("anyone: HEAD for GET", nobody().asks("HEAD", "/status?x=y")),
        (
            "anyone: by another method",
            nobody().asks("POST", "/status"),
        ),
        ("anyone: with a slash", nobody().asks("GET", "/status/")),
        ("anyone: in capitals", nobody().asks("GET", "/Status")),
        ("verified: anonymous", nobody().asks("GET", "/me/")),
        ("verified: viewer", viewer().asks("DELETE", "/me")),
        (
            "verified: certificate",
            nobody().certificate(&[spiffe("acme")]).asks("GET", "/me/x"),
        ),
    ]
}

/// Under rules that ask for roles or scopes.
fn by_roles_and_scopes() -> Vec<Row> {
    vec![
        ("role: anonymous", nobody().asks("GET", "/orders/1")),
        ("role: viewer", viewer().asks("GET", "/orders/1")),
        ("role: editor", editor().asks("HEAD", "/orders/1")),
        ("role: none", caller(&[], "").asks("GET", "/orders/1")),
        ("role: viewer writes", viewer().asks("PUT", "/orders/1")),
        ("role and scopes: editor", editor().asks("PUT", "/orders/1")),
        (
            "role and scopes: one scope short",
            caller(&["editor"], "orders:write").asks("PUT", "/orders/1"),
        ),
        ("role and scopes: scopes in a list", {
            let scopes = ["orders:read", "orders:write"];
            let claims = claims("acme")
                .with("roles", "editor")
                .with("scope", scopes.to_vec());
            let token = sign(&claims);
            nobody().bearer(&token).asks("PUT", "/orders/1")
        }),
        ("scopes: not a list of scopes", {
            let token = sign(&claims("acme").with("scope", 7));
            nobody().bearer(&token).asks("GET", "/orders/1")
        }),
        (
            "role that the tenant doesn't allow",
            editor().asks("GET", "/admin/x"),
        ),
    ]
}

/// Calls of gRPC, and requests that no rule is for.
fn grpc_and_no_rule() -> Vec<Row> {
    let grpc = |request: Request| {
        let request = request.asks("POST", "/orders.v1.Orders/List");
        request.header("content-type", "application/grpc+proto")
    };
    vec![
        ("gRPC: viewer", grpc(viewer())),
        ("gRPC: editor", grpc(editor())),
        (
            "gRPC: another content type",
            viewer().asks("POST", "/orders.v1.Orders/List"),
        ),
        (
            "gRPC: another method",
            viewer()
                .asks("POST", "/orders.v1.Orders/Delete")
                .header("content-type", "application/grpc"),
        ),
        ("no rule", editor().asks("GET", "/")),
        (
            "no rule: one segment too many",
            editor().asks("GET", "/files/a/b"),
        ),
        ("no path", editor().asks("OPTIONS", "*")),
        ("no path but a query", editor().asks("GET", "?x")),
        (
            "no rule, and the tenant is suspended",
            nobody().bearer(&token("hooli")).asks("GET", "/"),
        ),
    ]
}

#[test]
fn rules() {
    let rows = [without_roles(), by_roles_and_scopes(), grpc_and_no_rule()].concat();
    insta::assert_snapshot!(table(&mut ruled(), &rows));
}

/// Paths that router and cell could read in two ways, and ones that look so and aren't.
#[test]
fn confusing_paths() {
    let viewer = || caller(&["viewer"], "");
    let ask = |path: &str| (path.to_owned(), viewer().asks("GET", path));
    let mut rows: Vec<_> = [
        "/files/a",
        "/files/%61",
        "/%66iles/a",
        "/files/a%20b",
        "/files/a.b",
        "/files/...",
        "/files/a?b=../../admin",
        "/files//admin",
        "//files/a",
        "/files/..",
        "/files/../admin/x",
        "/files/%2e%2e",
        "/files/.%2e/admin/x",
        "/files/..%2fadmin",
        "/files/%2e%2e%2fadmin",
        "/files/..%5cadmin",
        "/files/..\\admin",
        "/files/..;/admin/x",
        "/files/a;b",
        "/admin/x;/../../files/a",
        "/files/%00",
        "/files/a%0d%0ab",
        "/files/%c0%ae%c0%ae",
        "/files/%ef%bc%8e",
        "/files/%252e%252e",
        "/files/%",
        "/files/%2",
        "/files/%zz",
        "/files/%u002e",
        "/files/caf\u{e9}",
        "/files/%3fx",
        "/files/%23x",
        "/./files/a",
        "/%61dmin/x",
    ]
    .into_iter()
    .map(ask)
    .collect();
    for header in [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X_HTTP_Method_Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Original-URLs",
    ] {
        let request = viewer().asks("GET", "/files/a").header(header, "x");
        rows.push((format!("/files/a, {header}"), request));
    }
    let rows: Vec<_> = rows
        .iter()
        .map(|(label, row)| (label.as_str(), row.clone()))
        .collect();
    insta::assert_snapshot!(table(&mut ruled(), &rows));
}
