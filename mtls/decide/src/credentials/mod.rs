//! The credentials of callers, made from what the file of cases says.

mod claims;
mod fields;
mod jws;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;

use cellway_core::Unix;
use cellway_core::policy::Policy;
use cellway_core::routing_key::Signed;
use cellway_router::config::Tables;
use cellway_testbed::{Algorithm, Signer};
use http::{HeaderMap, HeaderValue, header};

pub(crate) use self::fields::{fields, text};
use self::tokens::Tokens;
use crate::cases::{CallerTable, Cases, RoutingKeyTable, meant};
use crate::error::DecideError;
use crate::made::{Authorities, Issued, Keys, Owner, STRANGER};

/// A caller with credentials.
pub(crate) struct Caller {
    /// What each of its requests has.
    pub(crate) headers: HeaderMap,
    /// The certificate that it shows if it is asked.
    pub(crate) certificate: Option<Issued>,
    /// The routing key that it sends. Its signature is over each request.
    pub(crate) routing_key: Option<RoutingKey>,
}

/// A routing key, and who signs it.
pub(crate) struct RoutingKey {
    key: String,
    value: HeaderValue,
    signer: Option<(String, Arc<Signer>)>,
    time: u64,
}

/// Makes credentials. Mistakes of the file go to `mistakes`.
pub(crate) struct Maker<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) now: Unix,
    pub(crate) keys: &'a mut Keys,
    pub(crate) authorities: &'a mut Authorities,
    pub(crate) mistakes: &'a mut Tables,
    /// Whether any client certificate is trusted, and whether there are revocation lists.
    pub(crate) trusts: bool,
    pub(crate) has_lists: bool,
}

