//! Builds a [`Policy`] from the configuration's tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use crate::headers::{HeaderRules, HeaderSpec};
use crate::identity::Identity;
use crate::reason::Class;
use crate::text::Text;
use crate::words::suggestion;

use super::{
    AuthPolicy, Fingerprint, InsecureSpec, Issuer, IssuerId, Mode, Policy, PolicyError, PolicySpec,
    PolicySpecs, Scheme, Speaks, SpeaksSpec,
};

mod cba;
mod cors;
mod issuer;
mod routing_key;
mod rule;
mod trust;

/// The most issuers, policies and trust domains.
const TABLES_MAX: usize = 256;

pub(super) fn build(specs: &PolicySpecs) -> Result<Policy, Vec<PolicyError>> {
    let mut errors = Errors::default();
    for (setting, len) in [
        ("issuer", specs.issuer.len()),
        ("policy", specs.policy.len()),
    ] {
        if len > TABLES_MAX {
            let problem = format!("there are {len} tables");
            errors.add(setting, problem, format!("write at most {TABLES_MAX}"));
            return Err(errors.0);
        }
    }
    let issuers = issuer::issuers(&specs.issuer, &mut errors);
    let trust = trust::trust(specs.trust.as_ref(), &mut errors);
    let headers = headers(&specs.headers, &mut errors);
    let auth = policies(specs, &headers, &mut errors);
    let headers = routing_key::headers(headers, &specs.routing_key, &mut errors);
    let routing_key = routing_key::rules(specs, &mut errors);
    let cba = cba::rules(specs, &mut errors);
    if !errors.0.is_empty() {
        return Err(errors.0);
    }
    let ids = || (0..).map(IssuerId);
    Ok(Policy {
        by_iss: issuers.iter().map(|i| i.iss.clone()).zip(ids()).collect(),
        by_name: issuers.iter().map(|i| i.name.clone()).zip(ids()).collect(),
        issuers,
        headers,
        cba,
        routing_key,
        auth,
        sans: trust.sans,
        trust_domains: trust.domains,
        fingerprint: fingerprint(specs),
        specs: specs.clone(),
    })
}

/// The mistakes found so far.
#[derive(Default)]
struct Errors(Vec<PolicyError>);

impl Errors {
    fn add(
        &mut self,
        setting: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.0.push(PolicyError {
            setting: setting.into(),
            problem: problem.into(),
            fix: fix.into(),
        });
    }

    /// `value` as a [`Text`].
    fn text(&mut self, setting: &str, value: &str) -> Option<Text> {
        match Text::new(value) {
            Ok(text) => Some(text),
            Err(why) => {
                self.add(setting, why.to_string(), "write another value");
                None
            }
        }
    }
}

/// The debug form contains every member of every table, which is enough for a fingerprint.
fn fingerprint(specs: &PolicySpecs) -> Fingerprint {
    let tables = format!("{:?}", (&specs.issuer, &specs.policy, &specs.trust));
    let mut bytes = Fingerprint::default();
    bytes.copy_from_slice(digest(&SHA256, tables.as_bytes()).as_ref());
    bytes
}

fn headers(spec: &HeaderSpec, errors: &mut Errors) -> HeaderRules {
    match HeaderRules::new(spec) {
        Ok(rules) => rules,
        Err(mistakes) => {
            for mistake in mistakes {
                errors.add(mistake.setting, mistake.problem, "write another name");
            }
            HeaderRules::default()
        }
    }
}

