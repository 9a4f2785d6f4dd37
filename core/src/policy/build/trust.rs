//! `[trust]`.

use std::collections::BTreeMap;

use crate::cert::{SanTemplates, is_trust_domain};
use crate::text::Text;

use super::super::{BoundTrustDomainSpec, TrustDomainSpec, TrustSpec};
use super::{Errors, Speaks, TABLES_MAX, speaks};

/// The most files with revocation lists.
const CRL_FILES_MAX: usize = 64;

/// The client certificates that are trusted.
#[derive(Default)]
pub(super) struct Trust {
    pub(super) sans: SanTemplates,
    pub(super) domains: BTreeMap<Text, Speaks>,
}

pub(super) fn trust(spec: Option<&TrustSpec>, errors: &mut Errors) -> Trust {
    let Some(spec) = spec else {
        return Trust::default();
    };
    if spec.bundle.as_ref().is_some_and(String::is_empty) {
        errors.add("trust.bundle", "is empty", "write the path of a PEM file");
    }
    if spec.crl.len() > CRL_FILES_MAX {
        let fix = format!("write at most {CRL_FILES_MAX}; a file may hold several lists");
        errors.add("trust.crl", "has too many entries", fix);
    }
    if spec.crl.iter().any(String::is_empty) {
        errors.add("trust.crl", "has an empty path", "write paths of files");
    }
    if !spec.crl.is_empty() && !spec.has_bundle() {
        let fix = "set it, or leave trust.crl out";
        errors.add(
            "trust.bundle",
            "is missing, and there are lists of revoked certificates",
            fix,
        );
    }
    let domains = domains(&spec.trust_domains, errors);
    let names: Vec<Text> = domains.keys().cloned().collect();
    let mut sans = SanTemplates::default();
    for (i, template) in spec.san.iter().enumerate() {
        if let Err(why) = sans.add(template, &names) {
            let fix = "write one like spiffe://{trust_domain}/tenant/{tenant}/** \
                       or {tenant}.clients.example";
            errors.add(
                format!("trust.san[{i}]"),
                format!("{template:?}: {why}"),
                fix,
            );
        }
    }
    if sans.cell_of_any_domain() {
        let problem = "{cell} is used with {trust_domain}, and there are several trust domains: \
                       one could impersonate a cell of another";
        errors.add(
            "trust.san",
            problem,
            "write the trust domain of the cells into the template",
        );
    }
    if sans.any_dns() && domains.len() > 1 {
        let problem =
            "there are several trust domains, and a DNS SAN does not say which one it belongs to";
        errors.add("trust.san", problem, "use URI templates only");
    }
    own_bundles(spec, &sans, errors);
    Trust { sans, domains }
}

/// Bundles of trust domains: a certificate with a SPIFFE ID must be matched by that ID, and
/// `trust.bundle` must cover the names that no trust domain's bundle covers.
fn own_bundles(spec: &TrustSpec, sans: &SanTemplates, errors: &mut Errors) {
    let own: Vec<&str> = spec.own_bundles().map(|(name, _)| name).collect();
    for name in own.iter().filter(|name| !sans.any_of_domain(name)) {
        errors.add(
            "trust.san",
            format!("no URI template matches names of {name}, which has its own bundle"),
            "write a URI template for it, or leave the trust domain out",
        );
    }
    let left = sans.any_dns() || spec.trust_domains.len() > own.len();
    if !own.is_empty() && left && spec.bundle.is_none() {
        errors.add(
            "trust.bundle",
            "is missing, and some names are not covered by the bundle of a trust domain",
            "set it, or give each trust domain its own bundle and use URI templates only",
        );
    }
}

fn domains(specs: &[TrustDomainSpec], errors: &mut Errors) -> BTreeMap<Text, Speaks> {
    let mut domains = BTreeMap::new();
    if specs.len() > TABLES_MAX {
        let fix = format!("write at most {TABLES_MAX}");
        errors.add("trust.trust_domains", "has too many entries", fix);
        return domains;
    }
    for (i, spec) in specs.iter().enumerate() {
        let setting = format!("trust.trust_domains[{i}]");
        let (name, tenants, bundle) = match spec {
            TrustDomainSpec::Name(name) => (name, None, None),
            TrustDomainSpec::Bound(BoundTrustDomainSpec {
                name,
                tenants,
                bundle,
            }) => (name, tenants.as_ref(), bundle.as_ref()),
        };
        if bundle.is_some_and(String::is_empty) {
            let fix = "write the path of a PEM file";
            errors.add(format!("{setting}.bundle"), "is empty", fix);
        }
        if !is_trust_domain(name) {
            let fix = "write lower-case letters, digits, dots, dashes and underscores only";
            errors.add(&*setting, format!("{name:?} is not a trust domain"), fix);
            continue;
        }
        let speaks = speaks(tenants, specs.len(), &format!("{setting}.tenants"), errors);
        let Some(name) = errors.text(&setting, name) else {
            continue;
        };
        if domains.insert(name, speaks).is_some() {
            errors.add(setting, "is listed twice", "write it once");
        }
    }
    domains
}
