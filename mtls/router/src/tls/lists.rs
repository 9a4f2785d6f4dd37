//! Revocation lists, and which of them are asked about a chain.
//!
//! webpki reads only the first list with an issuer's name. If several lists have the same name, the
//! chain is verified several times, each time with another list first, so a certificate on any of
//! them is revoked. Two CAs may have the same name while one replaces the other. Then their lists
//! have the same name too, and a chain is checked against the lists that its own issuer signed.

use cellway_core::Unix;
use cellway_core::cert::RevocationList;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateRevocationListDer, SubjectPublicKeyInfoDer};
use webpki::{
    CertRevocationList, Error, ExpirationPolicy, OwnedCertRevocationList, RawPublicKeyEntity,
    RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
    VerifiedPath, spki_for_anchor,
};

use crate::settings::RevocationSettings;

/// All revocation lists, and the rules for missing and stale lists.
#[derive(Debug)]
pub(super) struct Lists {
    lists: Vec<List>,
    status: UnknownStatusPolicy,
    expiration: ExpirationPolicy,
    /// When each list becomes stale, sorted.
    staling: Vec<Unix>,
    /// Whether two lists have the same issuer name.
    namesakes: bool,
}

#[derive(Debug)]
struct List {
    parsed: CertRevocationList<'static>,
    own: RevocationList,
}

/// The lists to ask, in order. webpki reads only the first one of each issuer.
pub(super) type Order<'a> = Vec<&'a CertRevocationList<'static>>;

impl Lists {
    pub(super) fn new(rules: &RevocationSettings) -> Self {
        let status = match rules.missing_allowed {
            true => UnknownStatusPolicy::Allow,
            false => UnknownStatusPolicy::Deny,
        };
        let expiration = match rules.stale_allowed {
            true => ExpirationPolicy::Ignore,
            false => ExpirationPolicy::Enforce,
        };
        Self {
            lists: Vec::new(),
            status,
            expiration,
            staling: Vec::new(),
            namesakes: false,
        }
    }

    /// Adds a list.
    ///
    /// # Errors
    /// What is wrong with it, as text.
    pub(super) fn add(
        &mut self,
        der: &CertificateRevocationListDer<'_>,
    ) -> Result<&RevocationList, String> {
        let parsed = OwnedCertRevocationList::from_der(der).map_err(|error| unusable(&error))?;
        let own = RevocationList::from_der(der)
            .map_err(|_| "is not a revocation list with a next update".to_owned())?;
        if self.expiration == ExpirationPolicy::Enforce {
            self.staling.push(own.next_update());
            self.staling.sort_unstable();
        }
        let parsed = CertRevocationList::from(parsed);
        let mut others = self.lists.iter();
        self.namesakes |= others.any(|other| other.parsed.issuer() == parsed.issuer());
        self.lists.push(List { parsed, own });
        let added = self.lists.last().ok_or("is lost")?;
        Ok(&added.own)
    }

    /// Whether a CA with this name has no list although each CA must have one.
    pub(super) fn lacks(&self, authority: &[u8]) -> bool {
        let mut lists = self.lists.iter();
        !self.lists.is_empty()
            && self.status == UnknownStatusPolicy::Deny
            && !lists.any(|list| list.parsed.issuer() == authority)
    }

    /// When the next list becomes stale after `now`.
    pub(super) fn next_staling(&self, now: Unix) -> Option<Unix> {
        self.staling.iter().copied().find(|staling| now < *staling)
    }

    /// All lists, if no two of them have the same issuer name. Then one verification is enough.
    pub(super) fn plain_order(&self) -> Option<Order<'_>> {
        (!self.namesakes).then(|| self.all())
    }

    fn all(&self) -> Order<'_> {
        self.lists.iter().map(|list| &list.parsed).collect()
    }

    /// The orders in which to ask the lists about a chain; at least one. The chain is good only if
    /// it verifies with each of them.
    pub(super) fn orders(
        &self,
        path: &VerifiedPath<'_>,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Vec<Order<'_>> {
        let (mut asked, mut others) = (Vec::new(), Vec::new());
        for (name, key) in issuers(path) {
            for list in &self.lists {
                if list.parsed.issuer() == name {
                    match is_signed(&list.own, &key, algorithms) {
                        true => asked.push(list),
                        false => others.push(list),
                    }
                }
            }
        }
        // If no list of a name is signed by the issuer, keep the others: webpki finds their bad
        // signatures and refuses the chain.
        let held: Vec<_> = asked.iter().map(|list| list.parsed.issuer()).collect();
        others.retain(|list| !held.contains(&list.parsed.issuer()));
        asked.extend(others);
        if asked.is_empty() {
            return vec![self.all()];
        }
        let fronts = asked.iter().enumerate();
        fronts
            .map(|(i, front)| {
                let rest = asked[..i].iter().chain(&asked[i + 1..]);
                let rest = rest.map(|other| &other.parsed);
                std::iter::once(&front.parsed).chain(rest).collect()
            })
            .collect()
    }

    /// The options for webpki.
    pub(super) fn options<'a>(&self, order: &'a Order<'a>) -> Option<RevocationOptions<'a>> {
        let builder = RevocationOptionsBuilder::new(order).ok()?;
        let builder = builder.with_depth(RevocationCheckDepth::Chain);
        let builder = builder.with_status_policy(self.status);
        Some(builder.with_expiration_policy(self.expiration).build())
    }
}

/// The issuers of a chain's certificates: their names and keys.
fn issuers(path: &VerifiedPath<'_>) -> Vec<(Vec<u8>, SubjectPublicKeyInfoDer<'static>)> {
    let mut names = vec![path.end_entity().issuer().to_vec()];
    let mut keys = Vec::new();
    for certificate in path.intermediate_certificates() {
        names.push(certificate.issuer().to_vec());
        keys.push(certificate.subject_public_key_info());
    }
    keys.push(spki_for_anchor(path.anchor()).into_owned());
    names.into_iter().zip(keys).collect()
}

fn is_signed(
    list: &RevocationList,
    key: &SubjectPublicKeyInfoDer<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let Ok(key) = RawPublicKeyEntity::try_from(key) else {
        return false;
    };
    let holds = |algorithm: &&dyn rustls::pki_types::SignatureVerificationAlgorithm| {
        let verified = key.verify_signature(*algorithm, list.signed(), list.signature());
        verified.is_ok()
    };
    algorithms.all.iter().any(holds)
}

/// Why a list can't be used, as text.
#[expect(clippy::wildcard_enum_match_arm, reason = "webpki's errors")]
fn unusable(error: &Error) -> String {
    match error {
        Error::UnsupportedDeltaCrl => {
            "is a delta list, which has only the changes since another list: name the complete list"
        }
        Error::UnsupportedIndirectCrl => {
            "is an indirect list, which revokes certificates of other issuers than its own: name \
             each issuer's own list"
        }
        Error::UnsupportedRevocationReasonsPartitioning => {
            "covers only some revocation reasons: name a list that covers all"
        }
        other => return format!("is not a usable revocation list: {other}"),
    }
    .to_owned()
}
