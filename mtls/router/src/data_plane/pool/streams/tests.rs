use super::*;
use crate::settings::CellLimits;
use crate::shares::{Holders, Share};

/// Catches: a table so small that a connection without streams is refused, because its counters are also
/// those of busy ones.
#[test]
fn a_quiet_connection_gets_a_stream_beside_a_flood() {
    const MOST: usize = 8;
    let (shares, holders) = (CellLimits::default().shares, Holders::default());
    let stakes = |connection: usize, tenant: &str| {
        let connection = holders.named(Share::Connection, connection);
        let caller = holders.named(Share::Caller, (tenant, "user"));
        let tenant = holders.named(Share::Tenant, tenant);
        [
            Stake::new(Share::Connection, connection, shares.connection),
            Stake::new(Share::Caller, caller, shares.caller),
            Stake::new(Share::Tenant, tenant, shares.tenant),
        ]
    };
    let streams = Arc::<Streams>::default();
    let flood: Vec<_> = (0..12)
        .filter_map(|connection| streams.take(MOST, &stakes(connection, "noisy")).ok())
        .collect();
    assert!((3..MOST).contains(&flood.len()), "{}", flood.len());
    let quiet = 1000..101_000;
    let refused = quiet.filter(|it| streams.take(MOST, &stakes(*it, "quiet")).is_err());
    let refused = refused.count();
    assert!(refused <= 20, "{refused} of 100,000");
}
