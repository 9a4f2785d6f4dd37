//! Request targets that a cell could read as another than the router has allowed.

use crate::raw::exchange;
use crate::table::Table;

/// Files are for everyone, orders for no one by another way than GET, the rest for nobody.
pub(crate) const RULES: &str = r#"
[[policy.rule]]
methods = ["GET"]
path = "/files/*"
allow = "verified"

[[policy.rule]]
path = "/admin/**"
roles = ["admin"]

[[policy.rule]]
grpc = "files.v1.Files/*"
roles = ["admin"]
"#;

const TARGETS: &[&str] = &[
    "/files/a",
    "/files/a?x=../../admin",
    "/files/%61",
    "/%66iles/a%20b",
    "/admin/x",
    "/%61dmin/x",
    "/ADMIN/x",
    "/",
    "/files/",
    "/files/a/",
    "//files/a",
    "/files//a",
    "/./files/a",
    "/files/..",
    "/files/%2e%2e",
    "/files/%2E.",
    "/files/..%2fadmin",
    "/files/..%5cadmin",
    "/files/..\\admin",
    "/files/..;x=y",
    "/files/a;b",
    "/files/%00",
    "/files/%c0%ae%c0%ae",
    "/files/%ef%bc%8f",
    "/files/caf\u{e9}",
    "/files/%252e%252e",
    "/files/%",
    "/files/%zz",
    "/files/a%3fb",
    "/files/a#b",
    "https://a/files/a",
    "https://a/admin/x",
    "https://a/files/../admin",
    "https://a?files",
];

/// Header lines beside `GET /files/a`.
const HEADERS: &[&str] = &[
    "x-http-method-override: DELETE",
    "X_HTTP_METHOD: DELETE",
    "x-method-override: DELETE",
    "x-original-url: /admin/x",
    "x-rewrite-url: /admin/x",
];

pub(crate) async fn rows(table: &mut Table<'_>) {
    let token = table.world.token();
    let end = format!("host: a\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    for target in TARGETS {
        let outcome = exchange(table, &format!("GET {target} HTTP/1.1\r\n{end}")).await;
        table.row(target, "h1", &outcome);
    }
    for header in HEADERS {
        let bytes = format!("GET /files/a HTTP/1.1\r\n{header}\r\n{end}");
        let outcome = exchange(table, &bytes).await;
        table.row(header, "h1", &outcome);
    }
    for method in ["HEAD", "POST", "DELETE", "get", "OPTIONS"] {
        let outcome = exchange(table, &format!("{method} /files/a HTTP/1.1\r\n{end}")).await;
        table.row(&format!("{method} /files/a"), "h1", &outcome);
    }
    for kind in [
        "application/grpc",
        "application/grpc+proto",
        "application/json",
        "application/grpc-web",
        "application/grpc;, application/json",
        "application/grpc+x, application/json",
        "application/json, application/grpc",
        "application/grpc\r\ncontent-type: application/json",
        "application/grpc\r\nconnection: content-type",
        "application/grpc\r\nconnection: x, Content_Type",
        "application/grpc\r\nconnection: x-own",
    ] {
        let bytes = format!(
            "POST /files.v1.Files/Get HTTP/1.1\r\ncontent-type: {kind}\r\ncontent-length: 0\r\n{end}"
        );
        let outcome = exchange(table, &bytes).await;
        table.row(&kind.replace("\r\n", " "), "h1", &outcome);
    }
}