fn policies(specs: &PolicySpecs, headers: &HeaderRules, errors: &mut Errors) -> Vec<AuthPolicy> {
    if specs.policy.is_empty() {
        errors.add(
            "policy",
            "there is none",
            "add a [[policy]] for the listeners",
        );
    }
    let mut names = BTreeSet::new();
    let mut policies = Vec::new();
    for (i, spec) in specs.policy.iter().enumerate() {
        let at = |member: &str| format!("policy[{i}].{member}");
        if !names.insert(&spec.name) {
            errors.add(at("name"), "is another policy's name", "write another one");
        }
        let name = errors.text(&at("name"), &spec.name);
        let Schemes {
            jwt,
            mtls,
            routing_key,
        } = schemes(spec, &at, errors);
        let issuers = accepted_issuers(specs, spec, jwt, &at, errors);
        if mtls {
            require_trust(specs, routing_key, &at, errors);
        }
        let anonymous = anonymous_placement(spec, &at, errors);
        let unverified_identity = unverified_identity(spec, &at, errors);
        let cba = cba::policy(&specs.cba, spec, &at, errors);
        let rules = rule::rules(specs, spec, &at, errors);
        let cors = cors::rules(spec.cors.as_ref(), headers, &at, errors);
        if let Some(name) = name {
            policies.push(AuthPolicy {
                name,
                mode: spec.mode,
                jwt,
                mtls,
                routing_key,
                all: spec.all_of.is_some(),
                subject: spec.subject,
                jwks_unreachable: jwks_unreachable(spec, &at, errors),
                anonymous_placement: anonymous,
                cba,
                rules,
                cors,
                unverified_identity: Arc::new(unverified_identity),
                issuers,
            });
        }
    }
    policies
}

/// The kinds of credentials that the policy accepts.
#[derive(Clone, Copy, Default)]
struct Schemes {
    jwt: bool,
    mtls: bool,
    routing_key: bool,
}

fn schemes(spec: &PolicySpec, at: &dyn Fn(&str) -> String, errors: &mut Errors) -> Schemes {
    if spec.mode == Mode::Disabled {
        return Schemes::default();
    }
    let (setting, schemes) = match (&spec.any_of, &spec.all_of) {
        (Some(any), None) => ("any_of", any),
        (None, Some(all)) => ("all_of", all),
        (None, None) => {
            let fix = "write any_of or all_of with some of \"jwt\", \"mtls\", \"routing_key\"";
            errors.add(at("any_of"), "no credential is named", fix);
            return Schemes::default();
        }
        (Some(_), Some(_)) => {
            let fix = "set either any_of or all_of, not both";
            errors.add(at("all_of"), "is set, and so is any_of", fix);
            return Schemes::default();
        }
    };
    let count = |scheme| schemes.iter().filter(|s| **s == scheme).count();
    let counts = [Scheme::Jwt, Scheme::Mtls, Scheme::RoutingKey].map(count);
    if schemes.is_empty() {
        let fix = "name some of \"jwt\", \"mtls\", \"routing_key\"";
        errors.add(at(setting), "is empty", fix);
    }
    if counts.iter().any(|count| *count > 1) {
        errors.add(at(setting), "names a credential twice", "name each once");
    }
    let [jwt, mtls, routing_key] = counts.map(|count| count > 0);
    Schemes {
        jwt,
        mtls,
        routing_key,
    }
}

/// The class of the answer to a token that can't be verified because keys are missing.
fn jwks_unreachable(spec: &PolicySpec, at: &dyn Fn(&str) -> String, errors: &mut Errors) -> Class {
    match spec.jwks_unreachable_status {
        503 => Class::Unavailable,
        401 => Class::Unauthenticated,
        other => {
            let fix = "write 503, or 401 for clients that expect it";
            errors.add(at("jwks_unreachable_status"), format!("is {other}"), fix);
            Class::Unavailable
        }
    }
}

/// By issuer: whether the policy accepts its tokens.
fn accepted_issuers(
    specs: &PolicySpecs,
    spec: &PolicySpec,
    jwt: bool,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) -> Vec<bool> {
    if jwt && specs.issuer.is_empty() {
        let problem = format!("there is none, and policy {:?} accepts tokens", spec.name);
        let fix = "add an [[issuer]] with its issuer and audience";
        errors.add("issuer", problem, fix);
    }
    let Some(names) = &spec.issuers else {
        return vec![jwt; specs.issuer.len()];
    };
    if jwt && names.is_empty() {
        let fix = "name an issuer, or leave the setting out to accept all";
        errors.add(at("issuers"), "is empty, so that no token could pass", fix);
    }
    for name in names {
        if !specs.issuer.iter().any(|issuer| issuer.name == *name) {
            let problem = format!("unknown issuer {name:?}");
            let names = specs.issuer.iter().map(|issuer| issuer.name.as_str());
            errors.add(at("issuers"), problem, suggestion(name, "issuers", names));
        }
    }
    let named = |issuer: &super::IssuerSpec| jwt && names.contains(&issuer.name);
    specs.issuer.iter().map(named).collect()
}

