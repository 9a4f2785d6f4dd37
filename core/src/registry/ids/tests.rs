use super::*;

/// Catches: an id that is read from another place than it was written.
#[test]
fn ids_are_found_again() {
    let long = "x".repeat(256);
    let text = format!("a list: one, two, {long}, é");
    let part = |id: &str| {
        let start = text.find(id).unwrap();
        Cow::Borrowed(&text[start..start + id.len()])
    };
    let mut ids = Ids::default();
    let added = [
        ids.add(part("one")),
        ids.add(Cow::Owned("other".to_owned())),
        ids.add(part("two")),
        ids.add(part(&long)),
        ids.add(Cow::Owned(long.clone())),
        ids.add(part("é")),
    ];
    ids.are_of(text.as_bytes());
    let found = added.map(|id| ids.get(id));
    assert_eq!(found, ["one", "other", "two", &long, &long, "é"]);
}

/// Catches: a panic if the ids are of another text.
#[test]
fn ids_of_another_text_are_empty() {
    let (text, other) = (String::from("one two"), [b'x'; 2]);
    let mut ids = Ids::default();
    let one = ids.add(Cow::Borrowed(&text[4..]));
    assert_eq!(ids.get(one), "");
    ids.are_of(&other);
    assert!(!ids.get(one).contains("two"));
}
