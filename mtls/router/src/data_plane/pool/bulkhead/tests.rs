use super::*;

#[test]
fn a_gate_gives_back_what_it_refused_and_what_was_dropped() {
    let bulkhead = Arc::new(Bulkhead::default());
    let nobody = [Stake {
        share: Share::Tenant,
        holder: Holder::NOBODY,
        percent: 1,
    }; 3];
    let first = bulkhead.request(2, &nobody).unwrap();
    let _second = bulkhead.request(2, &nobody).unwrap();
    assert_eq!(bulkhead.request(2, &nobody).err(), Some(LimitRefused::All));
    assert_eq!(bulkhead.request(2, &nobody).err(), Some(LimitRefused::All));
    drop(first);
    assert!(bulkhead.request(2, &nobody).is_ok());
}

#[test]
fn control_hears_of_the_first_success_after_a_failure_only() {
    let health = EndpointHealth::default();
    assert!(!health.succeeded());
    health.failed();
    assert!(health.succeeded());
    assert!(!health.succeeded());
}

#[tokio::test(start_paused = true)]
async fn one_request_in_a_while_tries_an_endpoint_that_has_failed() {
    let health = EndpointHealth::default();
    assert!(!health.avoid());
    health.failed();
    assert!(health.avoid());
    tokio::time::advance(AVOIDED).await;
    assert_eq!([health.avoid(), health.avoid()], [false, true]);
    tokio::time::advance(AVOIDED).await;
    assert!(!health.avoid());
    health.succeeded();
    assert_eq!([health.avoid(), health.avoid()], [false, false]);
}
