//! The tokens that callers have.

use cellway_core::policy::{ClaimSpec, Issuer, Policy};
use toml::{Table, Value};

/// What a token says besides its issuer's usual claims.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Said<'a> {
    pub(super) tenant: &'a str,
    pub(super) tier: Option<&'a str>,
    /// `None`: the token has no roles claim.
    pub(super) roles: Option<&'a [String]>,
    pub(super) scopes: &'a [String],
}

/// The `token` of a caller in a file of cases: a token as `issuer` makes them, shown to a router with
/// `policy`. `None` if that router knows no issuer at all.
pub(super) fn token(issuer: &Issuer, policy: &Policy, said: &Said<'_>) -> Option<Table> {
    let mut claims = Table::new();
    claims.insert("iss".to_owned(), issuer.iss.to_string().into());
    let mut without = Vec::new();
    let audience = issuer.audiences.first();
    match audience {
        Some(audience) => {
            claims.insert("aud".to_owned(), audience.to_string().into());
        }
        None => without.extend(known_audience(issuer, policy)),
    }
    if let Some(client) = issuer.client_ids.first().filter(|_| audience.is_none()) {
        claims.insert("client_id".to_owned(), client.to_string().into());
        claims.insert("token_use".to_owned(), "access".into());
    }
    if let Some(party) = issuer.authorized_parties.first() {
        claims.insert("azp".to_owned(), party.to_string().into());
    }
    let names = &issuer.claims;
    put(&mut claims, &names.subject, "somebody".into());
    put(
        &mut claims,
        &names.tenant,
        number(&names.tenant, said.tenant),
    );
    if let (Some(at), Some(tier)) = (&names.tier, said.tier) {
        put(&mut claims, at, tier.into());
    }
    if let (Some(at), Some(roles)) = (&names.roles, said.roles) {
        put(&mut claims, at, Value::from(roles.to_vec()));
    }
    if let Some(at) = names.scopes.as_ref().filter(|_| !said.scopes.is_empty()) {
        put(&mut claims, at, said.scopes.join(" ").into());
    }
    let same = find(policy, issuer);
    let known = same.or(policy.issuers.first())?;
    let mut token = Table::new();
    token.insert("issuer".to_owned(), known.name.to_string().into());
    token.insert("claims".to_owned(), Value::Table(claims));
    if let Some(algorithm) = issuer.algorithms.first() {
        token.insert("algorithm".to_owned(), algorithm.to_string().into());
    }
    if let Some(typ) = issuer.types.first() {
        let typ = if &**typ == "jwt" { "JWT" } else { typ };
        token.insert("typ".to_owned(), typ.into());
    }
    if same.is_none() {
        token.insert("signed_by".to_owned(), "stranger".into());
    }
    if !without.is_empty() {
        token.insert("without".to_owned(), Value::from(without));
    }
    Some(token)
}

/// The issuer of a policy that has the same URL, or the same name.
pub(super) fn find<'a>(policy: &'a Policy, issuer: &Issuer) -> Option<&'a Issuer> {
    let by_url = policy.issuers.iter().find(|it| it.iss == issuer.iss);
    by_url.or_else(|| policy.issuers.iter().find(|it| it.name == issuer.name))
}

/// The claim that a token of the other side's issuer would have and that this issuer doesn't write.
fn known_audience(issuer: &Issuer, policy: &Policy) -> Option<String> {
    let known = find(policy, issuer).or(policy.issuers.first())?;
    known.audiences.first().map(|_| "aud".to_owned())
}

/// A tenant's id, as a number if the claim holds one.
fn number(at: &ClaimSpec, tenant: &str) -> Value {
    let number = tenant.parse::<i64>().ok().filter(|_| at.number);
    number.map_or_else(|| tenant.into(), Value::from)
}

/// Sets a claim, which may be inside others.
fn put(claims: &mut Table, at: &ClaimSpec, value: Value) {
    let Some((last, outer)) = at.path.split_last() else {
        return;
    };
    let mut inside = claims;
    for name in outer {
        let next = inside
            .entry(name.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else { return };
        inside = next;
    }
    inside.insert(last.clone(), value);
}
