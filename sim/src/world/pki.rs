//! The certificate authorities of a world, and which of them are trusted.

use std::collections::BTreeMap;
use std::time::Duration;

use cellway_core::Unix;
use cellway_testbed::{
    Ca, CertificateSpec, Credential, Key, San, TestbedError, Usage, Validity, bundle_pem,
};
use rustls::RootCertStore;

use crate::engine::EPOCH;
use crate::random::Random;
use crate::scenario::Authority;

/// How long certificates are valid, unless a scenario says otherwise.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The SPIFFE trust domain of clients.
pub(super) const CLIENTS_DOMAIN: &str = "clients.test";

/// All authorities.
pub(super) struct Pki {
    random: Random,
    serial: u64,
    validity: Validity,
    lineages: BTreeMap<Authority, Lineage>,
    /// Grows with every change, so that clients notice it.
    generation: u64,
}

/// An authority and its successors.
struct Lineage {
    all: Vec<Ca>,
    issuing: usize,
    /// The first one that is still trusted. All later ones are trusted too.
    trusted_from: usize,
}

impl Pki {
    pub(super) fn new(seed: u64) -> Result<Self, TestbedError> {
        let mut pki = Self {
            random: Random::new(seed, "world", 0, "pki"),
            serial: 0,
            validity: Validity::around(Unix::from_epoch(EPOCH), LIFETIME),
            lineages: BTreeMap::new(),
            generation: 0,
        };
        for authority in Authority::ALL {
            let lineage = Lineage {
                all: vec![pki.root(authority, 1)?],
                issuing: 0,
                trusted_from: 0,
            };
            pki.lineages.insert(authority, lineage);
        }
        Ok(pki)
    }

    /// Makes a successor, which is trusted but issues nothing yet.
    pub(super) fn trust_next(&mut self, authority: Authority) -> Result<(), TestbedError> {
        let ordinal = self.lineage(authority).all.len() + 1;
        let root = self.root(authority, ordinal)?;
        self.lineage(authority).all.push(root);
        self.generation += 1;
        Ok(())
    }

    /// Lets the newest authority issue from now on.
    pub(super) fn issue_from_next(&mut self, authority: Authority) {
        let lineage = self.lineage(authority);
        lineage.issuing = lineage.all.len() - 1;
        self.generation += 1;
    }

    /// Ends the trust in all authorities except the newest.
    pub(super) fn drop_old(&mut self, authority: Authority) {
        let lineage = self.lineage(authority);
        lineage.trusted_from = lineage.all.len() - 1;
        self.generation += 1;
    }

    /// The authority that issues now, and the first that is trusted. Both count from 0.
    pub(super) fn place(&self, authority: Authority) -> [usize; 2] {
        let lineage = self.lineages.get(&authority);
        lineage.map_or([0; 2], |lineage| [lineage.issuing, lineage.trusted_from])
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The trusted CAs, in PEM.
    pub(super) fn bundle(&self, authority: Authority) -> String {
        bundle_pem(&self.trusted(authority))
    }

    /// The trusted CAs, for rustls.
    pub(super) fn roots(&self, authority: Authority) -> Result<RootCertStore, TestbedError> {
        Ca::roots(&self.trusted(authority))
    }

    /// The serving certificate of a host with this name. It is valid for `validity`, or as long as
    /// all others.
    pub(super) fn server(
        &mut self,
        host: &str,
        validity: Option<Validity>,
    ) -> Result<Credential, TestbedError> {
        let san = San::Dns(host.to_owned());
        let validity = validity.unwrap_or(self.validity);
        self.issue(Authority::Servers, host, san, Usage::Server, validity)
    }

    /// The certificate of a client, with this path in its SAN. It is valid for `validity`, or as long as
    /// all others.
    pub(super) fn client(
        &mut self,
        client: &str,
        path: &str,
        validity: Option<Validity>,
    ) -> Result<Credential, TestbedError> {
        let id = client_san(path);
        let validity = validity.unwrap_or(self.validity);
        let authority = Authority::Clients;
        self.issue(authority, client, San::Uri(id), Usage::Client, validity)
    }

    /// The serving certificate of a cell. It is valid for `validity`, or as long as all others.
    pub(super) fn cell(
        &mut self,
        cell: &str,
        validity: Option<Validity>,
    ) -> Result<Credential, TestbedError> {
        let id = San::Uri(cell_san(cell));
        let validity = validity.unwrap_or(self.validity);
        self.issue(Authority::Cells, cell, id, Usage::Server, validity)
    }

    /// The certificate that an Envoy shows to its router.
    pub(super) fn envoy(&mut self, envoy: &str) -> Result<Credential, TestbedError> {
        let id = San::Uri(envoy_san(envoy));
        self.issue(Authority::Clients, envoy, id, Usage::Client, self.validity)
    }

    /// The certificate that a router shows to cells.
    pub(super) fn router(&mut self, router: &str) -> Result<Credential, TestbedError> {
        let id = San::Uri(format!("spiffe://cells.test/router/{router}"));
        self.issue(Authority::Cells, router, id, Usage::Client, self.validity)
    }

    fn issue(
        &mut self,
        authority: Authority,
        name: &str,
        san: San,
        usage: Usage,
        validity: Validity,
    ) -> Result<Credential, TestbedError> {
        let key = self.key();
        self.serial += 1;
        let spec = CertificateSpec {
            common_name: name.to_owned(),
            sans: vec![san],
            usage,
            validity,
            serial: self.serial,
        };
        let lineage = self.lineage(authority);
        lineage.all[lineage.issuing].issue(&spec, &key)
    }

    fn root(&mut self, authority: Authority, ordinal: usize) -> Result<Ca, TestbedError> {
        let key = self.key();
        self.serial += 1;
        let name = format!("{} {ordinal}", authority.as_str());
        Ca::new(&name, &key, self.validity, self.serial)
    }

    fn key(&mut self) -> Key {
        let mut seed = [0; 32];
        self.random.fill(&mut seed);
        Key::from_seed(seed)
    }

    fn trusted(&self, authority: Authority) -> Vec<&Ca> {
        let lineage = self.lineages.get(&authority);
        lineage
            .map(|lineage| lineage.all[lineage.trusted_from..].iter().collect())
            .unwrap_or_default()
    }

    fn lineage(&mut self, authority: Authority) -> &mut Lineage {
        self.lineages
            .get_mut(&authority)
            .expect("`new` makes a lineage for each authority")
    }
}

/// The SAN of a client's certificate with this path in it.
pub(super) fn client_san(path: &str) -> String {
    format!("spiffe://{CLIENTS_DOMAIN}/{path}")
}

/// The SAN of an Envoy's certificate.
pub(super) fn envoy_san(envoy: &str) -> String {
    format!("spiffe://{CLIENTS_DOMAIN}/envoy/{envoy}")
}

/// The SAN of a cell's certificate.
pub(super) fn cell_san(cell: &str) -> String {
    format!("spiffe://cells.test/cell/{cell}")
}
