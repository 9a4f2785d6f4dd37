//! `[routing_key]`.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cert::{is_dns_name, spiffe_trust_domain};
use crate::headers::HeaderRules;
use crate::keys::{self, Algorithm};
use crate::kid::is_kid;
use crate::routing_key::{
    AGE_SECS_MAX, BoundGatewaySpec, Gateway, GatewaySan, GatewaySpec, KeySpeaksSpec,
    RoutingKeyRules, RoutingKeySpec, SKEW_SECS_MAX, Signer, SignerSpec, SpeaksFor,
};
use crate::text::Text;

use super::super::{PolicySpecs, Scheme, TrustDomainSpec};
use super::Errors;

/// The most gateways, and the most signers.
const ENTRIES_MAX: usize = 64;

/// The algorithms of signers' keys. They sign fast, and their signatures are short enough for a
/// header.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::EdDSA, Algorithm::ES256];

const SPEAKS_FIX: &str =
    "list the tenants, or write tenants = \"any\" if it speaks for all of them";

pub(super) fn rules(specs: &PolicySpecs, errors: &mut Errors) -> RoutingKeyRules {
    let spec = &specs.routing_key;
    for (setting, len) in [
        ("routing_key.gateways", spec.gateways.len()),
        ("routing_key.signer", spec.signer.len()),
    ] {
        if len > ENTRIES_MAX {
            let fix = format!("write at most {ENTRIES_MAX}");
            errors.add(setting, format!("has {len} entries"), fix);
            return RoutingKeyRules::default();
        }
    }
    if !(1..=AGE_SECS_MAX).contains(&spec.max_age_secs) {
        let problem = format!("is {}", spec.max_age_secs);
        let fix = format!("write 1 to {AGE_SECS_MAX}");
        errors.add("routing_key.max_age_secs", problem, fix);
    }
    if spec.skew_secs > SKEW_SECS_MAX {
        let problem = format!("is over {SKEW_SECS_MAX}");
        errors.add(
            "routing_key.skew_secs",
            problem,
            "synchronize the clocks instead",
        );
    }
    check_senders(specs, errors);
    let several = sources(specs) > 1;
    RoutingKeyRules {
        gateways: gateways(specs, several, errors),
        signers: signers(spec, several, errors),
        max_age_secs: spec.max_age_secs,
        skew_secs: spec.skew_secs,
    }
}

/// The router's header names, with those of `[routing_key]`.
pub(super) fn headers(
    rules: HeaderRules,
    spec: &RoutingKeySpec,
    errors: &mut Errors,
) -> HeaderRules {
    match rules.clone().with_routing_key(&spec.header) {
        Ok(rules) => rules,
        Err(mistake) => {
            errors.add(mistake.setting, mistake.problem, "write another name");
            rules
        }
    }
}

/// The sources that can prove a tenant, of all kinds of credentials.
fn sources(specs: &PolicySpecs) -> usize {
    let trust = specs.trust.as_ref();
    let by_san = trust.filter(|trust| !trust.san.is_empty());
    let domains = by_san.map_or(0, |trust| trust.trust_domains.len().max(1));
    let spec = &specs.routing_key;
    specs.issuer.len() + domains + spec.gateways.len() + spec.signer.len()
}

/// If a policy accepts routing keys, there must be a gateway or a signer.
fn check_senders(specs: &PolicySpecs, errors: &mut Errors) {
    let spec = &specs.routing_key;
    let looked_at = specs.policy.iter().any(|policy| {
        let lists = [&policy.any_of, &policy.all_of];
        let mut schemes = lists.into_iter().flatten().flatten();
        schemes.any(|scheme| *scheme == Scheme::RoutingKey)
    });
    if looked_at && spec.gateways.is_empty() && spec.signer.is_empty() {
        let problem = "is missing, and a policy accepts routing keys: none would be accepted";
        let fix = "list the SANs of your gateways, or add a [[routing_key.signer]]";
        errors.add("routing_key.gateways", problem, fix);
    }
    let trusts = specs.trust.as_ref().is_some_and(|trust| trust.has_bundle());
    if !spec.gateways.is_empty() && !trusts {
        let problem = "is missing, and gateways are known by their certificates";
        let fix = "write the path of a PEM file with the CAs that sign them";
        errors.add("trust.bundle", problem, fix);
    }
}

fn gateways(specs: &PolicySpecs, several: bool, errors: &mut Errors) -> Vec<Gateway> {
    let mut gateways = Vec::<Gateway>::new();
    for (i, spec) in specs.routing_key.gateways.iter().enumerate() {
        let setting = format!("routing_key.gateways[{i}]");
        let (san, tenants) = match spec {
            GatewaySpec::San(san) => (san, None),
            GatewaySpec::Bound(BoundGatewaySpec { san, tenants }) => (san, Some(tenants)),
        };
        let speaks = speaks(tenants, several, &format!("{setting}.tenants"), errors);
        let Some(san) = gateway_san(san, &setting, specs, errors) else {
            continue;
        };
        if gateways.iter().any(|other| other.san == san) {
            errors.add(setting, "is listed twice", "write it once");
            continue;
        }
        let trust_domain = spiffe_trust_domain(san.text().as_str());
        gateways.push(Gateway {
            trust_domain: trust_domain.and_then(|domain| Text::new(domain).ok()),
            san,
            speaks,
        });
    }
    gateways
}

