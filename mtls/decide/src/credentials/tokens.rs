//! Bearer tokens and cell-bound authorizations.

use std::collections::BTreeMap;

use cellway_core::policy::{Issuer, Policy};
use cellway_core::{Text, Unix};
use cellway_router::config::Tables;
use serde_json::{Map, Value, json};

use super::claims::{change, get, usual};
use super::jws::Signing;
use crate::cases::{CbaTable, CertificateTable, TokenTable, meant};
use crate::error::DecideError;
use crate::made::{Keys, Owner, STRANGER};

/// How long an authorization is valid.
const CBA_LIFETIME_SECS: u64 = 30;

/// Makes tokens.
pub(super) struct Tokens<'a> {
    pub(super) policy: &'a Policy,
    pub(super) now: Unix,
    pub(super) keys: &'a mut Keys,
    pub(super) mistakes: &'a mut Tables,
    /// By callers' names.
    pub(super) thumbprints: &'a BTreeMap<&'a str, &'a str>,
}

/// A bearer token, and what it says of its caller.
pub(super) struct Bearer {
    pub(super) text: String,
    tenant: Option<String>,
    subject: Option<String>,
}

impl<'a> Tokens<'a> {
    /// `None` if the file doesn't say which issuer's token it is.
    pub(super) fn bearer(
        &mut self,
        setting: &str,
        table: &TokenTable,
    ) -> Result<Option<Bearer>, DecideError> {
        let Some(issuer) = self.issuer(setting, table.issuer.as_deref()) else {
            return Ok(None);
        };
        let mut claims = usual(issuer, self.now);
        if let Some(name) = &table.bound_to {
            self.bind(setting, name, &mut claims);
        }
        let said = (&table.claims, &*table.without);
        change(&mut claims, setting, said, self.now, self.mistakes);
        let tenant = get(&claims, &issuer.claims.tenant).map(str::to_owned);
        let subject = get(&claims, &issuer.claims.subject).map(str::to_owned);
        let owner = Owner::Issuer(issuer.name.to_string());
        let signing = Signing {
            setting,
            algorithm: table.algorithm.as_deref(),
            typ: table.typ.as_deref(),
            kid: table.kid.as_deref(),
            allowed: &issuer.algorithms,
            owner: &owner,
            by: &self.by(setting, table.signed_by.as_deref(), &owner),
        };
        // Some issuers accept access tokens only.
        let types = issuer.types.first();
        let typ = types.map_or("JWT", |typ| match &**typ {
            "jwt" => "JWT",
            other => other,
        });
        let text = signing.sign(claims, typ, self.keys, self.mistakes)?;
        Ok(Some(Bearer {
            text,
            tenant,
            subject,
        }))
    }

    /// The issuer of this name, or the only one.
    fn issuer(&mut self, setting: &str, name: Option<&str>) -> Option<&'a Issuer> {
        let policy: &'a Policy = self.policy;
        let issuers = &policy.issuers;
        let names = || issuers.iter().map(|issuer| issuer.name.as_str());
        match name {
            Some(name) => {
                let found = issuers.iter().find(|issuer| issuer.name.as_str() == name);
                if found.is_none() {
                    let problem = format!("no [[issuer]] has the name {name:?}");
                    self.mistakes.mistake(
                        &format!("{setting}.issuer"),
                        problem,
                        meant(name, names()),
                    );
                }
                found
            }
            None => match issuers.as_slice() {
                [only] => Some(only),
                _ => {
                    let fix = format!("add issuer: {}", names().collect::<Vec<_>>().join(", "));
                    let problem = "the configuration doesn't have exactly one [[issuer]]";
                    self.mistakes.mistake(setting, problem, fix);
                    None
                }
            },
        }
    }

    /// Binds the token to the certificate of the caller with this name (RFC 8705, section 3.1).
    fn bind(&mut self, setting: &str, name: &str, claims: &mut Map<String, Value>) {
        match self.thumbprints.get(name) {
            Some(thumbprint) => {
                claims.insert("cnf".to_owned(), json!({ "x5t#S256": thumbprint }));
            }
            None => {
                let problem = format!("no caller with a certificate has the name {name:?}");
                let fix = meant(name, self.thumbprints.keys().copied());
                self.mistakes
                    .mistake(&format!("{setting}.bound_to"), problem, fix);
            }
        }
    }

    /// Whose key signs: the owner's, unless the file names another issuer or `stranger`.
    fn by(&mut self, setting: &str, name: Option<&str>, owner: &Owner) -> Owner {
        let Some(name) = name else {
            return owner.clone();
        };
        let issuers = self.policy.issuers.iter();
        let known = issuers.map(|issuer| issuer.name.as_str());
        if name != STRANGER && !known.clone().any(|issuer| issuer == name) {
            let problem = format!("no [[issuer]] has the name {name:?}");
            let fix = meant(name, known.chain([STRANGER]));
            self.mistakes
                .mistake(&format!("{setting}.signed_by"), problem, fix);
        }
        match name {
            STRANGER => Owner::Stranger,
            name => Owner::Issuer(name.to_owned()),
        }
    }

    /// An authorization. Its tenant and subject are those of the caller's token or, if there is none, the
    /// certificate's name.
    pub(super) fn cell_bound(
        &mut self,
        setting: &str,
        table: &CbaTable,
        (bearer, certificate): (Option<&Bearer>, Option<&CertificateTable>),
    ) -> Result<String, DecideError> {
        let now = self.now.as_secs();
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", table.from.as_str().into());
        put("aud", table.to.as_str().into());
        put("jti", "made".into());
        put("iat", now.into());
        put("exp", now.saturating_add(CBA_LIFETIME_SECS).into());
        if let Some(tenant) = bearer.and_then(|bearer| bearer.tenant.as_deref()) {
            put("tenant", tenant.into());
        }
        let subject = match bearer {
            Some(bearer) => bearer.subject.as_ref(),
            None => certificate.and_then(|table| table.sans.first()),
        };
        if let Some(subject) = subject.and_then(|subject| Text::encode(subject).ok()) {
            put("sub", subject.as_str().into());
        }
        let said = (&table.claims, &*table.without);
        change(&mut claims, setting, said, self.now, self.mistakes);
        let owner = Owner::Cell(table.from.clone());
        let by = match table.signed_by.as_deref() {
            None => owner.clone(),
            Some(STRANGER) => Owner::Stranger,
            Some(cell) => Owner::Cell(cell.to_owned()),
        };
        let signing = Signing {
            setting,
            algorithm: table.algorithm.as_deref(),
            typ: table.typ.as_deref(),
            kid: table.kid.as_deref(),
            allowed: &self.policy.cba.algorithms,
            owner: &owner,
            by: &by,
        };
        signing.sign(claims, "cba+jwt", self.keys, self.mistakes)
    }
}
