use super::*;

fn mutant(name: &str, find: &str, replace: &str, statement: bool) -> Mutant {
    Mutant {
        name: name.to_owned(),
        about: String::new(),
        file: String::new(),
        find: find.to_owned(),
        replace: replace.to_owned(),
        statement,
        room: String::new(),
    }
}

#[test]
fn each_mutant_has_its_switch() {
    let text = "fn a() { b(x < y); c(); d(); }";
    let mutants = [
        mutant("one", "x < y", "x <= y", false),
        mutant("two", "c();", "", true),
        // In the same place as the first.
        mutant("three", "x < y", "true", false),
    ];
    let mutants: Vec<_> = mutants.iter().collect();
    assert_eq!(
        mutated(text, "core/src/a.rs", &mutants),
        "fn a() { b((if crate::mutant(\"three\") { true } else { (if crate::mutant(\"one\") { x <= y } else { \
         x < y }) })); if crate::mutant(\"two\") {  } else { c(); } d(); }"
    );
    let switched = mutated(text, "mtls/router/src/a.rs", &mutants[..1]);
    assert!(
        switched.contains("(if cellway_core::mutant(\"one\") {"),
        "{switched}"
    );
}