/// An exact name whose trust domain is known.
fn gateway_san(
    san: &str,
    setting: &str,
    specs: &PolicySpecs,
    errors: &mut Errors,
) -> Option<GatewaySan> {
    const FIX: &str = "write the exact URI or DNS SAN of the gateway's certificate, such as \
                       spiffe://example/gateway or gateway.example";
    let trust = specs.trust.as_ref();
    let domains = trust.map_or(&[][..], |trust| &trust.trust_domains);
    let name = |domain: &TrustDomainSpec| match domain {
        TrustDomainSpec::Name(name) => name.clone(),
        TrustDomainSpec::Bound(bound) => bound.name.clone(),
    };
    if san.starts_with("spiffe://") {
        let Some(domain) = spiffe_trust_domain(san) else {
            errors.add(setting, format!("{san:?} is not a SPIFFE ID"), FIX);
            return None;
        };
        if !domains.iter().any(|known| name(known) == domain) {
            let problem = format!("its trust domain {domain:?} is not in trust.trust_domains");
            errors.add(setting, problem, "add it there");
            return None;
        }
        return errors.text(setting, san).map(GatewaySan::Uri);
    }
    let (kind, fits): (fn(Text) -> GatewaySan, bool) = match san.split_once("://") {
        Some((scheme, rest)) => (GatewaySan::Uri, !scheme.is_empty() && !rest.is_empty()),
        None => (GatewaySan::Dns, is_dns_name(san)),
    };
    if !fits {
        let problem = format!("{san:?} is neither a URI nor a DNS name in lower case");
        errors.add(setting, problem, FIX);
        return None;
    }
    if domains.len() > 1 {
        let problem =
            "there are several trust domains, and this name does not say which one it belongs to";
        errors.add(setting, problem, "give the gateway a SPIFFE ID");
        return None;
    }
    errors.text(setting, san).map(kind)
}

fn signers(spec: &RoutingKeySpec, several: bool, errors: &mut Errors) -> Vec<Arc<Signer>> {
    let mut kids = BTreeSet::new();
    let mut signers = Vec::new();
    for (i, spec) in spec.signer.iter().enumerate() {
        let at = |member: &str| format!("routing_key.signer[{i}].{member}");
        if !kids.insert(&spec.kid) {
            errors.add(at("kid"), "is also another signer's", "write another one");
        }
        let kid = if is_kid(&spec.kid) {
            errors.text(&at("kid"), &spec.kid)
        } else {
            let fix = "write 1 to 64 letters, digits, `-`, `_` or `.`";
            errors.add(at("kid"), "is not a valid key ID", fix);
            None
        };
        let key = key(spec, &at("jwk"), errors);
        let speaks = speaks(spec.tenants.as_ref(), several, &at("tenants"), errors);
        if let (Some(kid), Some(key)) = (kid, key) {
            signers.push(Arc::new(Signer { kid, key, speaks }));
        }
    }
    signers
}

fn key(spec: &SignerSpec, setting: &str, errors: &mut Errors) -> Option<keys::Key> {
    const FIX: &str =
        "write the public half of an Ed25519 or P-256 key, with kty, crv, x (and y) and no more";
    if spec.jwk.get("kid").is_some_and(|kid| *kid != spec.kid) {
        errors.add(setting, "has another kid than the signer", "take it out");
        return None;
    }
    // A map of strings always serializes.
    let jwk = serde_json::to_vec(&spec.jwk).unwrap_or_default();
    match keys::public_key(&jwk, &ALGORITHMS) {
        Ok(key) => Some(key),
        Err(why) => {
            errors.add(setting, why, FIX);
            None
        }
    }
}

/// With several sources of identity, each must say which tenants it may speak for, so that none
/// speaks for another's by accident.
fn speaks(
    spec: Option<&KeySpeaksSpec>,
    several: bool,
    setting: &str,
    errors: &mut Errors,
) -> SpeaksFor {
    match spec {
        None => {
            if several {
                let problem = "is missing, and other credentials prove tenants too: without it, this \
                               one could speak for all tenants";
                errors.add(setting, problem, SPEAKS_FIX);
            }
            SpeaksFor::Any
        }
        Some(KeySpeaksSpec::Word(word)) => {
            if word != "any" {
                let problem = format!("{word:?} is neither a list nor \"any\"");
                errors.add(setting, problem, SPEAKS_FIX);
            }
            SpeaksFor::Any
        }
        Some(KeySpeaksSpec::Listed(tenants)) => {
            if tenants.is_empty() {
                errors.add(setting, "is empty", SPEAKS_FIX);
            }
            let tenants = tenants.iter().filter_map(|t| errors.text(setting, t));
            SpeaksFor::Listed(tenants.collect())
        }
    }
}
