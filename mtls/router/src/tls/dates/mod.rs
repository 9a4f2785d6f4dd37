//! Expiry dates of the certificates that the settings name.

use std::sync::Arc;
use std::time::Duration;

use cellway_core::Unix;
use cellway_core::cert::PeerCertificate;
use cellway_env::Env;

use super::material::certificates;
use crate::rfc3339::rfc3339;
use crate::settings::{Pem, RouterSettings};

/// The most certificates that are watched. Those that expire first are watched. A system's bundle
/// has about 140.
pub const CERTIFICATES_MAX: usize = 256;

/// The longest time before its expiry for which a certificate counts as expiring soon.
const NEAR_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// One certificate of a chain or bundle.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CertificateDates {
    /// The setting that names its file.
    pub setting: Arc<str>,
    /// Its position in the file, from 0. A chain starts with the leaf.
    pub position: usize,
    /// When it becomes valid.
    pub not_before: Unix,
    /// When it expires.
    pub not_after: Unix,
}

impl CertificateDates {
    /// When the warnings about its expiry start: in the last tenth of its lifetime, but at most 30
    /// days before its end. A certificate that is renewed in time is replaced before that, whether
    /// it lives for an hour or for years.
    pub fn near_from(&self) -> Unix {
        let near = (self.not_after.since(self.not_before) / 10).min(NEAR_MAX);
        let end = self.not_after.since_epoch();
        Unix::from_epoch(end.saturating_sub(near))
    }

    /// A warning, if it expires soon or has expired at `now`.
    pub(crate) fn warning(&self, now: Unix) -> Option<String> {
        let Self {
            setting, position, ..
        } = self;
        let end = rfc3339(self.not_after);
        if self.not_after <= now {
            Some(format!(
                "certificate {position} of {setting} expired at {end}"
            ))
        } else if self.near_from() <= now {
            Some(format!(
                "certificate {position} of {setting} expires at {end}"
            ))
        } else {
            None
        }
    }
}

/// Reads all chains that the router presents and all bundles that it trusts, and returns the
/// certificates sorted by expiry. Files that can't be read are left out, because they are reported
/// when the settings are loaded. The system's own CAs are not included.
pub(crate) async fn certificate_dates<E: Env>(
    env: &E,
    settings: &RouterSettings,
) -> Vec<CertificateDates> {
    let mut all = Vec::new();
    for (setting, pem) in named(settings) {
        let setting: Arc<str> = setting.into();
        let certificates = certificates(env, pem).await.unwrap_or_default();
        for (position, der) in certificates.iter().enumerate() {
            let Ok(certificate) = PeerCertificate::from_der(der) else {
                continue;
            };
            all.push(CertificateDates {
                setting: setting.clone(),
                position,
                not_before: certificate.not_before(),
                not_after: certificate.not_after(),
            });
        }
    }
    all.sort_by_key(|certificate| certificate.not_after);
    all.truncate(CERTIFICATES_MAX);
    all
}

/// The settings that name certificates, and their values.
fn named(settings: &RouterSettings) -> Vec<(String, &Pem)> {
    let mut named = Vec::new();
    for (i, listener) in settings.listeners.iter().enumerate() {
        if let Some(tls) = &listener.tls {
            let setting = format!("listener[{i}].tls.certificate");
            named.push((setting, &tls.identity.certificate));
        }
    }
    if let Some(tls) = &settings.admin_tls {
        named.push((
            "admin.tls.certificate".to_owned(),
            &tls.identity.certificate,
        ));
        named.push(("admin.tls.bundle".to_owned(), &tls.bundle));
    }
    let fetch = &settings.sources.fetch;
    let chains = [
        ("upstream.certificate", &settings.upstream.identity),
        ("fetch.certificate", &fetch.identity),
    ];
    for (setting, pair) in chains {
        let chain = pair.iter().map(|pair| &pair.certificate);
        named.extend(chain.map(|chain| (setting.to_owned(), chain)));
    }
    let bundles = [
        ("trust.bundle", &settings.trust_bundle),
        ("upstream.bundle", &settings.upstream.bundle),
        ("fetch.bundle", &fetch.bundle),
    ];
    for (setting, bundle) in bundles {
        named.extend(bundle.iter().map(|bundle| (setting.to_owned(), bundle)));
    }
    for domain in &settings.domain_bundles {
        let setting = format!("trust.trust_domains ({}) bundle", domain.trust_domain);
        named.push((setting, &domain.bundle));
    }
    named
}

#[cfg(test)]
mod tests;