/// `routing_key`: the policy accepts routing keys too, so the certificate may be a listed
/// gateway's.
fn require_trust(
    specs: &PolicySpecs,
    routing_key: bool,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) {
    let trust = specs.trust.as_ref();
    let gateways = routing_key && !specs.routing_key.gateways.is_empty();
    let policy = at("any_of");
    if !gateways && !trust.is_some_and(super::TrustSpec::has_bundle) {
        let problem = format!("is missing, and {policy} or all_of accepts client certificates");
        let fix = "write the path of a PEM file with the CAs that sign them";
        errors.add("trust.bundle", problem, fix);
    }
    if !gateways && trust.is_none_or(|trust| trust.san.is_empty()) {
        let problem = format!("is missing, and {policy} or all_of accepts client certificates");
        let fix = "write a template, such as spiffe://{trust_domain}/tenant/{tenant}/**";
        errors.add("trust.san", problem, fix);
    }
}

fn anonymous_placement(
    spec: &PolicySpec,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) -> Option<Text> {
    if spec.mode != Mode::Permissive {
        return None;
    }
    let Some(placement) = &spec.anonymous_placement else {
        let problem = "is missing, and mode is \"permissive\"";
        let fix = "name the placement where requests without credentials go";
        errors.add(at("anonymous_placement"), problem, fix);
        return None;
    };
    errors.text(&at("anonymous_placement"), placement)
}

/// The identity given to requests without verified credentials.
fn unverified_identity(
    spec: &PolicySpec,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) -> Identity {
    if spec.mode != Mode::Disabled {
        return Identity::default();
    }
    if !spec.allow_insecure {
        let problem = "is not set, and mode is \"disabled\"";
        let fix = "write allow_insecure = true to let every request pass unverified, \
                   or mode = \"required\"";
        errors.add(at("allow_insecure"), problem, fix);
    }
    let Some(insecure) = &spec.insecure_identity else {
        let problem = "is missing, and mode is \"disabled\"";
        let fix = "write the identity that every request gets: { tenant = \"...\" }";
        errors.add(at("insecure_identity"), problem, fix);
        return Identity::default();
    };
    let InsecureSpec {
        tenant,
        subject,
        tier,
        roles,
        scopes,
    } = insecure;
    // Any string, like a token's subject.
    let subject = subject.as_ref().map(|subject| Text::encode(subject));
    if let Some(Err(why)) = &subject {
        let setting = at("insecure_identity.subject");
        errors.add(setting, why.to_string(), "write another value");
    }
    let mut text =
        |member: &str, value: &str| errors.text(&at(&format!("insecure_identity.{member}")), value);
    Identity {
        tenant: text("tenant", tenant),
        subject: subject.and_then(Result::ok),
        tier: tier.as_ref().and_then(|t| text("tier", t)),
        roles: roles.iter().filter_map(|r| text("roles", r)).collect(),
        scopes: scopes.iter().map(|scope| scope.as_str().into()).collect(),
        ..Identity::default()
    }
}

/// The tenants that one of `count` issuers or trust domains may speak for.
fn speaks(spec: Option<&SpeaksSpec>, count: usize, setting: &str, errors: &mut Errors) -> Speaks {
    const FIX: &str = "list the tenants, or write tenants = \"registry\" where every tenant's \
                       `issuer` in the registry says who speaks for it";
    match spec {
        None if count > 1 => {
            let problem = format!(
                "is missing, and there are {count}: without it, each could speak for the tenants of \
                 the others"
            );
            errors.add(setting, problem, FIX);
            Speaks::Any
        }
        None => Speaks::Any,
        Some(SpeaksSpec::Word(word)) if word == "registry" => Speaks::Registry,
        Some(SpeaksSpec::Word(word)) => {
            errors.add(
                setting,
                format!("{word:?} is neither a list nor \"registry\""),
                FIX,
            );
            Speaks::Registry
        }
        Some(SpeaksSpec::Listed(tenants)) => {
            if tenants.is_empty() {
                errors.add(setting, "is empty", FIX);
            }
            Speaks::Listed(
                tenants
                    .iter()
                    .filter_map(|t| errors.text(setting, t))
                    .collect(),
            )
        }
    }
}
