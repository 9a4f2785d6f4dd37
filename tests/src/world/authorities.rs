//! Who issues certificates: one authority for servers and sources, one for clients, one for cells.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use cellway_testbed::{Ca, CertificateSpec, Credential, Key, San, TlsProvider, Usage, Validity};
use rustls::ServerConfig;

use super::{Folder, HOUR, now};

/// The name of the cell `a`.
pub const CELL_SAN: &str = "spiffe://cells.test/cell/a";
/// The name by which a client is `acme`.
pub const TENANT_SAN: &str = "spiffe://clients.test/tenant/acme";

/// The authorities of a world.
pub struct Authorities {
    /// For the router's listener, the identity provider and the control plane.
    pub servers: Ca,
    /// For clients.
    pub clients: Ca,
    /// For cells, and for the router as their client.
    pub cells: Ca,
}

impl Authorities {
    /// The seed of the clients' authority's key.
    pub const CLIENTS_SEED: u8 = 2;

    pub(super) fn new() -> Self {
        Self {
            servers: Self::other("servers", 1),
            clients: Self::other("clients", Self::CLIENTS_SEED),
            cells: Self::other("cells", 3),
        }
    }

    /// One more authority. Another `seed` is another key.
    pub fn other(name: &str, seed: u8) -> Ca {
        let validity = Validity::around(now(), HOUR);
        Ca::new(name, &Self::key(seed), validity, 1).expect("a name and a key")
    }

    /// The key of the authority with this seed.
    pub fn key(seed: u8) -> Key {
        Key::from_seed([seed; 32])
    }

    /// What a client shows that is `acme`.
    pub fn acme(&self) -> Credential {
        certificate(&self.clients, vec![San::Uri(TENANT_SAN.to_owned())])
    }

    pub(super) fn source(&self) -> Arc<ServerConfig> {
        let config = provider().server(&certificate(&self.servers, loopback()), None);
        config.expect("a good certificate")
    }

    pub(super) fn cell(&self) -> Arc<ServerConfig> {
        let names = vec![San::Uri(CELL_SAN.to_owned())];
        let routers = Ca::roots(&[&self.cells]).expect("a good root");
        let config = provider().server(&certificate(&self.cells, names), Some(routers));
        config.expect("a good certificate")
    }

    /// Writes what the configuration names.
    pub(super) fn write(&self, folder: &Folder) {
        folder.write("servers.pem", self.servers.pem());
        folder.write("clients.pem", self.clients.pem());
        folder.write("cells.pem", self.cells.pem());
        folder.write_credential("server", &certificate(&self.servers, loopback()));
        let router = vec![San::Uri("spiffe://cells.test/router".to_owned())];
        folder.write_credential("router", &certificate(&self.cells, router));
    }
}

/// The name by which everything here is reached.
pub fn loopback() -> Vec<San> {
    vec![San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST))]
}

/// A certificate for clients and servers that holds at present.
pub fn certificate(ca: &Ca, sans: Vec<San>) -> Credential {
    let spec = CertificateSpec {
        common_name: "leaf".to_owned(),
        sans,
        usage: Usage::Both,
        validity: Validity::around(now(), HOUR),
        serial: 2,
    };
    let key = Key::from_seed([99; 32]);
    ca.issue(&spec, &key).expect("the names are good")
}

/// The cryptography and the clock of all TLS here.
pub fn provider() -> TlsProvider {
    TlsProvider::default()
}
