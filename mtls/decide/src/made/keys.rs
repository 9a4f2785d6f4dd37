//! Keys that sign tokens, routing keys and authorizations.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use cellway_core::policy::{KeysLocation, Policy};
use cellway_testbed::{Algorithm, Signer, TestbedError};
use serde_json::json;

use super::{STRANGER, seed};
use crate::error::DecideError;

/// Whose key it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Owner {
    /// The issuer with this configured name.
    Issuer(String),
    /// The cell with this id.
    Cell(String),
    /// The signer of routing keys with this kid.
    Signer(String),
    /// Nobody whom the router trusts.
    Stranger,
}

/// All keys, each made when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Keys(BTreeMap<(Owner, &'static str), Arc<Signer>>);

impl Owner {
    fn purpose(&self) -> String {
        match self {
            Self::Issuer(name) => format!("issuer {name}"),
            Self::Cell(id) => format!("cell {id}"),
            Self::Signer(kid) => format!("signer {kid}"),
            Self::Stranger => STRANGER.to_owned(),
        }
    }

    /// The kid of this owner's key. A signer has the one that the configuration gives it.
    fn kid(&self, algorithm: Algorithm) -> String {
        match self {
            Self::Issuer(_) | Self::Cell(_) | Self::Stranger => {
                format!("made-{}", algorithm.as_str())
            }
            Self::Signer(kid) => kid.clone(),
        }
    }
}

impl Keys {
    /// The owner's key for this algorithm.
    pub(crate) fn of(
        &mut self,
        owner: &Owner,
        algorithm: Algorithm,
    ) -> Result<Arc<Signer>, TestbedError> {
        let at = (owner.clone(), algorithm.as_str());
        if let Some(known) = self.0.get(&at) {
            return Ok(Arc::clone(known));
        }
        let kid = owner.kid(algorithm);
        let made = match algorithm {
            Algorithm::EdDsa => Signer::from_seed(&kid, seed(&owner.purpose()))?,
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512
            | Algorithm::Es256
            | Algorithm::Es384 => Signer::generate(&kid, algorithm)?,
        };
        let made = Arc::new(made);
        self.0.insert(at, Arc::clone(&made));
        Ok(made)
    }

    /// The public keys of this owner, as a JWKS.
    pub(crate) fn published(&self, owner: &Owner) -> String {
        let own = self.0.iter().filter(|((whose, _), _)| whose == owner);
        let keys: Vec<_> = own.map(|(_, signer)| signer.jwk()).collect();
        json!({ "keys": keys }).to_string()
    }

    /// The policy with these keys in place of the configured ones. The key sets of issuers are added to
    /// `files`, except those of `unreachable` issuers.
    pub(crate) fn install(
        &mut self,
        policy: &Policy,
        unreachable: &[String],
        files: &mut BTreeMap<String, Bytes>,
    ) -> Result<Policy, DecideError> {
        let mut specs = policy.specs().clone();
        for spec in &mut specs.routing_key.signer {
            let signer = self.of(&Owner::Signer(spec.kid.clone()), Algorithm::EdDsa)?;
            let public = signer.jwk();
            let member = |name: &str| Some((name.to_owned(), public[name].as_str()?.to_owned()));
            spec.jwk = ["kty", "crv", "x"].into_iter().filter_map(member).collect();
        }
        let mut made = Policy::build(&specs).map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            DecideError::Make(errors.join("\n"))
        })?;
        for issuer in &mut made.issuers {
            let name = issuer.name.as_str();
            let file = format!("the keys of issuer {name}");
            if !unreachable.iter().any(|listed| listed == name) {
                let owner = Owner::Issuer(name.to_owned());
                // A set without keys would be refused.
                self.of(&owner, usual(&issuer.algorithms))?;
                files.insert(file.clone(), self.published(&owner).into());
            }
            issuer.keys = KeysLocation::File(file.into());
        }
        Ok(made)
    }
}

/// The allowed algorithm whose keys are made fastest.
pub(crate) fn usual(allowed: &[cellway_core::keys::Algorithm]) -> Algorithm {
    let mut all = Algorithm::ALL.into_iter();
    let is_allowed = |it: &Algorithm| allowed.iter().any(|name| name.as_str() == it.as_str());
    all.find(is_allowed).unwrap_or(Algorithm::EdDsa)
}
