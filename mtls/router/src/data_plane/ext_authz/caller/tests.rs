use cellway_core::cert::PeerCertificate;
use std::time::Duration;

use cellway_core::Unix;
use cellway_testbed::{Ca, CertificateSpec, Key, San, Usage, Validity};

use super::*;

fn named(names: &[&str]) -> PeerCertificate {
    let name = |name: &&str| match name.contains("://") {
        true => San::Uri((*name).to_owned()),
        false => San::Dns((*name).to_owned()),
    };
    let validity = Validity::around(Unix::from_secs(1_800_000_000), Duration::from_secs(60));
    let spec = CertificateSpec {
        common_name: "envoy".to_owned(),
        sans: names.iter().map(name).collect(),
        usage: Usage::Client,
        validity,
        serial: 1,
    };
    let ca = Ca::new("root", &Key::from_seed([1; 32]), validity, 1).unwrap();
    let issued = ca.issue(&spec, &Key::from_seed([2; 32])).unwrap();
    PeerCertificate::from_der(&issued.chain[0]).unwrap()
}

#[test]
fn an_id_is_the_only_name_where_domains_have_their_own_authorities() {
    let (id, other, dns) = ("spiffe://a/envoy", "spiffe://b/envoy", "envoy.example");
    let sans = [id, dns].map(Box::from);
    for (names, free, by_domain) in [
        (&[id][..], true, true),
        (&[dns], true, true),
        (&[other], false, false),
        (&[other, dns], true, false),
        (&[id, dns], true, true),
        (&[other, id], true, false),
    ] {
        let certificate = named(names);
        assert_eq!(names_any(&certificate, &sans, false), free, "{names:?}");
        assert_eq!(names_any(&certificate, &sans, true), by_domain, "{names:?}");
    }
}