impl Maker<'_> {
    /// Makes the credentials of all callers, in their order.
    pub(crate) fn callers(&mut self, cases: &Cases) -> Result<Vec<Caller>, DecideError> {
        let mut certificates = Vec::new();
        for (at, caller) in cases.caller.iter().enumerate() {
            certificates.push(self.certificate(at, caller)?);
        }
        let thumbprints: BTreeMap<_, _> = cases
            .caller
            .iter()
            .zip(&certificates)
            .filter_map(|(caller, issued)| Some((&*caller.name, &*issued.as_ref()?.thumbprint)))
            .collect();
        let mut made = Vec::new();
        for (at, caller) in cases.caller.iter().enumerate() {
            let setting = format!("caller[{at}]");
            let headers = self.headers(&setting, caller, &thumbprints)?;
            let key = caller.routing_key.as_ref();
            let key = key.map(|key| self.routing_key(&format!("{setting}.routing_key"), key));
            made.push((headers, key.transpose()?.flatten()));
        }
        let callers = made.into_iter().zip(certificates);
        Ok(callers
            .map(|((headers, routing_key), certificate)| Caller {
                headers,
                certificate,
                routing_key,
            })
            .collect())
    }

    fn certificate(
        &mut self,
        at: usize,
        caller: &CallerTable,
    ) -> Result<Option<Issued>, DecideError> {
        let Some(table) = &caller.certificate else {
            return Ok(None);
        };
        let setting = format!("caller[{at}].certificate");
        if !self.trusts {
            let fix = "set trust.bundle in the configuration, or leave the certificate out";
            let problem = "the configuration trusts no client certificates";
            self.mistakes.mistake(&setting, problem, fix);
            return Ok(None);
        }
        if table.revoked && !self.has_lists {
            let fix = "set trust.crl in the configuration, or leave this out";
            let problem = "the configuration has no revocation lists";
            let setting = format!("{setting}.revoked");
            self.mistakes.mistake(&setting, problem, fix);
        }
        if let Some(name) = &table.signed_by
            && !self.authorities.names().any(|known| known == name)
        {
            let problem = format!("no trust domain with its own bundle has the name {name:?}");
            let fix = meant(name, self.authorities.names());
            let setting = format!("{setting}.signed_by");
            self.mistakes.mistake(&setting, problem, fix);
        }
        match self.authorities.issue(at, &caller.name, table) {
            Ok(issued) => Ok(Some(issued)),
            Err(error) => {
                let setting = format!("{setting}.sans");
                let fix = "write URIs, DNS names or IP addresses in ASCII";
                self.mistakes.mistake(&setting, error.to_string(), fix);
                Ok(None)
            }
        }
    }

    fn headers(
        &mut self,
        setting: &str,
        caller: &CallerTable,
        thumbprints: &BTreeMap<&str, &str>,
    ) -> Result<HeaderMap, DecideError> {
        let mut headers = HeaderMap::new();
        let mut tokens = Tokens {
            policy: self.policy,
            now: self.now,
            keys: self.keys,
            mistakes: self.mistakes,
            thumbprints,
        };
        let mut bearer = None;
        if let Some(table) = &caller.token {
            bearer = tokens.bearer(&format!("{setting}.token"), table)?;
        }
        if let Some(table) = &caller.cba {
            let of = (bearer.as_ref(), caller.certificate.as_ref());
            let authorization = tokens.cell_bound(&format!("{setting}.cba"), table, of)?;
            let name = header::HeaderName::from_static("cell-bound-authorization");
            headers.extend(ascii(&authorization).map(|value| (name, value)));
        }
        if let Some(bearer) = bearer {
            let value = ascii(&format!("Bearer {}", bearer.text));
            headers.extend(value.map(|value| (header::AUTHORIZATION, value)));
        }
        let setting = format!("{setting}.headers");
        for (name, value) in fields(&setting, &caller.headers, self.mistakes) {
            headers.append(name, value);
        }
        Ok(headers)
    }

    fn routing_key(
        &mut self,
        setting: &str,
        table: &RoutingKeyTable,
    ) -> Result<Option<RoutingKey>, DecideError> {
        let Some(value) = text(&format!("{setting}.key"), &table.key, self.mistakes) else {
            return Ok(None);
        };
        let mut signer = None;
        if let Some(kid) = &table.signer {
            let known = || {
                let signers = self.policy.specs().routing_key.signer.iter();
                signers.map(|signer| signer.kid.as_str())
            };
            let is_strange = table.signed_by.as_deref() == Some(STRANGER);
            let owner = match is_strange {
                true => Owner::Stranger,
                false => Owner::Signer(kid.clone()),
            };
            if !is_strange && !known().any(|name| name == kid) {
                let problem = format!("no [[routing_key.signer]] has the kid {kid:?}");
                let fix = meant(kid, known());
                self.mistakes
                    .mistake(&format!("{setting}.signer"), problem, fix);
            }
            signer = Some((kid.clone(), self.keys.of(&owner, Algorithm::EdDsa)?));
        }
        self.stranger(setting, table.signed_by.as_deref());
        Ok(Some(RoutingKey {
            key: table.key.clone(),
            value,
            signer,
            time: table.signed.from(self.now).as_secs(),
        }))
    }

    /// Notes another word than `stranger`.
    fn stranger(&mut self, setting: &str, signed_by: Option<&str>) {
        if let Some(word) = signed_by.filter(|word| *word != STRANGER) {
            let setting = format!("{setting}.signed_by");
            let problem = format!("{word:?} is no key");
            self.mistakes
                .mistake(&setting, problem, "write \"stranger\", or leave it out");
        }
    }
}

impl RoutingKey {
    /// Adds the key, and its signature over the request.
    pub(crate) fn add_to(
        &self,
        policy: &Policy,
        request: &mut http::request::Parts,
        authority: &str,
    ) -> Result<(), DecideError> {
        let rules = &policy.headers;
        let headers = &mut request.headers;
        headers.append(rules.routing_key(), self.value.clone());
        if let Some((kid, signer)) = &self.signer {
            let path = request.uri.path_and_query();
            let signature = signer.sign_routing_key(&Signed {
                kid,
                time: self.time,
                method: &request.method,
                authority,
                path: path.map_or("/", |path| path.as_str()),
                key: &self.key,
            })?;
            let value = ascii(&signature);
            headers.extend(value.map(|value| (rules.routing_key_signature().clone(), value)));
        }
        Ok(())
    }
}

/// The value of a field that has only base64 and a few words.
fn ascii(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}
