//! The status page for a browser.

use cellway_testbed::{Protocol, Request, Signer};
use cellway_tests::world::{World, until};
use serde_json::json;

/// A cell's id that would run a script in a page without escapes. `Text` allows it.
const HOSTILE: &str = r#"<img src=x onerror=alert('1')>&"q""#;

/// The page without its style, ports and versions.
fn steady(page: &str) -> String {
    let (before, rest) = page.split_once("<style>").unwrap();
    let (_, after) = rest.split_once("</style>").unwrap();
    let mut steady = String::new();
    let text = format!("{before}[style]{after}");
    let mut parts = text.split("127.0.0.1:");
    steady.push_str(parts.next().unwrap());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        steady.push_str("127.0.0.1:[port]");
        steady.push_str(&part[digits..]);
    }
    for secs in 0..60 {
        steady = steady.replace(&format!(">{secs} s ago<"), ">[age] ago<");
    }
    // One element a line, for a person who reads the snapshot.
    steady.replace("><", ">\n<")
}

/// Catches: a page that shows other things than the JSON pages, one that a cell's name can change,
/// and one that loads or runs something.
#[tokio::test]
async fn the_page_shows_the_router_and_escapes_every_name() {
    let mut world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
    world.registry["cells"].as_array_mut().unwrap().push(json!({
        "id": HOSTILE, "tier": "<b>tier", "region": "eu", "state": "draining",
        "drain": {"percent": 40}, "endpoints": [{"url": "https://b.internal:1"}],
    }));
    world.registry["version"] = json!(6);
    world.plane.set_document(world.registry.to_string());
    let config = world.config();
    world.configure(&config.replace("name = \"public\"", "name = \"<i>public\""));
    let router = world.router().await;
    let client = router.client(Protocol::Http1, &[&world.authorities.servers], None);
    for _ in 0..2 {
        client.send(Request::get("/")).await.unwrap();
    }
    until("the keys are there", async || {
        router.readyz().await.1["issuers"]["main"]["state"] == "fresh"
    })
    .await;
    let answer = router.admin("/").await;
    assert_eq!(answer.status, 200);
    let header = |name: &str| answer.headers[name].to_str().unwrap();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    let policy = header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let page = std::str::from_utf8(&answer.body).unwrap();
    for bad in [
        "<img",
        "<b>",
        "<i>",
        "<script",
        "src=\"",
        "http-equiv",
        "\"q\"\"",
    ] {
        assert!(!page.contains(bad), "{bad}: {page}");
    }
    for good in [
        "&lt;img src=x onerror=alert(&#39;1&#39;)&gt;&amp;&quot;q",
        "missing_token",
    ] {
        assert!(page.contains(good), "{good}: {page}");
    }
    insta::assert_snapshot!(steady(page));
    assert_eq!(router.admin("/?other=1").await.status, 400);
    assert_eq!(router.admin("/unknown").await.status, 404);
}

/// Catches: a link to the next page that a name breaks.
#[tokio::test]
async fn more_cells_are_on_the_next_page() {
    let mut world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
    let more = (0..120).map(|i| {
        json!({"id": format!("c {i:03}&%20"), "tier": "standard", "region": "eu",
               "state": "provisioning", "endpoints": []})
    });
    world.registry["cells"].as_array_mut().unwrap().extend(more);
    world.registry["version"] = json!(6);
    world.plane.set_document(world.registry.to_string());
    let router = world.router().await;
    let first = router.admin("/").await.body;
    let first = std::str::from_utf8(&first).unwrap();
    let (_, link) = first.split_once("<a href=\"/?after=").unwrap();
    let (after, _) = link.split_once('"').unwrap();
    assert_eq!(after, "c%20098%26%2520");
    let second = router.admin(&format!("/?after={after}")).await.body;
    let second = std::str::from_utf8(&second).unwrap();
    assert!(second.contains("c 099&amp;%20") && !second.contains("c 098"));
}
