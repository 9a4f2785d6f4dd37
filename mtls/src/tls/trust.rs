//! Whose client certificates are believed, and which of them no longer are.

use std::sync::Arc;

use cellway_core::Unix;
use cellway_core::cert::crl_next_update;
use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::Provider;
use super::material::{MaterialError, load_roots, revocation_lists};
use crate::env::Env;
use crate::settings::{Pem, RevocationSettings};

/// The trust bundle and the revocation lists, read from their files.
///
/// Lists are looked at for every certificate of a chain but the root. rustls checks each list's
/// signature whenever it is used, and takes neither delta nor indirect ones.
pub(crate) struct Trust {
    bundle: Pem,
    roots: Arc<RootCertStore>,
    lists: Vec<CertificateRevocationListDer<'static>>,
    rules: RevocationSettings,
    /// When the first of the lists that must be fresh no longer is.
    stale_from: Option<Unix>,
}

impl Trust {
    /// Reads the bundle and all lists.
    ///
    /// # Errors
    /// The setting, and what is wrong with its file: it can't be read, or holds what is no bundle or
    /// no list. A list that has become stale is no error here: it refuses certificates, and a router
    /// that doesn't start would refuse more.
    pub(crate) async fn load<E: Env>(
        env: &E,
        provider: &Provider,
        bundle: &Pem,
        rules: &RevocationSettings,
    ) -> Result<Self, (String, MaterialError)> {
        let roots = load_roots(env, bundle).await;
        let roots = roots.map_err(|error| ("trust.bundle".to_owned(), error))?;
        let mut trust = Self {
            bundle: bundle.clone(),
            roots: Arc::new(roots),
            lists: Vec::new(),
            rules: rules.clone(),
            stale_from: None,
        };
        for (i, pem) in rules.lists.iter().enumerate() {
            let at = |error| (format!("trust.crl[{i}]"), error);
            let lists = revocation_lists(env, pem).await.map_err(at)?;
            for list in &lists {
                // One by one, so that the error names the file.
                let (roots, crypto) = (trust.roots.clone(), provider.crypto.clone());
                WebPkiClientVerifier::builder_with_provider(roots, crypto)
                    .with_crls([list.clone()])
                    .build()
                    .map_err(|error| at(MaterialError::new(pem, error)))?;
                let next = crl_next_update(list);
                let next = next.map_err(|error| at(MaterialError::new(pem, error)))?;
                trust.stale_from = trust
                    .stale_from
                    .map_or(Some(next), |old| Some(old.min(next)));
            }
            trust.lists.extend(lists);
        }
        if rules.stale_allowed {
            trust.stale_from = None;
        }
        Ok(trust)
    }

    /// From when on a chain that was found good must be looked at again for every request.
    pub(crate) fn stale_from(&self) -> Option<Unix> {
        self.stale_from
    }

    /// Who judges chains; with `optional`, a client may have none.
    ///
    /// # Errors
    /// The bundle is empty, or a list is one that rustls can't use.
    pub(crate) fn verifier(
        &self,
        provider: &Provider,
        optional: bool,
    ) -> Result<Arc<dyn ClientCertVerifier>, MaterialError> {
        let (roots, crypto) = (self.roots.clone(), provider.crypto.clone());
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, crypto)
            .with_crls(self.lists.iter().cloned());
        if !self.rules.stale_allowed {
            builder = builder.enforce_revocation_expiration();
        }
        if self.rules.missing_allowed {
            builder = builder.allow_unknown_revocation_status();
        }
        if optional {
            builder = builder.allow_unauthenticated();
        }
        let built = builder.build();
        built.map_err(|error| MaterialError::new(&self.bundle, error))
    }
}
