//! Expiry dates of the certificates that the settings name.

use std::sync::Arc;
use std::time::Duration;

use cellway_core::Unix;
use cellway_core::cert::PeerCertificate;
use cellway_env::Env;

use super::material::certificates;
use crate::observe::log::rfc3339;
use crate::settings::{Pem, RouterSettings};

/// Most certificates that are kept an eye on: those that end first. A system's bundle has some 140.
pub const CERTIFICATES_MAX: usize = 256;

/// The longest time before its end in which a certificate is near it.
const NEAR_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// One certificate of a chain or bundle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateDates {
    /// The setting that names its file.
    pub setting: Arc<str>,
    /// Its place in the file, from 0. A chain begins with the leaf.
    pub position: usize,
    /// When it comes into force.
    pub not_before: Unix,
    /// When it ends.
    pub not_after: Unix,
}

impl CertificateDates {
    /// From when on it is near its end: in the last tenth of its life, and no more than 30 days before.
    /// Whoever renews certificates in time does so before that, whether they live for an hour or for
    /// years.
    pub fn near_from(&self) -> Unix {
        let near = (self.not_after.since(self.not_before) / 10).min(NEAR_MAX);
        let end = self.not_after.since_epoch();
        Unix::from_epoch(end.saturating_sub(near))
    }

    /// What there is to say of it at `now`, if it is near its end or past it.
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

/// Reads the files of all chains that the router shows and of all bundles that it trusts, and gives the
/// certificates in the order of their ends. What can't be read is left out: whoever puts the settings
/// in force has found it out. Whom the system trusts is the system's own matter.
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

/// The settings that name certificates, and what they say.
fn named(settings: &RouterSettings) -> Vec<(String, &Pem)> {
    let mut named = Vec::new();
    for (i, listener) in settings.listeners.iter().enumerate() {
        if let Some(tls) = &listener.tls {
            let setting = format!("listener[{i}].tls.certificate");
            named.push((setting, &tls.identity.certificate));
        }
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
mod tests {
    use super::*;

    #[test]
    fn near_is_a_tenth_of_a_life_and_a_month_at_most() {
        const DAY: u64 = 24 * 60 * 60;
        let near = |life_days: u64| {
            let dates = CertificateDates {
                setting: "x".into(),
                position: 0,
                not_before: Unix::from_secs(1_800_000_000),
                not_after: Unix::from_secs(1_800_000_000 + life_days * DAY),
            };
            dates.not_after.since(dates.near_from()).as_secs()
        };
        assert_eq!(near(1), DAY / 10);
        assert_eq!(near(90), 9 * DAY);
        assert_eq!(near(3_650), 30 * DAY);
        assert_eq!(near(0), 0);
    }
}
