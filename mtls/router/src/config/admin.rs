//! Checks `[admin]` and `[health]`: the listeners of the router's own pages.

use std::net::SocketAddr;

use super::error::ConfigError;
use super::listeners::addresses_differ;
use super::report::{Reporter, key_pair};
use super::schema::{AdminTlsTable, File};
use crate::settings::{AdminTls, Pem, RevocationSettings};

/// Checks the addresses of the router's own pages. Returns the health listener's address.
pub(super) fn own_addresses<F: FnMut(ConfigError)>(
    tables: &File,
    report: &mut Reporter<F>,
) -> Option<SocketAddr> {
    addresses_differ(tables, report);
    if let Some(admin) = &tables.admin
        && admin.tls.is_none()
        && !admin.bind.ip().is_loopback()
    {
        report.mistake(
            "admin.bind",
            "is not a loopback address, and without [admin.tls] this listener authenticates nobody",
            "use 127.0.0.1 or [::1], or add [admin.tls] for operators with a certificate",
        );
    }
    tables.health.as_ref().map(|health| health.bind)
}

/// Checks `[admin.tls]`.
pub(super) fn admin_tls<F: FnMut(ConfigError)>(
    tables: &File,
    report: &mut Reporter<F>,
) -> Option<AdminTls> {
    let table: &AdminTlsTable = tables.admin.as_ref()?.tls.as_ref()?;
    if table.clients.is_empty() || table.clients.iter().any(|name| name.is_empty()) {
        report.mistake(
            "admin.tls.clients",
            "is empty or has an empty name",
            "list the SANs of the operators' certificates, such as \"spiffe://corp.example/ops\"",
        );
    }
    Some(AdminTls {
        identity: key_pair(&table.certificate, &table.key),
        bundle: Pem::File(table.bundle.clone()),
        revocation: RevocationSettings {
            lists: table.crl.iter().cloned().map(Pem::File).collect(),
            ..RevocationSettings::default()
        },
        clients: table.clients.clone(),
    })
}
