use super::*;

const NOW: Unix = Unix::from_secs(1_800_000_000);

fn certificate(key: &Key) -> Credential {
    let validity = Validity::around(NOW, Duration::from_secs(60));
    let ca = Ca::new("root", &Key::from_seed([1; 32]), validity, 1).unwrap();
    let spec = CertificateSpec {
        common_name: "leaf".to_owned(),
        sans: vec![
            San::Uri("spiffe://corp.example/tenant/acme".to_owned()),
            San::Dns("acme.corp.example".to_owned()),
            San::Ip([127, 0, 0, 1].into()),
        ],
        usage: Usage::Client,
        validity,
        serial: 0x1234,
    };
    ca.issue(&spec, key).unwrap()
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let key = Key::from_seed([2; 32]);
    let (one, two) = (certificate(&key), certificate(&key));
    assert_eq!(one.chain, two.chain);
    assert_ne!(one.chain, certificate(&Key::from_seed([3; 32])).chain);
}

#[test]
fn a_certificate_says_what_was_asked_for() {
    for key in [Key::from_seed([2; 32]), Key::generate_p256().unwrap()] {
        let credential = certificate(&key);
        let names = ["spiffe://corp.example/tenant/acme", "acme.corp.example"];
        assert_eq!(sans(&credential.chain[0]), names);
        let (_, parsed) = x509_parser::parse_x509_certificate(&credential.chain[0]).unwrap();
        let until = parsed.validity().not_after.timestamp();
        assert_eq!(until as u64, NOW.as_secs() + 60);
        assert_eq!(parsed.raw_serial(), [0x12, 0x34]);
        assert!(!parsed.is_ca());
        assert!(key.pem().unwrap().starts_with("-----BEGIN PRIVATE KEY"));
    }
}
