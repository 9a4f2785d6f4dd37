//! Gauges of the age of keys and revocation lists, and of when certificates expire.

use cellway_core::{Snapshot, Unix};

use super::render::Page;
use crate::tls::{CertificateDates, ListDates};

/// The most revocation lists that are shown.
const LISTS_MAX: usize = 64;

/// Renders the ages at `now`, in the format of [`Metrics::render`](super::Metrics::render). Issuers
/// and lists come from the configuration, so there are few.
pub fn ages(snapshot: &Snapshot, now: Unix, lists: &[ListDates]) -> String {
    let mut page = Page::new();
    let name = "jwks_age_seconds";
    page.head(name, "gauge", "How long ago an issuer's keys were fetched.");
    for (issuer, keys) in snapshot.policy.issuers.iter().zip(&snapshot.keys.issuers) {
        if let Some(at) = keys.fetched_at {
            let labels = [("issuer", issuer.name.as_str())];
            page.sample(name, &labels, now.since(at).as_secs());
        }
    }
    let name = "jwks_failures";
    let help = "Fetches of an issuer's keys that failed one after another.";
    page.head(name, "gauge", help);
    for (issuer, keys) in snapshot.policy.issuers.iter().zip(&snapshot.keys.issuers) {
        page.sample(name, &[("issuer", issuer.name.as_str())], keys.failures);
    }
    type Of = fn(&ListDates, Unix) -> u64;
    let gauges: [(&str, &str, Of); 3] = [
        (
            "crl_age_seconds",
            "How long ago a revocation list was issued.",
            |list, now| now.since(list.issued).as_secs(),
        ),
        (
            "crl_next_update_seconds",
            "Seconds until the next update of a revocation list is due.",
            |list, now| list.next.since(now).as_secs(),
        ),
        (
            "crl_stale",
            "1 once the next update of a revocation list is overdue.",
            |list, now| u64::from(now >= list.next),
        ),
    ];
    for (name, help, of) in gauges {
        page.head(name, "gauge", help);
        for (at, list) in lists.iter().take(LISTS_MAX).enumerate() {
            let (at, setting) = (at.to_string(), list.setting.to_string());
            let labels = [
                ("list", at.as_str()),
                ("table", list.table),
                ("setting", setting.as_str()),
            ];
            page.sample(name, &labels, of(list, now));
        }
    }
    page.text()
}

/// Renders when certificates expire, in the same format. They come from the configuration, and
/// there are at most [`CERTIFICATES_MAX`](crate::tls::CERTIFICATES_MAX).
pub fn ends(certificates: &[CertificateDates]) -> String {
    let mut page = Page::new();
    let name = "certificate_not_after_seconds";
    let help = "When a certificate expires, in seconds since the Unix epoch.";
    page.head(name, "gauge", help);
    for certificate in certificates {
        let position = certificate.position.to_string();
        let labels = [
            ("setting", &*certificate.setting),
            ("position", position.as_str()),
        ];
        page.sample(name, &labels, certificate.not_after.as_secs());
    }
    page.text()
}
