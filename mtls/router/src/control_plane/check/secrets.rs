//! Warnings about secrets that other users of the machine can read or write.
//!
//! The router reads them anyway, as Envoy and HAProxy do: a volume of Kubernetes has mode 0644 unless
//! somebody sets another one, and a router that can't start protects no key. What only Cellway's own
//! commands write, such as envelope keys, is refused with such a mode.

use std::collections::BTreeSet;

use cellway_env::{Env, Exposure, Store};

use crate::finding::Findings;
use crate::settings::{Pem, RegistryLocation, RouterSettings};

/// Looks at the mode of each private key and token.
pub(super) async fn exposed<E: Env>(env: &E, settings: &RouterSettings, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (setting, path) in secrets(settings) {
        // A file that can't be used may be another one than it should, such as the certificate.
        if !seen.insert(path) || findings.refuse(&setting) {
            continue;
        }
        // If it can't be read, that error is already reported.
        let Ok(exposure) = env.store().exposure(path).await else {
            continue;
        };
        if let Some(by) = by_whom(exposure) {
            let mode = exposure.mode;
            let problem = format!("{path} can be {by} (mode {mode:04o})");
            let fix = format!(
                "run `chmod 600 {path}`, or 640 if its group is the router's; for a Secret of \
                 Kubernetes, set defaultMode: 0400"
            );
            findings.warning(setting, problem, fix);
        }
    }
}

fn by_whom(exposure: Exposure) -> Option<&'static str> {
    match (exposure.read_by_all, exposure.written_by_others) {
        (true, true) => Some("read and written by other users"),
        (true, false) => Some("read by every user of this machine"),
        (false, true) => Some("written by other users"),
        (false, false) => None,
    }
}

/// The files with secrets, with their settings. Envelope keys and the key of subjects aren't here: the
/// router refuses those.
fn secrets(settings: &RouterSettings) -> Vec<(String, &str)> {
    let mut keys = Vec::new();
    for (i, listener) in settings.listeners.iter().enumerate() {
        if let Some(tls) = &listener.tls {
            keys.push((format!("listener[{i}].tls.key"), &tls.identity));
        }
    }
    let admin = settings.admin_tls.as_ref().map(|tls| &tls.identity);
    let clients = [
        ("admin.tls.key", admin),
        ("upstream.key", settings.upstream.identity.as_ref()),
        ("fetch.key", settings.sources.fetch.identity.as_ref()),
    ];
    for (setting, pair) in clients {
        keys.extend(pair.map(|pair| (setting.to_owned(), pair)));
    }
    let mut secrets: Vec<_> = keys
        .into_iter()
        .filter_map(|(setting, pair)| match &pair.key {
            Pem::File(path) => Some((setting, path.as_str())),
            Pem::Text(_) => None,
        })
        .collect();
    if let RegistryLocation::Http {
        token_file: Some(path),
        ..
    } = &settings.sources.registry.location
    {
        secrets.push(("registry.token_file".to_owned(), path));
    }
    secrets
}
