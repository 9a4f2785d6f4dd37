//! `[[issuer]]`.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use http::Uri;

use crate::keys::{Algorithm, KeyTiming};

use super::super::{ClaimSpec, IssuerSpec, KeyTimingSpec, KeysLocation, OneOrMany};
use super::{Errors, Issuer, speaks};

/// The most that a leeway can be.
pub(super) const LEEWAY_SECS_MAX: u64 = 60;
/// The most bytes of `issuer`, an audience, or a claim's name.
const NAME_LEN_MAX: usize = 1024;
/// The most names in the path of a claim.
const CLAIM_DEPTH_MAX: usize = 8;
/// The `typ` of other signed documents of this router. A bearer token must not have it.
const OTHER_TYPES: [&str; 2] = ["cellway-envelope+jwt", "cba+jwt"];

pub(super) fn issuers(specs: &[IssuerSpec], errors: &mut Errors) -> Vec<Issuer> {
    let (mut names, mut isses) = (BTreeSet::new(), BTreeSet::new());
    let mut issuers = Vec::new();
    for (i, spec) in specs.iter().enumerate() {
        let at = |member: &str| format!("issuer[{i}].{member}");
        if !names.insert(&spec.name) {
            errors.add(at("name"), "is another issuer's name", "write another one");
        }
        if !isses.insert(&spec.issuer) && !spec.issuer.is_empty() {
            let fix = "keep one [[issuer]] for each `iss`; it can have several audiences";
            errors.add(at("issuer"), "is also another issuer's", fix);
        }
        issuers.extend(issuer(spec, specs.len(), &at, errors));
    }
    issuers
}

fn issuer(
    spec: &IssuerSpec,
    count: usize,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) -> Option<Issuer> {
    let name = errors.text(&at("name"), &spec.name);
    if spec.issuer.is_empty() {
        let fix = "write the exact `iss` of the issuer's tokens";
        errors.add(at("issuer"), "is missing", fix);
    } else if spec.issuer.len() > NAME_LEN_MAX {
        errors.add(at("issuer"), "is too long", "write a shorter one");
    }
    audience(spec, at, errors);
    claims(spec, at, errors);
    for (member, secs) in [
        ("leeway_exp_secs", spec.leeway_exp_secs),
        ("leeway_nbf_secs", spec.leeway_nbf_secs),
    ] {
        if secs > LEEWAY_SECS_MAX {
            let fix = format!("write at most {LEEWAY_SECS_MAX}, and synchronize the clocks");
            errors.add(at(member), format!("{secs} seconds is too much"), fix);
        }
    }
    let algorithms = algorithms(&spec.algorithms, &at("algorithms"), errors);
    let types = types(spec, at, errors);
    let keys = location(spec, at, errors);
    let timing = timing(&spec.keys, at, errors);
    let speaks = speaks(spec.tenants.as_ref(), count, &at("tenants"), errors);
    Some(Issuer {
        name: name?,
        iss: spec.issuer.as_str().into(),
        audiences: values(&spec.audience),
        client_ids: values(&spec.client_ids),
        authorized_parties: values(&spec.authorized_parties),
        algorithms,
        types,
        claims: spec.claims.clone(),
        leeway_exp_secs: spec.leeway_exp_secs,
        leeway_nbf_secs: spec.leeway_nbf_secs,
        keys: keys?,
        timing,
        speaks,
    })
}

fn audience(spec: &IssuerSpec, at: &dyn Fn(&str) -> String, errors: &mut Errors) {
    if spec.audience.as_slice().is_empty() && spec.client_ids.as_slice().is_empty() {
        let fix = "write what the issuer puts into `aud` of tokens for this service";
        errors.add(at("audience"), "is missing", fix);
    }
    for (member, list) in [
        ("audience", &spec.audience),
        ("client_ids", &spec.client_ids),
        ("authorized_parties", &spec.authorized_parties),
    ] {
        if list.as_slice().iter().any(|value| !is_name(value)) {
            errors.add(at(member), "is empty or too long", "write another value");
        }
    }
}

fn values(list: &OneOrMany) -> Vec<Box<str>> {
    let values = list.as_slice().iter();
    values.map(|value| value.as_str().into()).collect()
}

fn is_name(value: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&value.len())
}

fn claims(spec: &IssuerSpec, at: &dyn Fn(&str) -> String, errors: &mut Errors) {
    let claims = &spec.claims;
    let optional = [
        ("tenants", &claims.tenants),
        ("workspace", &claims.workspace),
        ("org", &claims.org),
        ("tier", &claims.tier),
        ("roles", &claims.roles),
        ("scopes", &claims.scopes),
    ];
    let required = [
        ("tenant", Some(&claims.tenant)),
        ("subject", Some(&claims.subject)),
    ];
    let optional = optional.map(|(member, name)| (member, name.as_ref()));
    for (member, claim) in required.into_iter().chain(optional) {
        let Some(ClaimSpec { path, .. }) = claim else {
            continue;
        };
        let setting = at(&format!("claims.{member}"));
        if path.len() > CLAIM_DEPTH_MAX {
            let fix = format!("write at most {CLAIM_DEPTH_MAX}");
            errors.add(setting, format!("has {} names", path.len()), fix);
        } else if path.is_empty() || !path.iter().all(|name| is_name(name)) {
            errors.add(setting, "is empty or too long", "write a claim's name");
        }
    }
}

