use super::*;
use crate::testing::{START, certificate, certificate_for};
use crate::text::Text;

fn templates(templates: &[&str], domains: &[&str]) -> Result<SanTemplates, TemplateError> {
    let domains: Vec<Text> = domains.iter().map(|d| Text::new(d).unwrap()).collect();
    let mut sans = SanTemplates::default();
    for template in templates {
        sans.add(template, &domains)?;
    }
    Ok(sans)
}

fn peer(uris: &[&str], dns_names: &[&str]) -> PeerCertificate {
    PeerCertificate::from_der(&certificate_for(uris, dns_names)).unwrap()
}

#[test]
fn reads_what_a_decision_needs() {
    let der = certificate_for(&["spiffe://example/a"], &["a.example", "*.b.example"]);
    let peer = PeerCertificate::from_der(&der).unwrap();
    assert_eq!(peer.uris(), ["spiffe://example/a".into()]);
    assert_eq!(peer.dns_names, ["a.example".into(), "*.b.example".into()]);
    assert_eq!(peer.not_after(), Unix::from_secs(365 * 86_400));
    assert_eq!(peer.thumbprint()[..], *digest(&SHA256, &der).as_ref());
    assert!(!peer.is_authority());

    assert!(peer.is_valid_at(Unix::from_secs(0)));
    assert!(peer.is_valid_at(Unix::from_secs(START)));
    assert!(!peer.is_valid_at(peer.not_after()));
}

#[test]
fn refuses_malformed_certificates() {
    let der = certificate_for(&[], &["a.example"]);
    let mut longer = der.clone();
    longer.push(0);
    for bad in [&[][..], b"x", &der[..der.len() - 1], &longer] {
        let error = PeerCertificate::from_der(bad).unwrap_err();
        assert_eq!(error, CertificateError::Malformed);
    }
    let many: Vec<String> = (0..65).map(|i| format!("n{i}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = PeerCertificate::from_der(&certificate_for(&[], &many)).unwrap_err();
    assert_eq!(error, CertificateError::TooManyNames);
}

#[test]
fn a_serial_has_one_spelling() {
    let mut long = [0x11; 21];
    assert!(is_canonical_serial(&long[..20]));
    assert!(!is_canonical_serial(&long), "21 bytes");
    (long[0], long[1]) = (0, 0x80);
    assert!(is_canonical_serial(&long), "a zero that makes it positive");
    for (bytes, good) in [
        (&[][..], false),
        (&[0], false),
        (&[0, 0], false),
        (&[1], true),
        (&[0x7f], true),
        (&[0x80], false),
        (&[0, 0x7f], false),
        (&[0, 0x80], true),
    ] {
        assert_eq!(is_canonical_serial(bytes), good, "{bytes:?}");
    }
}

#[test]
fn ca_certificates_must_be_allowed_to_sign() {
    use rcgen::{BasicConstraints, IsCa, KeyUsagePurpose};
    let signer = |usages: Vec<KeyUsagePurpose>, depth, uris: &[&str]| {
        let uris = uris.iter().map(|uri| (*uri).try_into().unwrap());
        let names = uris.map(rcgen::SanType::URI).collect();
        Signer::from_der(&certificate(|params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(depth));
            params.key_usages = usages;
            params.subject_alt_names = names;
        }))
    };
    let signs = || vec![KeyUsagePurpose::KeyCertSign];
    let leaf = peer(&["spiffe://example/tenant/acme"], &[]);
    let now = Unix::from_secs(START);
    let ends = Ok(leaf.not_after());
    let check = |signers: &[Signer], now| check_signers(&leaf, signers, now);
    let plain = signer(signs(), 0, &[]).unwrap();
    let own = signer(signs(), 1, &["spiffe://example"]).unwrap();
    let silent = signer(vec![], 1, &["https://ca.example/"]).unwrap();
    assert_eq!(check(&[plain.clone(), own.clone()], now), ends);
    assert_eq!(check(&[silent], now), ends);
    assert_eq!(check(&[own, plain.clone()], now), Err(SignerError::TooDeep));
    let lists = signer(vec![KeyUsagePurpose::CrlSign], 0, &[]).unwrap();
    assert_eq!(
        check(&[plain.clone(), lists], now),
        Err(SignerError::MayNotSign)
    );
    let other = signer(signs(), 0, &["spiffe://other"]).unwrap();
    assert_eq!(check(&[other], now), Err(SignerError::OtherDomain));
    let ended = plain.not_after();
    assert_eq!(check(&[plain], ended), Err(SignerError::NotInForce));
    for bad in [
        &["spiffe://example/ca"][..],
        &["spiffe://example/"],
        &["spiffe://example", "spiffe://example"],
        &["SPIFFE://example"],
        &["spiffe:example"],
    ] {
        assert_eq!(signer(signs(), 0, bad), Err(SignerError::BadId), "{bad:?}");
    }
}

