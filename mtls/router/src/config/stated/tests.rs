use super::*;

fn stated(text: &str) -> Stated {
    Stated::new(&text.parse().unwrap(), Vec::new(), Places::default())
}

#[test]
fn names_what_differs_and_no_value() {
    let old = stated(
        "[log]\nlevel = \"info\"\n[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:1\"\n\
         [[policy]]\nany_of = [\"jwt\"]\nroles = { admin = [\"x\"] }",
    );
    let new = stated(
        "[[policy]]\nany_of = [\"jwt\", \"mtls\"]\nroles = { admin = [\"y\"] }\n\
         [[listener]]\nname = \"a\"\nbind = \"127.0.0.1:1\"\nstreams_max = 9\n",
    );
    let changed = [
        "listener[0].streams_max",
        "log.level",
        "policy[0].any_of",
        "policy[0].roles.admin",
    ];
    assert_eq!(new.changed(&old), changed);
    assert_eq!(old.changed(&new), changed);
    assert!(new.changed(&new).is_empty());
    assert!(!format!("{new:?}").contains("127.0.0.1"));
}

#[test]
fn the_digest_follows_what_is_said_and_not_how() {
    let digest = |text| stated(text).digest();
    let one = digest("a.b = 1\na.c = \"x\"");
    assert_eq!(one, digest("# a comment\n[a]\nc = 'x'\nb = 1"));
    for other in [
        "a.b = 2\na.c = \"x\"",
        "a.b = 1",
        "a.b = \"1\"\na.c = \"x\"",
    ] {
        assert_ne!(one, digest(other), "{other}");
    }
    assert_eq!(one.len(), 2 * SHOWN);
}
