//! Client certificates, and the templates that their names are matched against.

use std::sync::LazyLock;

use cellway_core::Text;
use cellway_core::cert::{PeerCertificate, RevocationList, Signer};
use rcgen::{CertificateParams, KeyPair, SanType};
use serde_json::json;

use crate::identity::Core;

/// The fixed templates, besides the one from the input.
const SPIFFE: &str = "spiffe://{trust_domain}/tenant/{tenant}/**";
const DNS: &str = "{tenant}.clients.example";

/// One key for all: making it is what takes time.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().expect("a key"));

static CORE: LazyLock<Core> = LazyLock::new(|| core(&[SPIFFE, DNS]).expect("a good configuration"));

fn core(templates: &[&str]) -> Option<Core> {
    let config = json!({
        "policy": [{"name": "default", "any_of": ["mtls"]}],
        "trust": {"bundle": "ca.pem", "trust_domains": ["example"], "san": templates},
    });
    Core::new(config, None)
}

/// Any bytes as the DER of a leaf, of an authority and of a revocation list.
pub(crate) fn run(data: &[u8]) {
    // Whatever is read, nothing panics.
    let _ = Signer::from_der(data);
    let _ = RevocationList::from_der(data);
    if let Ok(peer) = PeerCertificate::from_der(data) {
        check(&CORE, &peer);
    }
}

/// Lines: a template, then URI SANs and, after `dns:`, DNS SANs.
pub(crate) fn run_names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.lines();
    let template = lines.next().unwrap_or_default();
    let names: Option<Vec<SanType>> = lines.take(8).map(name).collect();
    let Some(peer) = names.and_then(certificate) else {
        return;
    };
    check(&CORE, &peer);
    if let Some(own) = core(&[template])
        && let Ok(identity) = own.ask(None, Some(&peer))
    {
        let tenant = identity
            .tenant
            .as_ref()
            .expect("a certificate names a tenant");
        Text::check(tenant.as_str()).expect("a tenant can stand in a header");
        let subject = identity.subject.as_ref().expect("a certificate has a name");
        let folded = subject.as_str().to_ascii_lowercase();
        assert!(
            folded.contains(&tenant.as_str().to_ascii_lowercase()),
            "{tenant} in {subject}"
        );
    }
}

fn name(line: &str) -> Option<SanType> {
    match line.strip_prefix("dns:") {
        Some(name) => name.try_into().ok().map(SanType::DnsName),
        None => line.try_into().ok().map(SanType::URI),
    }
}

fn certificate(names: Vec<SanType>) -> Option<PeerCertificate> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    let certificate = params.self_signed(&*KEY).ok()?;
    PeerCertificate::from_der(certificate.der()).ok()
}

/// Whoever is taken has the tenant in one of the names, at the place that the template says.
fn check(core: &Core, peer: &PeerCertificate) {
    let Ok(identity) = core.ask(None, Some(peer)) else {
        return;
    };
    let tenant = identity
        .tenant
        .as_ref()
        .expect("a certificate names a tenant")
        .as_str();
    Text::check(tenant).expect("a tenant can stand in a header");
    let subject = identity
        .subject
        .as_ref()
        .expect("a certificate has a name")
        .as_str();
    if let Some(rest) = subject.strip_prefix("spiffe://") {
        assert!(peer.uris().iter().any(|uri| **uri == *subject), "{subject}");
        let rest = rest
            .strip_prefix("example/tenant/")
            .expect("the template's path");
        let rest = rest.strip_prefix(tenant).expect("the template's tenant");
        assert!(
            rest.is_empty() || rest.starts_with('/'),
            "{tenant} in {subject}"
        );
    } else {
        let whole = format!("{tenant}.clients.example");
        assert!(
            subject.eq_ignore_ascii_case(&whole),
            "{tenant} in {subject}"
        );
    }
}

/// Certificates as a public authority and as this crate makes them.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let make = |names: &[&str]| {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().filter_map(|line| name(line)).collect();
        let certificate = params.self_signed(&*KEY).expect("a certificate");
        certificate.der().to_vec()
    };
    vec![
        make(&[]),
        make(&["spiffe://example/tenant/acme"]),
        make(&["spiffe://example/tenant/acme/service/web"]),
        make(&["dns:acme.clients.example"]),
        make(&[
            "dns:acme.clients.example",
            "spiffe://example/tenant/acme",
            "spiffe://x/y",
        ]),
    ]
}

pub(crate) fn name_seeds() -> Vec<Vec<u8>> {
    [
        "spiffe://{trust_domain}/tenant/{tenant}\nspiffe://example/tenant/acme",
        "spiffe://{trust_domain}/tenant/{tenant}/**\nspiffe://example/tenant/acme/a/b",
        "spiffe://example/{tenant}\nspiffe://example/acme\ndns:acme.clients.example",
        "{tenant}.clients.example\ndns:acme.clients.example",
        "*.example\nspiffe://example/tenant/%61cme\nspiffe://EXAMPLE/tenant/../acme",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