#[test]
fn knows_who_may_sign_others() {
    use rcgen::{BasicConstraints, IsCa, KeyUsagePurpose};
    let authority = |change: fn(&mut rcgen::CertificateParams)| {
        PeerCertificate::from_der(&certificate(change))
            .unwrap()
            .is_authority()
    };
    assert!(!authority(|params| params.is_ca = IsCa::ExplicitNoCa));
    assert!(authority(
        |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)
    ));
    assert!(authority(
        |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]
    ));
    assert!(!authority(
        |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]
    ));
}

#[test]
fn a_key_usage_must_allow_digital_signatures() {
    use rcgen::KeyUsagePurpose::{self, DigitalSignature, KeyAgreement, KeyEncipherment};
    let may_prove = |usages: Vec<KeyUsagePurpose>| {
        let der = certificate(|params| params.key_usages = usages);
        let peer = PeerCertificate::from_der(&der).unwrap();
        [false, true].map(|svid| peer.may_prove(svid))
    };
    assert_eq!(may_prove(vec![DigitalSignature]), [true, true]);
    let also = vec![DigitalSignature, KeyEncipherment];
    assert_eq!(may_prove(also), [true, true]);
    assert_eq!(may_prove(vec![]), [true, false], "an SVID must say it");
    let others = vec![KeyEncipherment, KeyAgreement];
    assert_eq!(may_prove(others), [false, false]);
}

#[test]
fn repeated_extensions_are_refused() {
    let twice = |oid: &'static [u64]| {
        let der = certificate(|params| {
            let extension = || rcgen::CustomExtension::from_oid_content(oid, vec![5, 0]);
            params.custom_extensions = vec![extension(), extension()];
        });
        PeerCertificate::from_der(&der).unwrap_err()
    };
    // Nobody's, and the subject alternative name's.
    assert_eq!(twice(&[1, 3, 9999, 1]), CertificateError::Malformed);
    assert_eq!(twice(&[2, 5, 29, 17]), CertificateError::Malformed);
}

#[test]
fn refuses_templates_that_match_too_much() {
    for (template, good) in [
        ("spiffe://{trust_domain}/tenant/{tenant}", true),
        ("spiffe://{trust_domain}/tenant/{tenant}/**", true),
        ("spiffe://example/*/{tenant}", true),
        ("spiffe://other/tenant/{tenant}", false),
        ("spiffe://{trust_domain}/tenant/x", false),
        ("spiffe://{trust_domain}/{tenant}/{tenant}", false),
        (
            "spiffe://{trust_domain}/tenant/{tenant}/svc/{service}",
            true,
        ),
        ("spiffe://{trust_domain}/cell/{cell}/**", true),
        ("spiffe://{trust_domain}/{cell}/{cell}", false),
        (
            "spiffe://{trust_domain}/{tenant}/{service}/{service}",
            false,
        ),
        ("spiffe://{trust_domain}/*/**", false),
        ("spiffe://{trust_domain}/a-{tenant}", false),
        ("spiffe://{trust_domain}/**/{tenant}", false),
        ("spiffe://{trust_domain}//{tenant}", false),
        ("spiffe://{trust_domain}", false),
        ("https://example/{tenant}", false),
        ("{tenant}.clients.example", true),
        ("{tenant}.*.example", true),
        ("{service}.{cell}.example", true),
        ("{cell}", false),
        ("{tenant}", false),
        ("{tenant}.Example", false),
        ("clients.example", false),
        ("", false),
    ] {
        let result = templates(&[template], &["example"]);
        assert_eq!(result.is_ok(), good, "{template}: {result:?}");
    }
    assert!(templates(&["spiffe://{trust_domain}/{tenant}"], &[]).is_err());
}

#[test]
fn a_spiffe_id_names_a_tenant_only_as_the_template_says() {
    let sans = templates(
        &["spiffe://{trust_domain}/tenant/{tenant}/**"],
        &["example"],
    )
    .unwrap();
    let tenant = |uris: &[&str], dns: &[&str]| {
        let accepted = sans.accept(&peer(uris, dns)).ok()?;
        assert_eq!(accepted.trust_domain.unwrap().as_str(), "example");
        assert_eq!(accepted.subject.as_str(), uris[0]);
        Some(accepted.tenant?.to_string())
    };
    for uri in [
        "spiffe://example/tenant/acme",
        "spiffe://example/tenant/acme/service/api",
    ] {
        assert_eq!(
            tenant(&[uri], &["x.example"]).as_deref(),
            Some("acme"),
            "{uri}"
        );
    }
    let long = format!("spiffe://example/tenant/acme/{}", "a".repeat(2048));
    for uri in [
        "spiffe://other/tenant/acme",
        "spiffe://example.evil/tenant/acme",
        "spiffe://EXAMPLE/tenant/acme",
        "SPIFFE://example/tenant/acme",
        "spiffe://example:443/tenant/acme",
        "spiffe://user@example/tenant/acme",
        "spiffe://example/tenant/",
        "spiffe://example/tenant",
        "spiffe://example//tenant/acme",
        "spiffe://example/tenant/acme/",
        "spiffe://example/tenant/../acme",
        "spiffe://example/tenant/a%63me",
        "spiffe://example/tenant/acme?x=y",
        "spiffe://example/tenant/acme#x",
        "spiffe://example/tenants/acme",
        "https://example/tenant/acme",
        &long,
    ] {
        assert_eq!(tenant(&[uri], &[]), None, "{uri}");
    }
    let two = [
        "spiffe://example/tenant/acme",
        "spiffe://example/tenant/evil",
    ];
    assert_eq!(tenant(&two, &[]), None, "two URI SANs");
    assert_eq!(tenant(&[], &["acme.clients.example"]), None, "no URI SAN");
    assert_eq!(tenant(&[], &[]), None, "no SAN");
}

