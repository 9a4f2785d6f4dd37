use super::super::testing::*;
use super::*;
use crate::fact::Fact;

/// A request that arrives at `a` with the right headers, except for this one.
fn fed(name: &str, value: Option<&str>) -> Result<(), String> {
    let mut arrival = arrived("a", "t", "r");
    for (short, value) in [
        ("cell", "a"),
        ("sub", "client"),
        ("workspace", ""),
        ("org", ""),
        ("roles", ""),
        ("placement-epoch", "1"),
    ] {
        arrival = with_header(arrival, &format!("x-cellway-{short}"), value);
    }
    let name = format!("x-cellway-{name}");
    if let (None, Fact::Arrived(arrived)) = (value, &mut arrival) {
        arrived.headers.retain(|(n, _)| *n != name);
    }
    if let Some(value) = value {
        arrival = with_header(arrival, &name, value);
    }
    let facts = [sent("t", "acme"), allowed("r", "a", 1), arrival];
    feed(&mut StampsTrue::new("x-cellway-"), &facts)
}

#[test]
fn notices_what_is_missing_or_not_as_it_was_decided() {
    assert_eq!(fed("cell", Some("a")), Ok(()));
    assert_eq!(fed("workspace", Some("w")), Ok(()));
    for (name, value) in [
        ("cell", Some("b")),
        ("cell", None),
        ("tenant", Some("globex")),
        ("sub", Some("")),
        ("auth", Some("anonymous")),
        ("placement-epoch", Some("2")),
        ("org", None),
    ] {
        assert!(fed(name, value).is_err(), "{name} {value:?}");
    }
}
