use super::*;

#[test]
fn numbers_by_first_appearance() {
    let mut symbols = Symbols::default();
    let mut number = |kind: u8, name: &'static str| symbols.number((kind, name));
    assert_eq!(number(1, "a"), 0);
    assert_eq!(number(1, "b"), 1);
    assert_eq!(number(2, "a"), 2);
    assert_eq!(number(1, "a"), 0);
    assert_eq!(number(2, "a"), 2);
    assert_eq!(symbols.names().len(), 3);
}

#[test]
fn slots_outlive_versions() {
    let first = keep_slots(&[], &["b", "a", "c"]);
    assert_eq!(first, [Some("a"), Some("b"), Some("c")]);
    let second = keep_slots(&first, &["a", "c", "aa"]);
    assert_eq!(second, [Some("a"), Some("aa"), Some("c")]);
    assert_eq!(keep_slots(&second, &["c"]), [None, None, Some("c")]);
    assert_eq!(keep_slots(&second, &["a"]), [Some("a")]);
}