#[test]
fn a_dns_name_names_a_tenant_by_one_label() {
    let sans = templates(&["{tenant}.clients.example"], &[]).unwrap();
    let tenant = |dns: &[&str]| {
        let accepted = sans.accept(&peer(&[], dns)).ok()?;
        assert_eq!(accepted.trust_domain, None);
        Some(accepted.tenant?.to_string())
    };
    for (names, expected) in [
        (&["acme.clients.example"][..], Some("acme")),
        (&["ACME.Clients.Example"], Some("acme")),
        (&["other.example", "acme.clients.example"], Some("acme")),
        (&["acme.clients.example", "evil.clients.example"], None),
        (&["*.clients.example"], None),
        (&["a.acme.clients.example"], None),
        (&["clients.example"], None),
        (&["acme.clients.example.evil"], None),
    ] {
        assert_eq!(tenant(names).as_deref(), expected, "{names:?}");
    }
}

#[test]
fn an_svid_is_matched_by_its_uri_only() {
    let both = [
        "spiffe://{trust_domain}/tenant/{tenant}",
        "{tenant}.clients.example",
    ];
    let sans = templates(&both, &["example"]).unwrap();
    let accepts = |uris: &[&str]| sans.accept(&peer(uris, &["acme.clients.example"])).is_ok();
    assert!(accepts(&[]));
    assert!(accepts(&["spiffe://example/tenant/acme"]));
    assert!(!accepts(&["spiffe://other/tenant/acme"]));

    let longer = peer(&["spiffe://example/tenant/acme/api"], &[]);
    assert!(
        sans.accept(&longer).is_err(),
        "the template doesn't end with **"
    );

    let two = [
        "spiffe://{trust_domain}/{tenant}/*",
        "spiffe://{trust_domain}/*/{tenant}",
    ];
    let sans = templates(&two, &["example"]).unwrap();
    assert!(sans.accept(&peer(&["spiffe://example/a/a"], &[])).is_ok());
    assert!(sans.accept(&peer(&["spiffe://example/a/b"], &[])).is_err());
}

#[test]
fn a_certificate_can_name_a_service_or_a_cell_without_a_tenant() {
    let sans = templates(
        &[
            "spiffe://{trust_domain}/cell/{cell}/**",
            "spiffe://{trust_domain}/svc/{service}",
            "spiffe://{trust_domain}/tenant/{tenant}/svc/{service}",
            "{service}.{cell}.cells.example",
        ],
        &["example"],
    )
    .unwrap();
    let named = |uris: &[&str], dns: &[&str]| {
        let accepted = sans.accept(&peer(uris, dns)).ok()?;
        let names = [accepted.tenant, accepted.service, accepted.cell];
        Some(
            names
                .map(|name| name.map_or_else(|| "-".to_owned(), |n| n.to_string()))
                .join(" "),
        )
    };
    for (uris, dns, expected) in [
        (&["spiffe://example/cell/a"][..], &[][..], Some("- - a")),
        (&["spiffe://example/cell/a/agent"], &[], Some("- - a")),
        (&["spiffe://example/svc/api"], &[], Some("- api -")),
        (
            &["spiffe://example/tenant/acme/svc/api"],
            &[],
            Some("acme api -"),
        ),
        (&[], &["api.a.cells.example"], Some("- api a")),
        (&[], &["api.a.cells.example", "api.b.cells.example"], None),
        (&[], &["api.a.cells.example", "web.a.cells.example"], None),
        (&["spiffe://example/cell/"], &[], None),
        (&["spiffe://example/tenant/acme/svc"], &[], None),
    ] {
        assert_eq!(named(uris, dns).as_deref(), expected, "{uris:?} {dns:?}");
    }
}

#[test]
fn a_name_that_templates_read_differently_is_refused() {
    let both = [
        "spiffe://{trust_domain}/cell/{cell}",
        "spiffe://{trust_domain}/*/{tenant}",
    ];
    let sans = templates(&both, &["example"]).unwrap();
    assert!(
        sans.accept(&peer(&["spiffe://example/cell/a"], &[]))
            .is_err()
    );
    assert!(sans.accept(&peer(&["spiffe://example/of/a"], &[])).is_ok());
}
