use super::*;
use crate::testing::Host;

#[tokio::test]
async fn binds_loopback_only() {
    let bind =
        |address: &str, audience| Admin::bind(Host::new(), address.parse().unwrap(), audience);
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = bind(address, Audience::Machine).await.expect_err(address);
        assert_eq!(error.kind, io::ErrorKind::InvalidInput, "{address}");
    }
    assert!(bind("127.0.0.1:0", Audience::Machine).await.is_ok());
    for audience in [Audience::Operators, Audience::Everybody] {
        assert!(bind("0.0.0.0:0", audience).await.is_ok());
    }
}

fn take(places: &Arc<Places>, peer: &str) -> Option<Place> {
    places.take(peer.parse().unwrap())
}

/// Takes as many places as one address gets.
fn fill(places: &Arc<Places>, peer: &str) -> Vec<Place> {
    std::iter::from_fn(|| take(places, peer)).collect()
}

#[test]
fn no_address_takes_all_connections() {
    let places = Arc::new(Places::new(&Host::new()));
    let mut taken = fill(&places, "192.0.2.1");
    assert_eq!(taken.len(), 8, "a quarter");
    assert!(take(&places, "192.0.2.2").is_some());
    taken.pop();
    assert!(take(&places, "192.0.2.1").is_some(), "it is given back");
}

#[test]
fn an_ipv6_network_is_one_address() {
    let places = Arc::new(Places::new(&Host::new()));
    let hosts = (1..=CONNECTIONS_MAX).map(|host| format!("2001:db8::{host:x}"));
    let taken: Vec<_> = hosts.filter_map(|host| take(&places, &host)).collect();
    assert_eq!(taken.len(), 8, "a quarter");
    assert!(take(&places, "2001:db8:0:1::1").is_some());
}

#[test]
fn a_few_addresses_leave_places_for_others() {
    let places = Arc::new(Places::new(&Host::new()));
    let floods = (1..=8).map(|last| fill(&places, &format!("192.0.2.{last}")));
    let _taken: Vec<_> = floods.collect();
    assert!(take(&places, "198.51.100.1").is_some());
}

/// Catches: an id that is registered but can't be asked for, and two parameters read as one.
#[test]
fn a_query_has_one_parameter_of_any_id() {
    let read = |query: &str| Query::read(Some(query), &["cell", "after"]).map(|it| it.value);
    let id = "é".repeat(cellway_core::Text::LEN_MAX / 2);
    let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(read(&format!("cell={encoded}")), Ok(Some(id)));
    assert_eq!(read("after=a%26b"), Ok(Some("a&b".to_owned())));
    for bad in ["cell=a&after=b", "cell=a&", "&cell=a", "cell=", "other=a"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
