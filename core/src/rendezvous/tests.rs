use super::*;

#[test]
fn the_method_never_changes() {
    // Were one of these to change, an upgrade would move tenants.
    assert_eq!(hash(""), mix(0xcbf2_9ce4_8422_2325));
    assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    assert_eq!(neg_log2(1 << 63), 1 << PLACES);
    assert_eq!(neg_log2(0), 64 << PLACES);
    assert_eq!(neg_log2(u64::MAX), 1);
}

#[test]
fn logarithms_are_close() {
    for shift in 0..64 {
        for offset in [0u64, 1, 0x1234_5678_9abc, u64::MAX >> 9, u64::MAX >> 1] {
            let value = ((1u64 << 63) | (offset & (u64::MAX >> 1))) >> shift;
            let got = neg_log2(value) as f64 / (1u64 << PLACES) as f64;
            let want = 64.0 - (value as f64).log2();
            assert!(
                (got - want).abs() < 1.0 / 180_000.0,
                "{value:#x}: {got} {want}"
            );
        }
    }
}
