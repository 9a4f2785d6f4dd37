use super::*;
use crate::shares::{Holders, Share, Stake};

/// The stakes of a request of this tenant, which may have every place.
fn of(holders: &Holders, tenant: &str) -> Stakes {
    let stake = |share, holder| Stake::new(share, holder, 100);
    [
        stake(Share::Connection, Holder::NOBODY),
        stake(Share::Caller, Holder::NOBODY),
        stake(Share::Tenant, holders.named(Share::Tenant, tenant)),
    ]
}

/// Whether the request has got its place.
fn is_granted(place: &mut Place<'_>) -> bool {
    place.granted.try_recv().is_ok()
}

fn all(requests: &Bound) -> Limits<'_> {
    Limits {
        requests,
        unanswered: None,
        now: None,
    }
}

/// What a request of this priority asks for.
fn claim(stakes: &Stakes, priority: Priority) -> Claim<'_> {
    Claim {
        stakes,
        priority,
        capped: None,
    }
}

fn places(most: usize) -> Places {
    Places {
        most,
        resource: Resource::CellRequests,
    }
}

fn give_back(cell: &Bound, stakes: Stakes) {
    cell.give_back(stakes.map(|stake| stake.holder));
}

#[test]
fn tenants_take_turns_and_a_tenants_requests_keep_their_order() {
    let (queue, cell, holders) = (Queue::default(), Bound::default(), Holders::default());
    let [flood, quiet] = ["flood", "quiet"].map(|name| of(&holders, name));
    cell.take(1, &flood).unwrap();
    let enter = |stakes| {
        queue
            .enter(100, places(1), &claim(stakes, Priority::Normal))
            .unwrap()
    };
    let mut waiting = [&flood, &flood, &flood, &quiet, &flood, &quiet].map(enter);
    let mut order = Vec::new();
    let mut last = flood;
    for _ in 0..waiting.len() {
        queue.dispatch(all(&cell));
        assert_eq!(cell.taken(), 1, "never more than the limit");
        give_back(&cell, last);
        queue.dispatch(all(&cell));
        let granted = waiting.iter_mut().position(is_granted).unwrap();
        order.push(granted);
        last = if [3, 5].contains(&granted) {
            quiet
        } else {
            flood
        };
    }
    assert_eq!(order, [0, 3, 1, 5, 2, 4]);
    assert_eq!(queue.waiting(), 0);
}

/// Catches: a place that is lost because it was given to a request whose client has gone away.
#[test]
fn a_place_goes_to_the_next_if_a_client_has_gone_away() {
    let (queue, cell, holders) = (Queue::default(), Bound::default(), Holders::default());
    let stakes = of(&holders, "acme");
    cell.take(1, &stakes).unwrap();
    let enter = || {
        queue
            .enter(100, places(1), &claim(&stakes, Priority::Normal))
            .unwrap()
    };
    let (mut gone, mut next) = (enter(), enter());
    gone.granted.close();
    give_back(&cell, stakes);
    queue.dispatch(all(&cell));
    assert!(is_granted(&mut next));
    assert_eq!(cell.taken(), 1);
    drop((gone, next));
    let left = enter();
    assert_eq!(queue.waiting(), 1);
    drop(left);
    assert_eq!(
        (queue.waiting(), queue.places(Priority::Normal).taken()),
        (0, 0)
    );
}

#[test]
fn a_tenant_that_may_have_no_more_does_not_block_the_others() {
    let (queue, cell, holders) = (Queue::default(), Bound::default(), Holders::default());
    let mut flood = of(&holders, "flood");
    flood[2].percent = 10;
    let quiet = of(&holders, "quiet");
    cell.take(10, &flood).unwrap();
    let mut blocked = queue
        .enter(100, places(10), &claim(&flood, Priority::Normal))
        .unwrap();
    while cell.take(10, &flood).is_ok() {}
    let mut served = queue
        .enter(100, places(10), &claim(&quiet, Priority::Normal))
        .unwrap();
    queue.dispatch(all(&cell));
    assert!(!is_granted(&mut blocked));
    assert!(is_granted(&mut served));
}

#[test]
fn the_queue_is_bounded_and_no_tenant_fills_it() {
    let (queue, holders) = (Queue::default(), Holders::default());
    let flood = of(&holders, "flood").map(|stake| Stake {
        percent: 50,
        ..stake
    });
    let mut waiting = Vec::new();
    let refused = loop {
        match queue.enter(16, places(0), &claim(&flood, Priority::Normal)) {
            Ok(place) => waiting.push(place),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, LimitRefused::Share(Share::Tenant));
    assert!(waiting.len() < 16);
    assert!(
        queue
            .enter(
                16,
                places(0),
                &claim(&of(&holders, "quiet"), Priority::Normal)
            )
            .is_ok()
    );
}

/// Catches: a probe that waits behind other requests, and probes that let nothing else pass.
#[test]
fn high_priority_comes_first_but_not_always() {
    let (queue, cell, holders) = (Queue::default(), Bound::default(), Holders::default());
    let stakes = of(&holders, "acme");
    cell.take(1, &stakes).unwrap();
    let enter = |priority| {
        queue
            .enter(100, places(1), &claim(&stakes, priority))
            .unwrap()
    };
    let normal = [Priority::Normal; 3].map(enter);
    let high = [Priority::High; 7].map(enter);
    let mut waiting: Vec<_> = normal.into_iter().chain(high).collect();
    let mut order = String::new();
    for _ in 0..waiting.len() {
        give_back(&cell, stakes);
        queue.dispatch(all(&cell));
        let granted = waiting.iter_mut().position(is_granted).unwrap();
        order.push(if granted < 3 { 'n' } else { 'H' });
    }
    // The last one has nobody to wait for.
    assert_eq!(order, "HHHnHHHnHn");
    assert_eq!(queue.waiting(), 0);
}

/// Catches: probes that find no room because others wait, and probes without a bound.
#[test]
fn high_priority_has_room_of_its_own() {
    let (queue, holders) = (Queue::default(), Holders::default());
    let stakes = of(&holders, "acme");
    let fill = |priority| {
        let mut waiting = Vec::new();
        while let Ok(place) = queue.enter(16, places(0), &claim(&stakes, priority)) {
            waiting.push(place);
        }
        waiting
    };
    let normal = fill(Priority::Normal);
    assert_eq!(normal.len(), 16);
    let high = fill(Priority::High);
    assert_eq!(high.len(), 4);
    drop((normal, high));
    assert_eq!(queue.waiting(), 0);
    // Shares hold here too.
    let flood = stakes.map(|stake| Stake {
        percent: 50,
        ..stake
    });
    let waiting: Vec<_> = (0..64)
        .map_while(|_| {
            queue
                .enter(64, places(0), &claim(&flood, Priority::High))
                .ok()
        })
        .collect();
    assert!(waiting.len() < 16, "{}", waiting.len());
    assert!(
        queue
            .enter(
                64,
                places(0),
                &claim(&of(&holders, "quiet"), Priority::High)
            )
            .is_ok()
    );
}
