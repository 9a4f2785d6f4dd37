//! Relative paths.

use std::path::{Path, PathBuf};

use cellway_core::policy::{BoundTrustDomainSpec, TrustDomainSpec};

use super::schema::File;

/// Relative paths start at the configuration's folder, so that it works wherever the router is
/// started.
pub(super) struct Paths(PathBuf);

impl Paths {
    pub(super) fn beside(file: &str) -> Self {
        Self(
            Path::new(file)
                .parent()
                .map(Path::to_owned)
                .unwrap_or_default(),
        )
    }

    pub(super) fn resolve(&self, tables: &mut File) {
        let File {
            listener,
            issuer,
            trust,
            registry,
            upstream,
            fetch,
            envelope,
            state,
            log,
            ..
        } = tables;
        if let Some(key) = &mut log.subject_key {
            self.one(key);
        }
        for tls in listener
            .iter_mut()
            .filter_map(|listener| listener.tls.as_mut())
        {
            self.one(&mut tls.certificate);
            self.one(&mut tls.key);
        }
        for list in trust.iter_mut().flat_map(|trust| &mut trust.crl) {
            self.one(list);
        }
        for domain in trust.iter_mut().flat_map(|trust| &mut trust.trust_domains) {
            if let TrustDomainSpec::Bound(BoundTrustDomainSpec {
                bundle: Some(path), ..
            }) = domain
            {
                self.one(path);
            }
        }
        if let Some(state) = state {
            self.one(&mut state.directory);
        }
        if let Some(envelope) = envelope {
            self.one(&mut envelope.keys);
        }
        let optional = [
            trust.as_mut().map(|trust| &mut trust.bundle),
            Some(&mut registry.file),
            Some(&mut registry.token_file),
            Some(&mut upstream.bundle),
            Some(&mut upstream.certificate),
            Some(&mut upstream.key),
            Some(&mut fetch.bundle),
            Some(&mut fetch.certificate),
            Some(&mut fetch.key),
        ];
        let issuers = issuer.iter_mut().map(|issuer| &mut issuer.jwks_file);
        for path in optional.into_iter().flatten().chain(issuers).flatten() {
            self.one(path);
        }
    }

    fn one(&self, path: &mut String) {
        // An empty path stays empty, so that whoever reads it reports it as missing.
        if !path.is_empty() {
            *path = self.0.join(&*path).to_string_lossy().into_owned();
        }
    }
}
