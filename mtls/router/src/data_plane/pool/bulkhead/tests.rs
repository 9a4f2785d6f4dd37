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
