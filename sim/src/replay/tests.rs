use super::*;

#[test]
fn what_is_set_wins_and_has_the_seed() {
    let command = command(Some("just sim shop.toml {seed}"), 7);
    assert_eq!(command, "just sim shop.toml 7");
}

#[test]
fn a_test_is_named() {
    let expected = "cargo test -p cellway-sim replay::tests::a_test_is_named -- --exact";
    // With one thread the harness runs tests on its main thread, and the command is the command
    // line.
    if thread::current().name() != Some("main") {
        assert_eq!(command(None, 7), expected);
    }
}

#[test]
fn words_are_quoted_for_a_shell() {
    assert_eq!(quoted("scenarios/a-b.toml"), "scenarios/a-b.toml");
    assert_eq!(quoted("my file's"), r"'my file'\''s'");
    assert_eq!(quoted(""), "''");
}
