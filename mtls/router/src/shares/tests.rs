use super::*;

fn stake(holder: Holder, percent: u8) -> [Stake; 1] {
    [Stake {
        share: Share::Tenant,
        holder,
        percent,
    }]
}

fn tenant(name: &str) -> Holder {
    Holders::default().named(Share::Tenant, name)
}

/// Takes places until there are no more. Returns how many it got and why it got no more.
fn fill(bound: &Bound, most: usize, stakes: &[Stake]) -> (usize, LimitRefused) {
    let mut taken = 0;
    loop {
        match bound.take(most, stakes) {
            Ok(()) => taken += 1,
            Err(full) => return (taken, full),
        }
    }
}

#[test]
fn a_holder_alone_gets_its_share_and_no_more() {
    for (percent, most, share) in [(80, 100, 80), (50, 100, 50), (60, 5, 3), (1, 100, 1)] {
        let bound = Bound::default();
        let filled = fill(&bound, most, &stake(tenant("a"), percent));
        assert_eq!(filled, (share, LimitRefused::Share(Share::Tenant)));
        assert_eq!(bound.taken(), share, "what is refused is given back");
    }
    let all = fill(&Bound::default(), 100, &stake(tenant("a"), 100));
    assert_eq!(all, (100, LimitRefused::All), "a share of 100 % is all");
    let nobody = fill(&Bound::default(), 100, &stake(Holder::NOBODY, 50));
    assert_eq!(nobody, (100, LimitRefused::All));
}

#[test]
fn places_stay_free_beside_many_floods() {
    let bound = Bound::default();
    for flood in 0..20 {
        let name = format!("flood-{flood}");
        fill(&bound, 4096, &stake(tenant(&name), 80));
    }
    let quiet = stake(tenant("quiet"), 80);
    assert_eq!(bound.take(4096, &quiet), Ok(()), "{}", bound.taken());
}

/// Catches: a refusal that blames a holder with one place for the places that others have.
#[test]
fn only_a_holder_of_many_is_blamed() {
    let bound = Bound::default();
    let mut floods = 0;
    while bound.taken() < 1024 - 6 {
        fill(&bound, 1024, &stake(tenant(&format!("flood-{floods}")), 80));
        floods += 1;
    }
    let quiet = stake(tenant("quiet"), 80);
    assert_eq!(bound.take(1024, &quiet), Ok(()), "{}", bound.taken());
    assert_eq!(bound.take(1024, &quiet), Err(LimitRefused::Nearly));
    assert_eq!(bound.exceeds(1024, &quiet), None, "it has only this one");
    let first = bound.take(1024, &stake(tenant("flood-0"), 80));
    assert_eq!(first, Err(LimitRefused::Share(Share::Tenant)));
}

#[test]
fn nobody_is_held_back_while_half_is_free() {
    let bound = Bound::default();
    let one = stake(tenant("one"), 50);
    assert!((0..500).all(|_| bound.take(1000, &one).is_ok()));
}

#[test]
fn the_first_place_is_everybodys_while_one_is_free() {
    let bound = Bound::default();
    fill(&bound, 4, &stake(tenant("a"), 100));
    bound.give_back([tenant("a")]);
    assert_eq!(bound.take(4, &stake(tenant("b"), 1)), Ok(()));
    assert_eq!(
        bound.take(4, &stake(tenant("c"), 100)),
        Err(LimitRefused::All)
    );
}

#[test]
fn what_is_given_back_can_be_taken_again() {
    let bound = Bound::default();
    let a = stake(tenant("a"), 50);
    fill(&bound, 10, &a);
    for _ in 0..5 {
        bound.give_back([tenant("a")]);
    }
    assert_eq!(bound.taken(), 0);
    assert_eq!(fill(&bound, 10, &a).0, 5);
    let counted = |line: &Line| line.0.iter().map(|c| c.load(Relaxed)).sum::<u32>();
    assert_eq!(bound.held.iter().map(counted).sum::<u32>(), 2 * 5);
}

#[test]
fn a_bound_of_fewer_places_counts_the_same_requests() {
    let bound = Bound::default();
    let (a, b) = (stake(tenant("a"), 80), stake(tenant("b"), 80));
    assert!((0..8).all(|_| bound.take(1000, &a).is_ok()));
    assert_eq!(bound.exceeds(10, &a), None);
    assert_eq!(bound.take(1000, &a), Ok(()));
    assert_eq!(
        bound.exceeds(10, &a),
        Some(LimitRefused::Share(Share::Tenant))
    );
    assert_eq!(bound.take(1000, &b), Ok(()));
    assert_eq!(bound.exceeds(10, &b), None, "it has only this one");
}

#[test]
fn a_place_whose_holder_is_known_later_counts_alike() {
    let bound = Bound::default();
    let [a] = stake(tenant("a"), 50);
    let late = || {
        bound.take(10, &[])?;
        bound.hold(10, &a)
    };
    assert!((0..5).all(|_| late().is_ok()));
    assert_eq!(late(), Err(LimitRefused::Share(Share::Tenant)));
    assert_eq!(
        bound.taken(),
        6,
        "the place is still there to be given back"
    );
    bound.give_back([]);
    assert_eq!(
        bound.take(10, &[a]),
        Err(LimitRefused::Share(Share::Tenant))
    );
    bound.give_back([a.holder]);
    assert_eq!(bound.take(10, &[a]), Ok(()));
}

#[test]
fn a_quiet_holder_is_hardly_ever_taken_for_a_flood() {
    let flood = tenant("flood");
    let met = (0..10_000).filter(|i| {
        let other = tenant(&format!("quiet-{i}"));
        let mut both = [flood.counters, other.counters];
        both.iter_mut().for_each(|pair| pair.sort_unstable());
        other.line == flood.line && both[0] == both[1]
    });
    assert!(met.count() <= 3);
}

#[test]
fn an_ipv6_network_is_one_holder() {
    let holders = Holders::default();
    let of = |text: &str| holders.address(Share::Address, text.parse().unwrap());
    assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
    assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
}