/// The algorithms of these names.
pub(super) fn algorithms(names: &[String], setting: &str, errors: &mut Errors) -> Vec<Algorithm> {
    let known = || Algorithm::ALL.map(Algorithm::as_str).join(", ");
    if names.is_empty() {
        let fix = format!("name some of {}", known());
        errors.add(setting, "is empty", fix);
    }
    let mut algorithms = Vec::new();
    for name in names {
        match Algorithm::from_name(name) {
            Some(algorithm) if !algorithms.contains(&algorithm) => algorithms.push(algorithm),
            Some(_) => {}
            None => {
                let problem = match name.to_ascii_uppercase() {
                    upper if upper == "NONE" => {
                        "\"none\" means that tokens are not signed".to_owned()
                    }
                    upper if upper.starts_with("HS") => {
                        format!(
                            "{name:?} is symmetric: anyone who can verify a token could also forge one"
                        )
                    }
                    _ => format!("{name:?} is not known"),
                };
                errors.add(setting, problem, format!("use some of {}", known()));
            }
        }
    }
    algorithms
}

fn types(spec: &IssuerSpec, at: &dyn Fn(&str) -> String, errors: &mut Errors) -> Vec<Box<str>> {
    let normal = |name: &String| {
        let name = name.to_ascii_lowercase();
        name.strip_prefix("application/").unwrap_or(&name).into()
    };
    let types: Vec<Box<str>> = spec.types.iter().map(normal).collect();
    if types.is_empty() || types.iter().any(|t| t.is_empty()) {
        let fix = "name the values of `typ`, such as \"JWT\" and \"at+jwt\"";
        errors.add(at("types"), "is empty", fix);
    }
    for other in OTHER_TYPES {
        if types.iter().any(|t| **t == *other) {
            let problem = format!("{other:?} is not a type of bearer tokens");
            errors.add(at("types"), problem, "remove it from the list");
        }
    }
    types
}

fn location(
    spec: &IssuerSpec,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) -> Option<KeysLocation> {
    const FIX: &str = "write an https URL (plain http is for loopback only)";
    match (&spec.jwks_uri, &spec.jwks_file) {
        (Some(_), Some(_)) => {
            errors.add(
                at("jwks_file"),
                "is set, and so is jwks_uri",
                "set either jwks_uri or jwks_file, not both",
            );
            None
        }
        (None, Some(file)) if file.is_empty() => {
            errors.add(
                at("jwks_file"),
                "is empty",
                "write a path, or remove the setting",
            );
            None
        }
        (None, Some(file)) => Some(KeysLocation::File(file.as_str().into())),
        (Some(uri), None) if is_source(uri) => Some(KeysLocation::Uri(uri.as_str().into())),
        (Some(_), None) => {
            errors.add(at("jwks_uri"), "is not a URL that keys may come from", FIX);
            None
        }
        (None, None) if spec.issuer.is_empty() => None,
        (None, None) if is_source(&spec.issuer) && !spec.issuer.contains(['?', '#']) => {
            let base = spec.issuer.trim_end_matches('/');
            Some(KeysLocation::Discovery {
                document: format!("{base}/.well-known/openid-configuration").into(),
                fallback: format!("{base}/.well-known/jwks.json").into(),
            })
        }
        (None, None) => {
            let problem = "is missing, and the issuer is not an https URL to discover it from";
            errors.add(at("jwks_uri"), problem, FIX);
            None
        }
    }
}

/// Whether a document may be fetched from there.
fn is_source(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let user = uri.authority().is_some_and(|a| a.as_str().contains('@'));
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => !host.is_empty() && !user,
        (Some("http"), Some("localhost" | "[::1]")) => !user,
        (Some("http"), Some(host)) => {
            let address = host.parse::<std::net::Ipv4Addr>();
            address.is_ok_and(|address| address.is_loopback()) && !user
        }
        _ => false,
    }
}

fn timing(spec: &KeyTimingSpec, at: &dyn Fn(&str) -> String, errors: &mut Errors) -> KeyTiming {
    const DAY: u64 = 24 * 60 * 60;
    let mut within = |member: &str, value: u64, range: RangeInclusive<u64>| {
        if !range.contains(&value) {
            let fix = format!("write {} to {}", range.start(), range.end());
            errors.add(
                at(&format!("keys.{member}")),
                format!("{value} is out of range"),
                fix,
            );
        }
    };
    within("fresh_secs", spec.fresh_secs, 1..=DAY);
    within("stale_max_secs", spec.stale_max_secs, 0..=30 * DAY);
    within("cooldown_secs", spec.cooldown_secs, 1..=3600);
    within("wait_max_ms", spec.wait_max_ms, 0..=30_000);
    within("retry_min_secs", spec.retry_min_secs, 1..=3600);
    within(
        "retry_max_secs",
        spec.retry_max_secs,
        spec.retry_min_secs..=DAY,
    );
    spec.into()
}
