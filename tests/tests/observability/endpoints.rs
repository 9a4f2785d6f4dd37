//! What `/debug/endpoints` says of cells and their endpoints.
#![expect(
    clippy::disallowed_methods,
    reason = "tests run on tokio alone and spawn what drains"
)]

use std::time::Duration;

use cellway_testbed::{CellFault, Protocol, Request, Signer};
use cellway_tests::world::{CELL_SAN, Host, Reserved, Running, World, until};
use serde_json::{Value, json};

/// Checks of the cell `a`, and endpoints that one failure ejects and whose breaker it opens.
const HEALTH: &str = r#"
[upstream.outlier]
connection_failures = 1
ejection_secs = 300

[upstream.breaker]
failures = 1
open_ms = 600000

[[upstream.health_check]]
kind = "tcp"
cells = ["a"]
interval_ms = 600000
"#;

/// A world whose draining cell `b` has two endpoints that nobody listens on.
async fn world() -> (World, [Reserved; 2]) {
    let mut world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
    let closed = [Host::reserve(), Host::reserve()];
    let endpoints = closed
        .each_ref()
        .map(|it| json!({"url": format!("https://{}", it.address()), "san": CELL_SAN}));
    let b = json!({"id": "b", "tier": "standard", "region": "eu", "state": "draining",
                   "drain": {"percent": 40}, "endpoints": endpoints});
    world.registry["version"] = json!(6);
    world.registry["cells"].as_array_mut().unwrap().push(b);
    world.registry["tenants"][1]["cell"] = json!("b");
    world.plane.set_document(world.registry.to_string());
    world.configure(&(world.config() + HEALTH));
    (world, closed)
}

async fn page(router: &Running, query: &str) -> Value {
    let answer = router.admin(&format!("/debug/endpoints{query}")).await;
    assert_eq!(answer.status, 200, "{query}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// The page without what differs from run to run: ports, times, and which of two equal endpoints
/// came first.
fn steady(mut page: Value) -> Value {
    fn settle(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match &**name {
                        "url" => *value = json!("https://127.0.0.1:[port]"),
                        "ejected_for_ms" | "left_ms" | "ago_ms" => {
                            assert!(value.as_u64().unwrap() <= 600_000, "{name}: {value}");
                            *value = json!("[ms]");
                        }
                        "snapshot_epoch" => *value = json!("[epoch]"),
                        _ => settle(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(settle),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    settle(&mut page);
    for cell in page["cells"].as_array_mut().unwrap() {
        let endpoints = cell["endpoints"].as_array_mut().unwrap();
        endpoints.sort_by_key(|endpoint| endpoint["state"].to_string());
    }
    page
}

/// Catches: a page that shows other states than those that decide where requests go, and counts
/// that forget to go down.
#[tokio::test]
async fn endpoints_are_shown_as_they_are_used() {
    let (world, _closed) = world().await;
    let router = world.router().await;
    let trusted = [&world.authorities.servers];
    let client = |tenant: &str| {
        let client = router.client(Protocol::Http2, &trusted, None);
        let request = Request::get("/").bearer(&world.token_of(tenant));
        async move { client.send(request).await }
    };
    assert_eq!(client("acme").await.unwrap().status, 200);
    assert_eq!(client("globex").await.unwrap().status, 502);
    until(
        "one of two endpoints is ejected, and a is checked",
        async || {
            let text = page(&router, "").await.to_string();
            text.contains("\"ejected\"") && text.contains("\"verdict\":\"healthy\"")
        },
    )
    .await;
    let idle = page(&router, "?cell=a").await["cells"][0]["endpoints"][0].clone();
    assert_eq!(
        (&idle["requests_in_flight"], &idle["connections"]),
        (&json!(0), &json!({"open": 1, "idle": 1}))
    );

    world
        .cell
        .set_fault(CellFault::Slow(Duration::from_secs(600)));
    let waiting = tokio::spawn(client("acme"));
    until("a request is at the cell", async || {
        page(&router, "?cell=a").await["cells"][0]["requests_in_flight"] == 1
    })
    .await;
    insta::assert_json_snapshot!(steady(page(&router, "").await));

    waiting.abort();
    until("the request is gone", async || {
        let shown = &page(&router, "?cell=a").await["cells"][0]["endpoints"][0];
        shown["requests_in_flight"] == 0 && shown["connections"]["idle"] != 0
    })
    .await;
}

/// Catches: a page without a bound, and a next page that repeats or skips a cell.
#[tokio::test]
async fn many_cells_are_shown_page_by_page() {
    let (mut world, _closed) = world().await;
    let more = (0..150).map(|i| {
        json!({"id": format!("c{i:03}"), "tier": "standard", "region": "eu",
               "state": "provisioning", "endpoints": []})
    });
    let cells = world.registry["cells"].as_array_mut().unwrap();
    cells.extend(more);
    world.plane.set_document(world.registry.to_string());
    let router = world.router().await;
    let ids = |page: &Value| -> Vec<String> {
        let cells = page["cells"].as_array().unwrap().iter();
        cells
            .map(|cell| cell["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = page(&router, "").await;
    assert_eq!((ids(&first).len(), &first["next"]), (100, &json!("c097")));
    let second = page(&router, "?after=c097").await;
    assert_eq!((ids(&second).len(), &second["next"]), (52, &Value::Null));
    assert_eq!(ids(&second)[0], "c098");
    assert_eq!(ids(&page(&router, "?cell=c149").await), ["c149"]);
    let unknown = router.admin("/debug/endpoints?cell=c%22149").await;
    assert_eq!(unknown.status, 404);
    let told: Value = serde_json::from_slice(&unknown.body).unwrap();
    let expected = "no cell of the registry in force is called \"c\\\"149\"";
    assert_eq!(told, json!({ "error": expected }));
    for bad in ["?cell=", "?other=a", "?"] {
        let answer = router.admin(&format!("/debug/endpoints{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
}
