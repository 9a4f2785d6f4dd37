//! Warnings about certificates in trust bundles that are no CA's.

use cellway_core::cert::{CertificateNames, PeerCertificate};
use cellway_env::Env;

use crate::finding::Findings;
use crate::settings::{Pem, RouterSettings};
use crate::tls::certificates;

/// Looks for leaves that another certificate has issued: somebody took the server's certificate for the
/// bundle. A certificate that signed itself may be meant, because it verifies itself.
pub(super) async fn leaves<E: Env>(env: &E, settings: &RouterSettings, findings: &mut Findings) {
    for (setting, bundle) in bundles(settings) {
        // If it can't be read, that error is already reported.
        let Ok(certificates) = certificates(env, bundle).await else {
            continue;
        };
        let name = match bundle {
            Pem::File(path) => path,
            Pem::Text(_) => "the bundle",
        };
        for (number, der) in (1..).zip(&certificates) {
            let Some((subject, issuer)) = leaf(der) else {
                continue;
            };
            let problem = format!(
                "{name} holds a certificate that is not a CA's (number {number}, \"{subject}\"): \
                 nothing that a CA issued is trusted because of it"
            );
            let fix = format!("replace it by the certificate of its issuer, \"{issuer}\"");
            findings.warning(&setting, problem, fix);
        }
    }
}

/// Subject and issuer of a certificate that may sign none and was signed by another.
fn leaf(der: &[u8]) -> Option<(String, String)> {
    let names = CertificateNames::from_der(der).ok()?;
    let certificate = PeerCertificate::from_der(der).ok()?;
    let is_leaf = !certificate.is_authority() && !names.is_issuer_of(&names);
    is_leaf.then(|| (names.subject().to_owned(), names.issuer().to_owned()))
}

/// All bundles, with their settings.
fn bundles(settings: &RouterSettings) -> Vec<(String, &Pem)> {
    let admin = settings.admin_tls.as_ref().map(|tls| &tls.bundle);
    let single = [
        ("trust.bundle", settings.trust_bundle.as_ref()),
        ("admin.tls.bundle", admin),
        ("upstream.bundle", settings.upstream.bundle.as_ref()),
        ("fetch.bundle", settings.sources.fetch.bundle.as_ref()),
    ];
    let single = single.into_iter();
    let mut bundles: Vec<_> = single
        .filter_map(|(setting, bundle)| Some((setting.to_owned(), bundle?)))
        .collect();
    for domain in &settings.domain_bundles {
        let setting = format!("trust.trust_domains \"{}\"", domain.trust_domain);
        bundles.push((setting, &domain.bundle));
    }
    bundles
}
