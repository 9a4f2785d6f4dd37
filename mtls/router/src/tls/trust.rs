//! The trusted CAs for client certificates, and the revocation lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use cellway_core::Unix;
use cellway_core::cert::PeerCertificate;
use cellway_env::Env;
use rustls::DistinguishedName;

use super::lists::Lists;
use super::material::{MaterialError, located, revocation_lists, store};
use super::roots::Roots;
use crate::settings::{AdminTls, DomainBundle, Pem, RevocationSettings, RouterSettings};

/// The most CAs of one bundle that a warning about missing lists names.
const AUTHORITIES_NAMED_MAX: usize = 16;

/// The trust bundles and the revocation lists, read from their files.
///
/// If a trust domain has its own bundle, only the CAs in that bundle are trusted for it, and they
/// are trusted for nothing else: neither for another trust domain nor for DNS names.
#[derive(Debug)]
pub(crate) struct Trust {
    /// For DNS names, and for all trust domains without their own bundle.
    common: Option<Roots>,
    domains: BTreeMap<Box<str>, Roots>,
    lists: Lists,
    dates: Vec<ListDates>,
}

/// The files of one table of the settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrustFiles<'a> {
    /// The table, for messages.
    table: &'static str,
    bundle: Option<&'a Pem>,
    domains: &'a [DomainBundle],
    revocation: &'a RevocationSettings,
}

impl<'a> From<&'a RouterSettings> for TrustFiles<'a> {
    fn from(settings: &'a RouterSettings) -> Self {
        Self {
            table: "trust",
            bundle: settings.trust_bundle.as_ref(),
            domains: &settings.domain_bundles,
            revocation: &settings.revocation,
        }
    }
}

impl<'a> From<&'a AdminTls> for TrustFiles<'a> {
    fn from(admin: &'a AdminTls) -> Self {
        Self {
            table: "admin.tls",
            bundle: Some(&admin.bundle),
            domains: &[],
            revocation: &admin.revocation,
        }
    }
}

/// When a revocation list was issued, and when the next one is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ListDates {
    /// The table that names its file: `trust` or `admin.tls`.
    pub table: &'static str,
    /// The index in the table's `crl`. One file may have several lists.
    pub setting: usize,
    /// `thisUpdate`.
    pub issued: Unix,
    /// `nextUpdate`. The list is stale from then on.
    pub next: Unix,
}

impl Trust {
    /// Reads all bundles and lists. `None` if no bundle is configured, so no certificate is
    /// trusted.
    ///
    /// # Errors
    /// The setting, and what is wrong with its file: it can't be read, or is not a bundle or a
    /// list. A stale list is not an error here: it makes the router refuse certificates, but a
    /// router that doesn't start would refuse everything.
    pub(crate) async fn load<E: Env>(
        env: &E,
        files: impl Into<TrustFiles<'_>>,
    ) -> Result<Option<Arc<Self>>, (String, MaterialError)> {
        let TrustFiles {
            table,
            bundle,
            domains,
            revocation,
        } = files.into();
        if bundle.is_none() && domains.is_empty() {
            return Ok(None);
        }
        let mut trust = Self {
            common: None,
            domains: BTreeMap::new(),
            lists: Lists::new(revocation),
            dates: Vec::new(),
        };
        if let Some(bundle) = bundle {
            let roots = roots(env, bundle).await;
            let at = |error| (format!("{table}.bundle"), error);
            trust.common = Some(roots.map_err(at)?);
        }
        for domain in domains {
            let name = &domain.trust_domain;
            let roots = roots(env, &domain.bundle).await;
            let at = |error| (format!("{table}.trust_domains ({name}) bundle"), error);
            trust
                .domains
                .insert(name.as_str().into(), roots.map_err(at)?);
        }
        for (i, pem) in revocation.lists.iter().enumerate() {
            let at = |error| (format!("{table}.crl[{i}]"), error);
            for list in revocation_lists(env, pem).await.map_err(at)? {
                let added = trust.lists.add(&list);
                let list = added.map_err(|problem| at(MaterialError::new(pem, problem)))?;
                trust.dates.push(ListDates {
                    table,
                    setting: i,
                    issued: list.this_update(),
                    next: list.next_update(),
                });
            }
        }
        Ok(Some(Arc::new(trust)))
    }

    /// The CAs that are trusted for this leaf. A certificate with several URI names is not an SVID,
    /// and no listener accepts it.
    pub(super) fn roots(&self, leaf: &PeerCertificate) -> Option<&Roots> {
        let own = leaf.trust_domain().and_then(|name| self.domains.get(name));
        own.or(self.common.as_ref())
    }

    /// The dates of each list.
    pub(crate) fn dates(&self) -> &[ListDates] {
        &self.dates
    }

    /// The names of the CAs without a revocation list, if each must have one.
    pub(crate) fn authorities_without_list(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let common = self.common.iter().map(|roots| (None, roots));
        let domains = self.domains.iter().map(|(name, roots)| (Some(name), roots));
        for (domain, roots) in common.chain(domains) {
            let unlisted = roots
                .subjects_in_words()
                .filter(|(der, _)| self.lists.lacks(der));
            let names: Vec<_> = unlisted.map(|(_, name)| format!("\"{name}\"")).collect();
            if !names.is_empty() {
                let of = domain.map_or_else(String::new, |name| format!(" (trust domain {name})"));
                let named = names.iter().take(AUTHORITIES_NAMED_MAX);
                let named: Vec<_> = named.map(String::as_str).collect();
                let more = match names.len() - named.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                missing.push(format!("{}{more}{of}", named.join(", ")));
            }
        }
        missing
    }

    pub(super) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// When the next list becomes stale after `now`. Certificates must be verified again then.
    pub(crate) fn next_staling(&self, now: Unix) -> Option<Unix> {
        self.lists.next_staling(now)
    }

    /// When the first of the roots that are trusted for this leaf expires.
    pub(super) fn first_root_end(&self, leaf: &PeerCertificate) -> Option<Unix> {
        self.roots(leaf).and_then(Roots::first_end)
    }

    /// The CA names that a handshake sends.
    pub(super) fn hints(&self) -> Vec<DistinguishedName> {
        let all = self.common.iter().chain(self.domains.values());
        all.flat_map(Roots::subjects).collect()
    }
}

/// Reads a bundle. One bad certificate makes all of it unusable.
async fn roots<E: Env>(env: &E, bundle: &Pem) -> Result<Roots, MaterialError> {
    let certificates = located(env, bundle).await?;
    let store = store(bundle, &certificates)?;
    let certificates = certificates.iter().map(|located| &located.der);
    Ok(Roots::new(store, certificates))
}
