use super::*;
use crate::config::Config;
use crate::testing::Host;

const CONFIG: &str = r#"
[[listener]]
name = "local"
bind = "127.0.0.1:0"
[[issuer]]
name = "main"
issuer = "https://idp.example"
audience = "cellway"
[[policy]]
name = "default"
any_of = ["jwt"]
[registry]
url = "https://control.example/manage/cells"
[state]
directory = "state"
"#;

async fn warnings(host: &Host) -> Vec<String> {
    let settings = Config::load("cellway.toml", CONFIG, []).unwrap().router;
    let found = check(host, &Provider::default(), &settings, "cellway.toml").await;
    found.iter().map(ToString::to_string).collect()
}

/// Catches: a router that keeps nothing for its next start, and says so only when it is too late; and
/// the advice to wait about a file that will never be replaced.
#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_a_warning() {
    let host = Host::new();
    assert_eq!(warnings(&host).await, Vec::<String>::new());
    host.disk.put("state/registry.keep", "junk");
    let found = warnings(&host).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("the next good document replaces it"),
        "{found:?}"
    );
    host.disk.fill_up();
    let found = warnings(&host).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("state.directory: state can't be written, so the router"));
    assert!(found[0].contains("\n    give the folder to the user that the router runs as"));
}
