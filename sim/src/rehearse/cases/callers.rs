//! The callers: for each class of tenants every kind of credential that a policy takes.

use std::collections::BTreeSet;

use cellway_core::policy::{Issuer, Policy};
use cellway_core::routing_key::GatewaySpec;
use toml::{Table, Value};

use super::super::classes::{Class, trust_domains};
use super::super::folder::Side;
use super::tokens::{Said, find, token};

/// The most sets of roles that a kind of token is tried with.
const ROLES_MAX: usize = 8;

/// A tenant that neither registry lists.
const UNLISTED: &str = "a-tenant-that-no-registry-lists";

/// A caller.
#[derive(Clone, Debug)]
pub(in crate::rehearse) struct Caller {
    /// The position of its class. `None`: it is of no listed tenant.
    pub(in crate::rehearse) class: Option<usize>,
    /// Its credentials in words.
    pub(in crate::rehearse) kind: String,
    /// Its credentials.
    pub(in crate::rehearse) proof: Proof,
    tenant: String,
    tier: Option<String>,
}

/// What proves a caller's tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::rehearse) enum Proof {
    /// Nothing.
    None,
    /// A token of the issuer at this position of [`issuers`].
    Token(Grant),
    /// A certificate, whose name is made of this template.
    Certificate(String),
    /// Both.
    Both(Grant, String),
    /// The routing key, sent by the gateway with this name.
    Gateway(String),
    /// The routing key, signed with the key of this kid.
    Signer(String),
}

/// An issuer's token, and what it grants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::rehearse) struct Grant {
    /// The issuer's name.
    pub(in crate::rehearse) issuer: String,
    /// The roles; `None` without such a claim.
    pub(in crate::rehearse) roles: Option<Vec<String>>,
    /// The scopes.
    pub(in crate::rehearse) scopes: Vec<String>,
}

/// All callers.
pub(in crate::rehearse) fn callers(old: &Side, new: &Side, classes: &[Class]) -> Vec<Caller> {
    let kinds = kinds(old, new);
    let mut callers = vec![Caller {
        class: None,
        kind: "no credentials".to_owned(),
        proof: Proof::None,
        tenant: UNLISTED.to_owned(),
        tier: None,
    }];
    let of = |class: Option<usize>, tenant: &str, tier: Option<&str>| {
        let caller = |(kind, proof): &(String, Proof)| Caller {
            class,
            kind: kind.clone(),
            proof: proof.clone(),
            tenant: tenant.to_owned(),
            tier: tier.map(str::to_owned),
        };
        kinds.iter().map(caller).collect::<Vec<_>>()
    };
    for (at, class) in classes.iter().enumerate() {
        let profile = class.old.as_ref().or(class.new.as_ref());
        let tier = profile.map(|profile| profile.tier.as_str());
        callers.extend(of(Some(at), &class.example, tier));
    }
    let names_tiers = [old, new].iter().any(|side| {
        let issuers = side.settings.policy.issuers.iter();
        issuers.clone().any(|issuer| issuer.claims.tier.is_some())
    });
    callers.extend(of(None, UNLISTED, None));
    if names_tiers {
        for tier in tiers(old, new) {
            let unlisted = of(None, UNLISTED, Some(&tier)).into_iter();
            callers.extend(unlisted.map(|caller| Caller {
                kind: format!("{} and tier {tier}", caller.kind),
                ..caller
            }));
        }
    }
    callers
}

fn tiers(old: &Side, new: &Side) -> BTreeSet<String> {
    let cells = [old, new]
        .into_iter()
        .flat_map(|side| side.registry.cells());
    cells.map(|cell| cell.tier.to_string()).collect()
}

/// The issuers of both sides. One that both have is as in the old configuration.
pub(in crate::rehearse) fn issuers<'a>(old: &'a Side, new: &'a Side) -> Vec<&'a Issuer> {
    let before = &old.settings.policy;
    let after = new.settings.policy.issuers.iter();
    let added = after.filter(|issuer| find(before, issuer).is_none());
    before.issuers.iter().chain(added).collect()
}

fn kinds(old: &Side, new: &Side) -> Vec<(String, Proof)> {
    let auths = || {
        [old, new]
            .into_iter()
            .flat_map(|it| it.settings.policy.auths())
    };
    let takes_tokens = auths().any(|auth| auth.jwt);
    let takes_certificates = auths().any(|auth| auth.mtls);
    let takes_both = auths().any(|auth| auth.all && auth.jwt && auth.mtls);
    let grants: Vec<_> = match takes_tokens {
        true => grants(old, new),
        false => Vec::new(),
    };
    let templates: Vec<_> = match takes_certificates {
        true => templates(old, new),
        false => Vec::new(),
    };
    let mut kinds = Vec::new();
    for (kind, grant) in &grants {
        kinds.push((kind.clone(), Proof::Token(grant.clone())));
    }
    for template in &templates {
        kinds.push((
            format!("certificate {template}"),
            Proof::Certificate(template.clone()),
        ));
    }
    if let Some(template) = templates.first().filter(|_| takes_both) {
        for (kind, grant) in &grants {
            let proof = Proof::Both(grant.clone(), template.clone());
            kinds.push((format!("{kind} with a certificate"), proof));
        }
    }
    if auths().any(|auth| auth.routing_key) {
        kinds.extend(vouchers(old, new));
    }
    kinds
}

