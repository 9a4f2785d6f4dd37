use super::super::Settings;
use super::super::testing::*;
use super::*;
use crate::fact::Note;

fn configured(anonymous: Option<&str>) -> Fact {
    Fact::Configured {
        router: "router-1".to_owned(),
        anonymous: anonymous.map(str::to_owned),
        cell_bound: crate::fact::CellBoundRules {
            enforced: true,
            once: false,
        },
        signers: BTreeSet::new(),
        rules: None,
    }
}

fn nobody() -> Fact {
    match bad("t") {
        Fact::Sent(mut sent) => {
            sent.anonymous = true;
            Fact::Sent(sent)
        }
        other => other,
    }
}

fn arrives(cell: &str) -> [Fact; 3] {
    let marked = with_header(arrived(cell, "t", "r"), "x-cellway-auth", "anonymous");
    let marked = with_header(marked, "x-cellway-tenant", "");
    [nobody(), allowed("r", cell, 1), marked]
}

/// Facts are a second apart, and a reload takes two at most.
fn fed(first: &[Fact], then: &[Fact]) -> Result<(), String> {
    let mut facts = vec![placed(1, &[("public", "p")])];
    facts.extend_from_slice(first);
    facts.extend_from_slice(then);
    let bounds = with_settings(Settings {
        reload_within: SECOND * 2,
        ..Settings::default()
    });
    feed(&mut AnonymousApart::new(&bounds), &facts)
}

#[test]
fn content_where_it_is_meant() {
    assert_eq!(fed(&[configured(Some("public"))], &arrives("p")), Ok(()));
}

#[test]
fn notices_where_it_is_not() {
    assert!(fed(&[configured(None)], &arrives("p")).is_err());
    assert!(fed(&[configured(Some("public"))], &arrives("a")).is_err());
}

#[test]
fn notices_a_wrong_mark() {
    for (name, value) in [("x-cellway-auth", "verified"), ("x-cellway-tenant", "acme")] {
        let [sent, decided, arrival] = arrives("p");
        let facts = [sent, decided, with_header(arrival, name, value)];
        assert!(fed(&[configured(Some("public"))], &facts).is_err());
    }
}

#[test]
fn forgives_until_the_reload_and_no_longer() {
    let flip = [configured(Some("public")), configured(None)];
    assert_eq!(fed(&flip, &arrives("p")), Ok(()));
    let note = Note {
        kind: "reloaded".to_owned(),
        text: String::new(),
    };
    let [first, second] = flip;
    let noted = [first.clone(), second.clone(), Fact::Noted(life(0), note)];
    assert!(fed(&noted, &arrives("p")).is_err());
    let late = [first, second, nobody(), nobody()];
    assert!(fed(&late, &arrives("p")).is_err());
}
