use super::*;

#[test]
fn paths_survive_the_shell() {
    assert_eq!(quoted(Path::new("/srv/a-b/c.pem")), "/srv/a-b/c.pem");
    assert_eq!(quoted(Path::new("/srv/a b")), "'/srv/a b'");
    assert_eq!(quoted(Path::new("/srv/it's")), r"'/srv/it'\''s'");
}
