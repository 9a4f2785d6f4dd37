//! Trusted CAs for client certificates, and revocation.

use std::collections::BTreeMap;
use std::sync::Arc;

use cellway_core::Unix;
use cellway_core::cert::PeerCertificate;
use cellway_env::Env;

use super::Provider;
use super::chain::{ChainVerifier, Roots};
use super::lists::Lists;
use super::material::{MaterialError, certificates, revocation_lists, store};
use crate::settings::{Pem, RouterSettings};

/// The trust bundles and the revocation lists, read from their files.
///
/// A trust domain with a bundle of its own is vouched for by that one alone, and that one vouches
/// for nothing else: neither for another trust domain nor for DNS names.
#[derive(Debug)]
pub(crate) struct Trust {
    /// For DNS names, and for all trust domains that have no bundle of their own.
    common: Option<Roots>,
    domains: BTreeMap<Box<str>, Roots>,
    lists: Lists,
    dates: Vec<ListDates>,
}

/// When a revocation list was issued, and when another should follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListDates {
    /// Which of `trust.crl`; a file may hold several lists.
    pub setting: usize,
    /// `thisUpdate`.
    pub issued: Unix,
    /// `nextUpdate`: from then on it is stale.
    pub next: Unix,
}

impl Trust {
    /// Reads all bundles and lists; `None` if nobody's certificates are believed.
    ///
    /// # Errors
    /// The setting, and what is wrong with its file: it can't be read, or holds what is no bundle or
    /// no list. A list that has become stale is no error here: it refuses certificates, and a router
    /// that doesn't start would refuse more.
    pub(crate) async fn load<E: Env>(
        env: &E,
        settings: &RouterSettings,
    ) -> Result<Option<Arc<Self>>, (String, MaterialError)> {
        if !settings.trusts_clients() {
            return Ok(None);
        }
        let mut trust = Self {
            common: None,
            domains: BTreeMap::new(),
            lists: Lists::new(&settings.revocation),
            dates: Vec::new(),
        };
        if let Some(bundle) = &settings.trust_bundle {
            let roots = roots(env, bundle).await;
            let at = |error| ("trust.bundle".to_owned(), error);
            trust.common = Some(roots.map_err(at)?);
        }
        for domain in &settings.domain_bundles {
            let name = &domain.trust_domain;
            let roots = roots(env, &domain.bundle).await;
            let at = |error| (format!("trust.trust_domains ({name}) bundle"), error);
            trust
                .domains
                .insert(name.as_str().into(), roots.map_err(at)?);
        }
        for (i, pem) in settings.revocation.lists.iter().enumerate() {
            let at = |error| (format!("trust.crl[{i}]"), error);
            for list in revocation_lists(env, pem).await.map_err(at)? {
                let added = trust.lists.add(&list);
                let list = added.map_err(|problem| at(MaterialError::new(pem, problem)))?;
                trust.dates.push(ListDates {
                    setting: i,
                    issued: list.this_update(),
                    next: list.next_update(),
                });
            }
        }
        Ok(Some(Arc::new(trust)))
    }

    /// Who may vouch for this leaf. A certificate with several URI names is nobody's SVID, and no
    /// listener takes it.
    pub(super) fn roots(&self, leaf: &PeerCertificate) -> Option<&Roots> {
        let own = leaf.trust_domain().and_then(|name| self.domains.get(name));
        own.or(self.common.as_ref())
    }

    /// When each of the lists was issued, and is followed by another.
    pub(crate) fn dates(&self) -> &[ListDates] {
        &self.dates
    }

    /// The CAs without a revocation list, if each must have one, as text.
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
                missing.push(format!("{}{of}", names.join(", ")));
            }
        }
        missing
    }

    pub(super) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// When the next list will be past its time, and certificates to be looked at again.
    pub(crate) fn next_staling(&self, now: Unix) -> Option<Unix> {
        self.lists.next_staling(now)
    }

    /// When the first of the roots ends that may vouch for this leaf.
    pub(super) fn first_root_end(&self, leaf: &PeerCertificate) -> Option<Unix> {
        self.roots(leaf).and_then(Roots::first_end)
    }

    /// Who judges chains; with `optional`, a client may have none.
    pub(super) fn verifier(self: &Arc<Self>, provider: &Provider, optional: bool) -> ChainVerifier {
        let all = self.common.iter().chain(self.domains.values());
        ChainVerifier {
            trust: Arc::clone(self),
            algorithms: provider.crypto.signature_verification_algorithms,
            optional,
            hints: all.flat_map(Roots::subjects).collect(),
        }
    }
}

/// Reads a bundle. It is taken whole or not at all.
async fn roots<E: Env>(env: &E, bundle: &Pem) -> Result<Roots, MaterialError> {
    let certificates = certificates(env, bundle).await?;
    let store = store(bundle, &certificates)?;
    Ok(Roots::new(store, &certificates))
}
