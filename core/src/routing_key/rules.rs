//! The gateways and signers whose routing keys are accepted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::cert::PeerCertificate;
use crate::keys::Key;
use crate::text::Text;

use super::RoutingKeySender;

/// Who may name the tenant of a request in a header, and how long a signature is valid.
#[derive(Clone, Debug, Default)]
pub struct RoutingKeyRules {
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) signers: Vec<Arc<Signer>>,
    pub(crate) max_age_secs: u64,
    pub(crate) skew_secs: u64,
}

/// A gateway whose routing keys are accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Gateway {
    pub(crate) san: GatewaySan,
    /// The trust domain, if the SAN is a SPIFFE ID.
    pub(crate) trust_domain: Option<Text>,
    pub(crate) speaks: SpeaksFor,
}

/// The SAN that a gateway's certificate must have. It is only compared with SANs of the same kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum GatewaySan {
    /// A URI, byte for byte.
    Uri(Text),
    /// A DNS name in lower case, without a wildcard.
    Dns(Text),
}

/// A key whose signatures are accepted.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) kid: Text,
    pub(crate) key: Key,
    pub(crate) speaks: SpeaksFor,
}

/// The tenants that a gateway or a signer may speak for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SpeaksFor {
    Any,
    Listed(BTreeSet<Text>),
}

impl SpeaksFor {
    fn speaks_for(&self, tenant: &Text) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tenants) => tenants.contains(tenant),
        }
    }
}

impl GatewaySan {
    pub(crate) fn text(&self) -> &Text {
        match self {
            Self::Uri(san) | Self::Dns(san) => san,
        }
    }
}

impl RoutingKeyRules {
    /// How many gateways are listed.
    pub fn gateways(&self) -> usize {
        self.gateways.len()
    }

    /// How old a signature may be, and how far its time may be in the future.
    pub fn times(&self) -> [Duration; 2] {
        [self.max_age_secs, self.skew_secs].map(Duration::from_secs)
    }

    /// How many keys may sign.
    pub fn signers(&self) -> usize {
        self.signers.len()
    }

    /// The listed gateway that this certificate is. If a gateway is listed by a URI, or a template
    /// matches URIs (`by_uri`), only the URI SAN of a certificate with one is used, and a
    /// certificate with two isn't an SVID. This is the same rule as for templates.
    pub(crate) fn gateway(&self, peer: &PeerCertificate, by_uri: bool) -> Option<&Gateway> {
        let uri = |gateway: &&Gateway| matches!(gateway.san, GatewaySan::Uri(_));
        let by_uri = by_uri || self.gateways.iter().any(|gateway| uri(&gateway));
        match peer.uris() {
            [] => self.by_dns(peer),
            _ if !by_uri => self.by_dns(peer),
            [san] => self
                .gateways
                .iter()
                .find(|gateway| uri(gateway) && *gateway.san.text() == **san),
            _ => None,
        }
    }

    fn by_dns(&self, peer: &PeerCertificate) -> Option<&Gateway> {
        let carries = |name: &Text| {
            let mut names = peer.dns_names().iter();
            names.any(|san| san.eq_ignore_ascii_case(name.as_str()))
        };
        self.gateways.iter().find(|gateway| match &gateway.san {
            GatewaySan::Uri(_) => false,
            GatewaySan::Dns(name) => carries(name),
        })
    }

    pub(crate) fn signer(&self, kid: &str) -> Option<&Signer> {
        let named = |signer: &&Arc<Signer>| signer.kid.as_str() == kid;
        self.signers.iter().find(named).map(|signer| &**signer)
    }

    /// Whether the sender of a key may speak for its tenant. A sender that isn't listed may not.
    pub(crate) fn may_speak(&self, voucher: &RoutingKeySender, tenant: &Text) -> bool {
        let speaks = match voucher {
            RoutingKeySender::Gateway(san) => self
                .gateways
                .iter()
                .find(|gateway| gateway.san.text() == san)
                .map(|gateway| &gateway.speaks),
            RoutingKeySender::Signer(kid) => self.signer(kid.as_str()).map(|signer| &signer.speaks),
        };
        speaks.is_some_and(|speaks| speaks.speaks_for(tenant))
    }
}
