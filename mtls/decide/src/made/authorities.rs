//! Certificate authorities in place of the configured ones.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use cellway_core::Unix;
use cellway_router::settings::{DomainBundle, Pem, RouterSettings};
use cellway_testbed::{Ca, CertificateSpec, Credential, Key, San, TestbedError, Usage, Validity};

use super::{STRANGER, seed};
use crate::cases::{CertificateTable, UsageWord};

/// How long an authority is valid, before and after now.
const LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);

/// The serial number of the first caller's certificate.
const SERIAL_FIRST: u64 = 100;

/// An authority for each bundle, and one that nobody trusts.
pub(crate) struct Authorities {
    now: Unix,
    /// `None`: the configuration has no `trust.bundle`.
    common: Option<Authority>,
    /// Those of trust domains with bundles of their own.
    domains: BTreeMap<String, Authority>,
    stranger: Authority,
}

struct Authority {
    ca: Ca,
    revoked: Vec<u64>,
}

/// A caller's certificate.
pub(crate) struct Issued {
    pub(crate) credential: Credential,
    /// Its SHA-256, in base64url: `x5t#S256`.
    pub(crate) thumbprint: String,
}

impl Authority {
    fn new(name: &str, now: Unix) -> Result<Self, TestbedError> {
        let from = now.since_epoch().saturating_sub(LIFETIME);
        let validity = Validity {
            from: Unix::from_epoch(from),
            until: now.after(LIFETIME),
        };
        let key = Key::from_seed(seed(&format!("authority {name}")));
        Ok(Self {
            ca: Ca::new(name, &key, validity, 1)?,
            revoked: Vec::new(),
        })
    }
}

impl Authorities {
    /// Makes an authority for each bundle of the settings.
    pub(crate) fn new(settings: &RouterSettings, now: Unix) -> Result<Self, TestbedError> {
        let common = settings.trust_bundle.as_ref();
        let domain = |bundle: &DomainBundle| {
            let name = &bundle.trust_domain;
            Ok((name.clone(), Authority::new(name, now)?))
        };
        Ok(Self {
            now,
            common: common
                .map(|_| Authority::new("trust.bundle", now))
                .transpose()?,
            domains: settings
                .domain_bundles
                .iter()
                .map(domain)
                .collect::<Result<_, TestbedError>>()?,
            stranger: Authority::new(STRANGER, now)?,
        })
    }

    /// The names that `signed_by` may have.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let domains = self.domains.keys().map(String::as_str);
        domains.chain([STRANGER])
    }

    /// Issues the certificate of the caller with this name, the `at`th.
    pub(crate) fn issue(
        &mut self,
        at: usize,
        name: &str,
        table: &CertificateTable,
    ) -> Result<Issued, TestbedError> {
        let serial = SERIAL_FIRST + at as u64;
        let spec = CertificateSpec {
            common_name: name.to_owned(),
            sans: table.sans.iter().map(|san| named(san)).collect(),
            usage: match table.usage {
                UsageWord::Client => Usage::Client,
                UsageWord::Server => Usage::Server,
                UsageWord::Both => Usage::Both,
            },
            validity: Validity {
                from: table.starts.from(self.now),
                until: table.expires.from(self.now),
            },
            serial,
        };
        let authority = self.signing(table);
        let key = Key::from_seed(seed(&format!("certificate of {name}")));
        let credential = authority.ca.issue(&spec, &key)?;
        if table.revoked {
            authority.revoked.push(serial);
        }
        let thumbprint = thumbprint(&credential);
        Ok(Issued {
            credential,
            thumbprint,
        })
    }

    /// The authority that signs: the one that is named, or else the one that is trusted for the SANs.
    fn signing(&mut self, table: &CertificateTable) -> &mut Authority {
        let domain = match &table.signed_by {
            Some(name) => Some(name.as_str()),
            None => table.sans.iter().find_map(|san| trust_domain(san)),
        };
        let own = domain.and_then(|name| self.domains.get_mut(name));
        let stranger = &mut self.stranger;
        match (own, &table.signed_by) {
            (Some(own), _) => own,
            (None, Some(_)) => stranger,
            (None, None) => self.common.as_mut().unwrap_or(stranger),
        }
    }

    /// Puts these authorities in place of the configured bundles, and lists of what they have revoked in
    /// place of the configured lists.
    pub(crate) fn install(&self, settings: &mut RouterSettings) -> Result<(), TestbedError> {
        let pem = |authority: &Authority| Pem::from(authority.ca.pem());
        settings.trust_bundle = self.common.as_ref().map(pem);
        for bundle in &mut settings.domain_bundles {
            if let Some(own) = self.domains.get(&bundle.trust_domain) {
                bundle.bundle = pem(own);
            }
        }
        if !settings.revocation.lists.is_empty() {
            let validity = Validity::around(self.now, LIFETIME);
            let all = self.common.iter().chain(self.domains.values());
            let list = |authority: &Authority| {
                let list = authority.ca.revoke(&authority.revoked, validity)?;
                Ok(Pem::from(list))
            };
            settings.revocation.lists = all.map(list).collect::<Result<_, TestbedError>>()?;
        }
        Ok(())
    }
}

/// A SAN of the kind that its text has.
fn named(san: &str) -> San {
    if san.contains("://") {
        return San::Uri(san.to_owned());
    }
    match san.parse() {
        Ok(address) => San::Ip(address),
        Err(_) => San::Dns(san.to_owned()),
    }
}

/// The trust domain of a SPIFFE ID.
fn trust_domain(san: &str) -> Option<&str> {
    san.strip_prefix("spiffe://")?.split('/').next()
}

fn thumbprint(credential: &Credential) -> String {
    let leaf = credential.chain.first().map(|leaf| digest(&SHA256, leaf));
    leaf.map(|leaf| BASE64.encode(leaf)).unwrap_or_default()
}
