use super::*;

#[test]
fn finds_the_first_difference_and_a_missing_tail() {
    assert_eq!(Difference::between("a\nb\n", "a\nb\n"), None);
    let changed = Difference::between("a\nb\nc", "a\nX\nY").unwrap();
    assert_eq!((changed.line, changed.right.as_deref()), (2, Some("X")));
    let short = Difference::between("a\nb", "a").unwrap();
    assert_eq!((short.line, short.right), (2, None));
}
