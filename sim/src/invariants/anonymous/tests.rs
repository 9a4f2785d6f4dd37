use super::super::testing::*;
use super::*;

fn sends_to(placement: Option<&str>) -> Fact {
    configured(|said| said.anonymous = placement.map(str::to_owned))
}

fn nobody() -> Fact {
    sent_by_nobody("t")
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
    let bounds = with_settings(|it| it.reload_within = SECOND * 2);
    feed(&mut AnonymousApart::new(&bounds), &facts)
}

#[test]
fn accepts_where_it_is_meant() {
    assert_eq!(fed(&[sends_to(Some("public"))], &arrives("p")), Ok(()));
}

#[test]
fn notices_where_it_is_not() {
    assert!(fed(&[sends_to(None)], &arrives("p")).is_err());
    assert!(fed(&[sends_to(Some("public"))], &arrives("a")).is_err());
}

#[test]
fn notices_a_wrong_mark() {
    for (name, value) in [("x-cellway-auth", "verified"), ("x-cellway-tenant", "acme")] {
        let [sent, decided, arrival] = arrives("p");
        let facts = [sent, decided, with_header(arrival, name, value)];
        assert!(fed(&[sends_to(Some("public"))], &facts).is_err());
    }
}

#[test]
fn tolerates_until_the_reload_and_no_longer() {
    let flip = [sends_to(Some("public")), sends_to(None)];
    assert_eq!(fed(&flip, &arrives("p")), Ok(()));
    let [first, second] = flip;
    let reloaded = [first.clone(), second.clone(), noted("reloaded")];
    assert!(fed(&reloaded, &arrives("p")).is_err());
    let late = [first, second, nobody(), nobody()];
    assert!(fed(&late, &arrives("p")).is_err());
}
