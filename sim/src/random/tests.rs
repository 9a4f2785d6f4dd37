use super::*;

#[test]
fn streams_are_reproducible_and_independent() {
    let first =
        |seed, host, incarnation, purpose| Random::new(seed, host, incarnation, purpose).next_u64();
    let base = first(1, "router", 0, "tls");
    assert_eq!(base, first(1, "router", 0, "tls"));
    for other in [
        first(2, "router", 0, "tls"),
        first(1, "cell", 0, "tls"),
        first(1, "router", 1, "tls"),
        first(1, "router", 0, "ids"),
        first(1, "route", 0, "rtls"),
    ] {
        assert_ne!(base, other);
    }
}

#[test]
fn the_way_it_is_cut_does_not_matter() {
    let (mut a, mut b) = (Random::new(1, "h", 0, "p"), Random::new(1, "h", 0, "p"));
    let (mut whole, mut parts) = ([0; 70], [0; 70]);
    a.fill(&mut whole);
    parts.chunks_mut(9).for_each(|part| b.fill(part));
    assert_eq!(whole, parts);
}
