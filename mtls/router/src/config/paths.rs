//! Relative paths, and empty ones.

use std::path::{Path, PathBuf};

use cellway_core::policy::{BoundTrustDomainSpec, TrustDomainSpec, TrustSpec};

use super::error::ConfigError;
use super::report::Reporter;
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

    /// Joins every relative path to the folder, and reports every empty one: joined, it would name
    /// the folder itself.
    pub(super) fn resolve<F: FnMut(ConfigError)>(
        &self,
        tables: &mut File,
        report: &mut Reporter<F>,
    ) {
        for (setting, path) in paths(tables) {
            if path.is_empty() {
                report.mistake(setting, "is empty", EMPTY_FIX);
            } else {
                *path = self.join(path);
            }
        }
    }

    fn join(&self, path: &str) -> String {
        self.0.join(path).to_string_lossy().into_owned()
    }
}

/// Every path in the tables as the router opens it, with its setting. Empty ones are left out.
pub(super) fn named(file: &str, tables: &File) -> Vec<(String, String)> {
    let folder = Paths::beside(file);
    let mut tables = tables.clone();
    let given = paths(&mut tables).into_iter();
    let given = given.filter(|(_, path)| !path.is_empty());
    given
        .map(|(setting, path)| (setting, folder.join(path)))
        .collect()
}

const EMPTY_FIX: &str = "write a path, or remove the setting";

/// Every path in the tables, with its setting.
fn paths(tables: &mut File) -> Vec<(String, &mut String)> {
    let mut paths: Vec<(String, &mut String)> = Vec::new();
    for (i, listener) in tables.listener.iter_mut().enumerate() {
        if let Some(tls) = &mut listener.tls {
            paths.push((
                format!("listener[{i}].tls.certificate"),
                &mut tls.certificate,
            ));
            paths.push((format!("listener[{i}].tls.key"), &mut tls.key));
        }
    }
    for (i, issuer) in tables.issuer.iter_mut().enumerate() {
        let file = issuer.jwks_file.as_mut();
        paths.extend(file.map(|file| (format!("issuer[{i}].jwks_file"), file)));
    }
    if let Some(trust) = &mut tables.trust {
        trust_paths(trust, &mut paths);
    }
    if let Some(state) = &mut tables.state {
        paths.push(("state.directory".to_owned(), &mut state.directory));
    }
    if let Some(tls) = tables.admin.as_mut().and_then(|admin| admin.tls.as_mut()) {
        let files = [
            ("certificate", &mut tls.certificate),
            ("key", &mut tls.key),
            ("bundle", &mut tls.bundle),
        ];
        paths.extend(files.map(|(key, path)| (format!("admin.tls.{key}"), path)));
        let lists = tls.crl.iter_mut().enumerate();
        paths.extend(lists.map(|(i, list)| (format!("admin.tls.crl[{i}]"), list)));
    }
    if let Some(envelope) = &mut tables.envelope {
        paths.push(("envelope.keys".to_owned(), &mut envelope.keys));
    }
    let optional = [
        ("registry.file", &mut tables.registry.file),
        ("registry.token_file", &mut tables.registry.token_file),
        ("upstream.bundle", &mut tables.upstream.bundle),
        ("upstream.certificate", &mut tables.upstream.certificate),
        ("upstream.key", &mut tables.upstream.key),
        ("fetch.bundle", &mut tables.fetch.bundle),
        ("fetch.certificate", &mut tables.fetch.certificate),
        ("fetch.key", &mut tables.fetch.key),
        ("log.subject_key", &mut tables.log.subject_key),
    ];
    for (setting, path) in optional {
        paths.extend(path.as_mut().map(|path| (setting.to_owned(), path)));
    }
    paths
}

fn trust_paths<'a>(trust: &'a mut TrustSpec, paths: &mut Vec<(String, &'a mut String)>) {
    for (i, list) in trust.crl.iter_mut().enumerate() {
        paths.push((format!("trust.crl[{i}]"), list));
    }
    for (i, domain) in trust.trust_domains.iter_mut().enumerate() {
        if let TrustDomainSpec::Bound(BoundTrustDomainSpec {
            bundle: Some(path), ..
        }) = domain
        {
            paths.push((format!("trust.trust_domains[{i}].bundle"), path));
        }
    }
    let bundle = trust.bundle.as_mut();
    paths.extend(bundle.map(|path| ("trust.bundle".to_owned(), path)));
}