/// Tokens of each issuer: without roles, and with each role that a rule asks for.
fn grants(old: &Side, new: &Side) -> Vec<(String, Grant)> {
    let (roles, scopes) = asked_for(old, new);
    let mut grants = Vec::new();
    for issuer in issuers(old, new) {
        let name = issuer.name.to_string();
        let mut add = |what: String, roles: Option<Vec<String>>, scopes: &[String]| {
            let grant = Grant {
                issuer: name.clone(),
                roles,
                scopes: scopes.to_vec(),
            };
            grants.push((format!("token of {name}{what}"), grant));
        };
        add(String::new(), None, &[]);
        let all = match issuer.claims.scopes.is_some() {
            true => scopes.as_slice(),
            false => &[],
        };
        if issuer.claims.roles.is_some() {
            for role in roles.iter().take(ROLES_MAX) {
                add(format!(" as {role}"), Some(vec![role.clone()]), all);
            }
        } else if !all.is_empty() {
            add(format!(" for {}", all.join(" ")), None, all);
        }
    }
    grants
}

/// The roles and scopes that rules ask for.
fn asked_for(old: &Side, new: &Side) -> (Vec<String>, Vec<String>) {
    let (mut roles, mut scopes) = (BTreeSet::new(), BTreeSet::new());
    for side in [old, new] {
        let policies = side.settings.policy.specs().policy.iter();
        for rule in policies.flat_map(|policy| policy.rule.iter().flatten()) {
            roles.extend(rule.roles.iter().flatten().cloned());
            scopes.extend(rule.scopes.iter().flatten().cloned());
        }
    }
    (roles.into_iter().collect(), scopes.into_iter().collect())
}

/// The templates of names that tell the tenant, for each trust domain.
fn templates(old: &Side, new: &Side) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for side in [old, new] {
        let policy = &side.settings.policy;
        let Some(trust) = &policy.specs().trust else {
            continue;
        };
        for template in trust.san.iter().filter(|it| it.contains("{tenant}")) {
            let domains = match template.contains("{trust_domain}") {
                true => trust_domains(policy),
                false => vec![String::new()],
            };
            for domain in domains {
                let named = template.replace("{trust_domain}", &domain);
                if !all.contains(&named) {
                    all.push(named);
                }
            }
        }
    }
    all
}

/// Gateways and signers.
fn vouchers(old: &Side, new: &Side) -> Vec<(String, Proof)> {
    let mut all = Vec::new();
    for side in [old, new] {
        let keys = &side.settings.policy.specs().routing_key;
        for gateway in &keys.gateways {
            let san = match gateway {
                GatewaySpec::San(san) => san,
                GatewaySpec::Bound(bound) => &bound.san,
            };
            let kind = format!("routing key of the gateway {san}");
            all.push((kind, Proof::Gateway(san.clone())));
        }
        for signer in &keys.signer {
            let kind = format!("routing key signed by {}", signer.kid);
            all.push((kind, Proof::Signer(signer.kid.clone())));
        }
    }
    let mut seen = BTreeSet::new();
    all.retain(|(kind, _)| seen.insert(kind.clone()));
    all
}

impl Caller {
    /// The `[[caller]]` of a file of cases, for a router with these settings.
    pub(in crate::rehearse) fn case(&self, name: &str, side: &Side, issuers: &[&Issuer]) -> Table {
        let mut case = Table::new();
        case.insert("name".to_owned(), name.into());
        let policy = &side.settings.policy;
        match &self.proof {
            Proof::None => {}
            Proof::Token(grant) => self.show(&mut case, grant, policy, issuers),
            Proof::Certificate(template) => self.certify(&mut case, template, side),
            Proof::Both(grant, template) => {
                self.show(&mut case, grant, policy, issuers);
                self.certify(&mut case, template, side);
            }
            Proof::Gateway(san) => {
                self.certify(&mut case, san, side);
                self.name_tenant(&mut case, None, policy);
            }
            Proof::Signer(kid) => self.name_tenant(&mut case, Some(kid), policy),
        }
        case
    }

    fn show(&self, case: &mut Table, grant: &Grant, policy: &Policy, issuers: &[&Issuer]) {
        let issuer = issuers.iter().find(|it| it.name.as_str() == grant.issuer);
        let said = Said {
            tenant: &self.tenant,
            tier: self.tier.as_deref(),
            roles: grant.roles.as_deref(),
            scopes: &grant.scopes,
        };
        let token = issuer.and_then(|issuer| token(issuer, policy, &said));
        match token {
            Some(token) => case.insert("token".to_owned(), Value::Table(token)),
            // The router knows no issuer, so any token is as strange to it as another.
            None => {
                let bearer = (
                    "authorization".to_owned(),
                    Value::from("Bearer e30.e30.e30"),
                );
                case.insert(
                    "headers".to_owned(),
                    Value::Table(Table::from_iter([bearer])),
                )
            }
        };
    }

    /// A router that trusts no client certificates asks for none.
    fn certify(&self, case: &mut Table, template: &str, side: &Side) {
        if side.settings.trusts_clients() {
            let certificate = Table::from_iter([(
                "sans".to_owned(),
                Value::from(vec![filled(template, &self.tenant)]),
            )]);
            case.insert("certificate".to_owned(), Value::Table(certificate));
        }
    }

    fn name_tenant(&self, case: &mut Table, signer: Option<&str>, policy: &Policy) {
        let mut key = Table::new();
        key.insert("key".to_owned(), self.tenant.clone().into());
        if let Some(kid) = signer {
            key.insert("signer".to_owned(), kid.into());
            let signers = policy.specs().routing_key.signer.iter();
            if !signers.map(|signer| &signer.kid).any(|known| known == kid) {
                key.insert("signed_by".to_owned(), "stranger".into());
            }
        }
        case.insert("routing_key".to_owned(), Value::Table(key));
    }
}

/// A name that a template matches.
fn filled(template: &str, tenant: &str) -> String {
    let named = template.replace("{tenant}", tenant);
    let named = named.replace("{service}", "rehearsal");
    let named = named.replace("{cell}", "elsewhere");
    named.replace("**", "x").replace('*', "x")
}
