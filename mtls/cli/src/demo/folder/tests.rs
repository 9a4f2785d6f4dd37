use cellway_core::registry::Registry;
use cellway_env::tokio::TokioEnv;
use cellway_router::config::Config;
use cellway_testbed::TlsProvider;

use super::*;

#[tokio::test]
async fn what_the_demo_writes_is_valid() {
    let provider = TlsProvider::default();
    let world = World::start(&TokioEnv::new(), &provider).await.unwrap();
    let ports = Ports {
        public: 8443,
        admin: 9901,
    };
    let text = configuration(&world, ports);
    Config::load("cellway.toml", &text, []).unwrap_or_else(|errors| panic!("{errors}"));
    Registry::from_json(&world.registry.to_string()).unwrap();
    assert!(text.starts_with(MARK));
}

/// Catches: a demo that replaces somebody's own configuration and keys.
#[test]
fn only_a_new_or_empty_folder_or_an_earlier_demos_is_written_to() {
    let parent = cellway_testbed::Folder::generate();
    let root = parent.root().join("demo");
    let open = || Folder::new(TokioEnv::new(), Some(&root)).map(drop);
    open().unwrap();
    open().unwrap();
    let file = root.join("cellway.toml");
    std::fs::write(&file, "# mine").unwrap();
    let refused = open().unwrap_err().to_string();
    assert!(
        refused.contains("name a new or an empty folder"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"# mine");
    std::fs::write(&file, format!("{MARK} More.")).unwrap();
    open().unwrap();
}
