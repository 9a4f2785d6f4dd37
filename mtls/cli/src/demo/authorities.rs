//! The demo's certificate authorities.

use std::net::Ipv4Addr;
use std::time::Duration;

use cellway_core::Unix;

use cellway_testbed::{Ca, CertificateSpec, Credential, Key, San, TestbedError, Usage, Validity};

/// How long the demo's certificates are valid.
const LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// The SPIFFE trust domain of the demo's clients.
pub(super) const TRUST_DOMAIN: &str = "clients.demo";

/// The authorities of the demo, one for each kind of trust.
pub(super) struct Authorities {
    /// For servers that clients and the router connect to: the router and the sources.
    pub(super) servers: Ca,
    /// For clients.
    pub(super) clients: Ca,
    /// For cells, and for the router as their client.
    pub(super) cells: Ca,
    validity: Validity,
}

impl Authorities {
    /// Creates the CAs, with keys that every TLS client accepts.
    pub(super) fn generate(now: Unix) -> Result<Self, TestbedError> {
        let validity = Validity::around(now, LIFETIME);
        let ca = |name, serial| Ca::new(name, &Key::generate_p256()?, validity, serial);
        Ok(Self {
            servers: ca("Cellway demo servers", 1)?,
            clients: ca("Cellway demo clients", 2)?,
            cells: ca("Cellway demo cells", 3)?,
            validity,
        })
    }

    /// The certificate of a server on loopback.
    pub(super) fn server(&self, name: &str, serial: u64) -> Result<Credential, TestbedError> {
        let sans = vec![
            San::Dns("localhost".to_owned()),
            San::Ip(Ipv4Addr::LOCALHOST.into()),
        ];
        self.issue(&self.servers, name, sans, Usage::Server, serial)
    }

    /// A client's certificate: a service of `tenant`.
    pub(super) fn client(&self, tenant: &str, serial: u64) -> Result<Credential, TestbedError> {
        let id = format!("spiffe://{TRUST_DOMAIN}/tenant/{tenant}/service/billing");
        let sans = vec![San::Uri(id)];
        self.issue(&self.clients, tenant, sans, Usage::Client, serial)
    }

    /// The certificate that the router presents to cells.
    pub(super) fn router(&self, serial: u64) -> Result<Credential, TestbedError> {
        let sans = vec![San::Uri("spiffe://cells.demo/router".to_owned())];
        self.issue(&self.cells, "router", sans, Usage::Client, serial)
    }

    /// The certificate of a cell.
    pub(super) fn cell(
        &self,
        id: &str,
        san: &str,
        serial: u64,
    ) -> Result<Credential, TestbedError> {
        let san = if san.contains("://") {
            San::Uri(san.to_owned())
        } else {
            San::Dns(san.to_owned())
        };
        self.issue(&self.cells, id, vec![san], Usage::Server, serial)
    }

    fn issue(
        &self,
        ca: &Ca,
        name: &str,
        sans: Vec<San>,
        usage: Usage,
        serial: u64,
    ) -> Result<Credential, TestbedError> {
        let spec = CertificateSpec {
            common_name: name.to_owned(),
            sans,
            usage,
            validity: self.validity,
            serial,
        };
        ca.issue(&spec, &Key::generate_p256()?)
    }
}
