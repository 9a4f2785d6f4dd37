use super::super::testing::*;
use super::super::{EndpointTrouble, Harm};
use super::*;

/// A request of `client`, a tenant of the same name, that is decided as soon as it is sent.
fn waits(client: &str) -> [Fact; 2] {
    let sent = sent_with(client, client, |sent| client.clone_into(&mut sent.client));
    [sent, allowed(client, "a", 1)]
}

/// Requests of two tenants, each of which gets a place and is answered at once.
fn served(round: u32) -> impl Iterator<Item = Fact> {
    ["b", "c"].into_iter().flat_map(move |tenant| {
        let tag = format!("{tenant}-{round}");
        let [sent, decided, arrived] = [
            sent(&tag, tenant),
            allowed(&tag, "a", 1),
            arrived("a", &tag, &tag),
        ];
        [sent, decided, arrived, answered(&tag, Answer::Ok)]
    })
}

fn refused(client: &str) -> [Fact; 3] {
    let traced = traced(client, client);
    let responded = Fact::Responded(Responded {
        life: life(0),
        request_id: client.to_owned(),
        status: Some(503),
        reason: Some(Reason::Overloaded),
    });
    let overloaded = Answer::Router("overloaded".to_owned());
    [responded, traced, answered(client, overloaded)]
}

/// The only clients of high priority are `high` and `higher`.
fn fed(facts: impl IntoIterator<Item = Fact>) -> Result<(), String> {
    fed_with(Endpoints::default(), facts)
}

fn fed_with(endpoints: Endpoints, facts: impl IntoIterator<Item = Fact>) -> Result<(), String> {
    let bounds = Bounds {
        endpoints,
        ..with_settings(|it| {
            it.queue.high_priority = ["high", "higher"].map(str::to_owned).into();
            it.queue.high_room = 1;
            it.queue.room = 0;
            it.queue.wait = SECOND * 100;
            it.timeouts.connects = SECOND * 20;
        })
    };
    let facts: Vec<_> = facts.into_iter().collect();
    feed(&mut FairQueue::new(&bounds), &facts)
}

#[test]
fn a_turn_for_each_tenant_passes() {
    let came = arrived("a", "quiet", "quiet");
    let facts = waits("quiet").into_iter().chain(served(1)).chain([came]);
    assert_eq!(fed(facts), Ok(()));
}

#[test]
fn notices_a_tenant_that_is_passed_over() {
    let others = || (1..=3).flat_map(served);
    let came = arrived("a", "quiet", "quiet");
    let error = fed(waits("quiet").into_iter().chain(others()).chain([came])).unwrap_err();
    assert!(
        error.contains("the first request of quiet, but 6"),
        "{error}"
    );
    let in_vain = waits("quiet").into_iter().chain(others());
    let error = fed(in_vain.chain(refused("quiet"))).unwrap_err();
    assert!(error.contains("at most 4"), "{error}");
}

/// It may have its place, and try to connect to the other one.
#[test]
fn while_an_endpoint_fails_only_the_time_before_a_connect_counts() {
    let endpoints = || Endpoints {
        hosts: [("a".to_owned(), ["a-1", "a-2"].map(str::to_owned).into())].into(),
        // What may fail once it has arrived doesn't matter.
        troubles: [("a-1", Harm::Answers), ("a-2", Harm::Connections)]
            .map(|(host, harm)| EndpointTrouble {
                host: host.to_owned(),
                from: Duration::ZERO,
                until: Duration::MAX,
                harm,
            })
            .into(),
    };
    let passed_over = |rounds| {
        let others = (1..=rounds).flat_map(served);
        let came = arrived("a", "quiet", "quiet");
        fed_with(
            endpoints(),
            waits("quiet").into_iter().chain(others).chain([came]),
        )
    };
    assert_eq!(passed_over(3), Ok(()));
    let error = passed_over(6).unwrap_err();
    assert!(error.contains("the first request of quiet, but"), "{error}");
}

/// Its earlier request may have the turn, or have used up its share.
#[test]
fn a_later_request_of_a_tenant_has_no_turn_of_its_own() {
    let facts = [sent("before", "quiet")].into_iter().chain(waits("quiet"));
    let came = arrived("a", "quiet", "quiet");
    assert_eq!(
        fed(facts.chain((1..=3).flat_map(served)).chain([came])),
        Ok(())
    );
}

#[test]
fn notices_a_request_of_high_priority_that_is_overtaken() {
    let came = || arrived("a", "high", "high");
    let overtaken = waits("high").into_iter().chain(served(1)).chain([came()]);
    let error = fed(overtaken).unwrap_err();
    assert!(error.contains("2 requests that came later"), "{error}");
    let one = waits("high").into_iter().chain(served(1).take(4));
    assert_eq!(fed(one.chain([came()])), Ok(()));
    let earlier = served(1).chain(waits("high")).chain([came()]);
    assert_eq!(fed(earlier), Ok(()));
}

#[test]
fn notices_a_request_that_is_not_let_into_the_queue() {
    let error = fed(waits("high").into_iter().chain(refused("high"))).unwrap_err();
    assert!(error.contains("there was room for it"), "{error}");
    let full = waits("higher").into_iter().chain(waits("high"));
    assert_eq!(fed(full.chain(refused("high"))), Ok(()));
    // No other request may wait.
    assert_eq!(
        fed(waits("quiet").into_iter().chain(refused("quiet"))),
        Ok(())
    );
}
