use super::super::testing::*;
use super::*;

fn fed(listed: &str, forwarded: &str) -> Result<(), String> {
    let arrival = arrived("a", "t", "r");
    let arrival = with_header(arrival, "x-forwarded-for", listed);
    let arrival = with_header(arrival, "forwarded", forwarded);
    feed(&mut TrueClient::default(), &[sent("t", "acme"), arrival])
}

#[test]
fn notices_any_address_but_the_clients() {
    let good = "for=192.0.2.1;proto=https;host=\"router-1:8443\"";
    assert_eq!(fed("192.0.2.1", good), Ok(()));
    for (listed, forwarded) in [
        ("203.0.113.66", good),
        ("203.0.113.66, 192.0.2.1", good),
        ("", good),
        ("192.0.2.1", "for=203.0.113.66;proto=https"),
        ("192.0.2.1", "for=192.0.2.1;proto=https, for=203.0.113.66"),
        ("192.0.2.1", ""),
    ] {
        assert!(fed(listed, forwarded).is_err(), "{listed} {forwarded}");
    }
}
