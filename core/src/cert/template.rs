//! Templates that turn a SAN into a tenant, a service, a cell, or several of them.
//!
//! A template with `://` matches URI SANs. Any other template matches DNS SANs:
//!
//! - `spiffe://{trust_domain}/tenant/{tenant}/**`: `{trust_domain}` stands for the configured trust
//!   domains, `{tenant}` for one path segment, `*` for any one segment, and a `**` at the end for
//!   any number of them, none included.
//! - `{tenant}.clients.example`: `{tenant}` stands for one label.
//!
//! `{service}` and `{cell}` can be used like `{tenant}`, instead of it or together with it. The
//! certificate's owner is then that service or cell. A certificate that names no tenant identifies
//! the caller only.

use std::fmt;

use crate::text::Text;

use super::PeerCertificate;

const SCHEME: &str = "spiffe://";
/// The most bytes of a SPIFFE ID, and of its trust domain (SPIFFE ID, sections 2.1 and 2.3).
const SPIFFE_ID_LEN_MAX: usize = 2048;
const TRUST_DOMAIN_LEN_MAX: usize = 255;

/// The templates of `[trust] san`, parsed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SanTemplates {
    uris: Vec<UriTemplate>,
    dns_names: Vec<DnsTemplate>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct UriTemplate {
    /// The trust domains that the SAN may name.
    trust_domains: Vec<Text>,
    path: Vec<Part>,
    /// The template ends with `**`.
    open: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct DnsTemplate {
    labels: Vec<Part>,
}

/// A path segment or a label.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Literal(Box<str>),
    Tenant,
    Service,
    Cell,
    Any,
}

/// What a template finds in a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct NameMatch<'a> {
    tenant: Option<&'a str>,
    service: Option<&'a str>,
    cell: Option<&'a str>,
}

/// What a certificate's SAN says. It names a tenant, a service or a cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Accepted {
    pub(crate) tenant: Option<Text>,
    pub(crate) service: Option<Text>,
    pub(crate) cell: Option<Text>,
    /// The SAN itself.
    pub(crate) subject: Text,
    /// Where the SAN is a SPIFFE ID.
    pub(crate) trust_domain: Option<Text>,
}

/// Why a template or a trust domain is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TemplateError(&'static str);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for TemplateError {}

impl SanTemplates {
    /// Whether there is no template, so that no certificate is accepted.
    pub fn is_empty(&self) -> bool {
        self.uris.is_empty() && self.dns_names.is_empty()
    }

    /// Whether there is a template for URI SANs.
    pub(crate) fn any_uri(&self) -> bool {
        !self.uris.is_empty()
    }

    /// Whether there is a template for DNS SANs, which name no trust domain.
    pub(crate) fn any_dns(&self) -> bool {
        !self.dns_names.is_empty()
    }

    /// Whether a certificate can name a cell at all.
    pub(crate) fn any_cell(&self) -> bool {
        let uris = self.uris.iter().map(|template| &template.path);
        let dns_names = self.dns_names.iter().map(|template| &template.labels);
        uris.chain(dns_names)
            .any(|parts| parts.contains(&Part::Cell))
    }

    /// Whether a template accepts names of this trust domain.
    pub(crate) fn any_of_domain(&self, name: &str) -> bool {
        let of = |uri: &UriTemplate| uri.trust_domains.iter().any(|domain| *domain == *name);
        self.uris.iter().any(of)
    }

    /// Whether a template accepts cells of more than one trust domain.
    pub(crate) fn cell_of_any_domain(&self) -> bool {
        let of_any = |uri: &UriTemplate| uri.trust_domains.len() > 1;
        self.uris
            .iter()
            .any(|uri| of_any(uri) && uri.path.contains(&Part::Cell))
    }

    /// Adds a template.
    ///
    /// # Errors
    /// [`TemplateError`]; nothing is added then.
    pub(crate) fn add(
        &mut self,
        template: &str,
        trust_domains: &[Text],
    ) -> Result<(), TemplateError> {
        match template.split_once("://") {
            Some(_) => self.uris.push(UriTemplate::parse(template, trust_domains)?),
            None => self.dns_names.push(DnsTemplate::parse(template)?),
        }
        Ok(())
    }

    /// Reads the identity in the certificate's names.
    ///
    /// If there are URI templates, only the URI SAN of a certificate with one is used. A
    /// certificate with two isn't an SVID.
    pub(crate) fn accept(&self, certificate: &PeerCertificate) -> Result<Accepted, &'static str> {
        match &*certificate.uris {
            [] => self.accept_dns(&certificate.dns_names),
            _ if self.uris.is_empty() => self.accept_dns(&certificate.dns_names),
            [uri] => self.accept_uri(uri),
            _ => Err("the client certificate has more than one URI SAN"),
        }
    }

    fn accept_uri(&self, uri: &str) -> Result<Accepted, &'static str> {
        let id = SpiffeId::parse(uri).ok_or("the URI SAN is not a SPIFFE ID")?;
        let mut matches = self.uris.iter().filter_map(|template| template.find(&id));
        let (named, trust_domain) = matches.next().ok_or("the URI SAN matches no template")?;
        if matches.any(|(other, _)| other != named) {
            return Err("the URI SAN matches several templates, which name different callers");
        }
        Ok(Accepted {
            tenant: text(named.tenant).ok_or("the tenant in the URI SAN is too long")?,
            service: text(named.service).ok_or("the service in the URI SAN is too long")?,
            cell: text(named.cell).ok_or("the cell in the URI SAN is too long")?,
            subject: Text::id(uri).map_err(|_| "the URI SAN is too long")?,
            trust_domain: Some(trust_domain.clone()),
        })
    }

    fn accept_dns(&self, names: &[Box<str>]) -> Result<Accepted, &'static str> {
        let mut accepted: Option<Accepted> = None;
        for name in names {
            let name = name.to_ascii_lowercase();
            let mut matches = self.dns_names.iter().filter_map(|t| t.find(&name));
            let Some(named) = matches.next() else {
                continue;
            };
            if matches.any(|other| other != named) {
                return Err("the DNS SANs name different callers");
            }
            let found = Accepted {
                tenant: text(named.tenant).ok_or("the tenant in the DNS SAN is bad")?,
                service: text(named.service).ok_or("the service in the DNS SAN is bad")?,
                cell: text(named.cell).ok_or("the cell in the DNS SAN is bad")?,
                subject: Text::new(&name).map_err(|_| "the DNS SAN is too long")?,
                trust_domain: None,
            };
            match &accepted {
                None => accepted = Some(found),
                Some(first) if first.names_same(&found) => {}
                Some(_) => return Err("the DNS SANs name different callers"),
            }
        }
        accepted.ok_or("the client certificate has no SAN that matches a template")
    }
}

impl Accepted {
    fn names_same(&self, other: &Self) -> bool {
        (&self.tenant, &self.service, &self.cell) == (&other.tenant, &other.service, &other.cell)
    }
}

impl UriTemplate {
    fn parse(template: &str, configured: &[Text]) -> Result<Self, TemplateError> {
        let rest = template.strip_prefix(SCHEME);
        let rest = rest.ok_or(TemplateError("a URI template must begin with spiffe://"))?;
        let (authority, path) = rest.split_once('/').ok_or(TemplateError("has no path"))?;
        let trust_domains = match authority {
            "{trust_domain}" if configured.is_empty() => {
                return Err(TemplateError(
                    "{trust_domain} has no value, because trust_domains is empty",
                ));
            }
            "{trust_domain}" => configured.to_vec(),
            literal => match configured.iter().find(|domain| **domain == *literal) {
                Some(domain) => vec![domain.clone()],
                None => return Err(TemplateError("its trust domain is not in trust_domains")),
            },
        };
        let (path, open) = match path.strip_suffix("/**") {
            Some(path) => (path, true),
            None => (path, false),
        };
        let path = path
            .split('/')
            .map(|part| Part::parse(part, is_segment))
            .collect::<Result<Vec<_>, _>>()?;
        check_names(&path)?;
        Ok(Self {
            trust_domains,
            path,
            open,
        })
    }

    /// What it names, and the trust domain, if the id matches.
    fn find<'a>(&'a self, id: &SpiffeId<'a>) -> Option<(NameMatch<'a>, &'a Text)> {
        let domain = self
            .trust_domains
            .iter()
            .find(|d| **d == *id.trust_domain)?;
        let mut segments = id.path.split('/');
        let named = find(&self.path, &mut segments)?;
        (self.open || segments.next().is_none()).then_some((named, domain))
    }
}

impl DnsTemplate {
    fn parse(template: &str) -> Result<Self, TemplateError> {
        let labels = template
            .split('.')
            .map(|part| Part::parse(part, is_label))
            .collect::<Result<Vec<_>, _>>()?;
        check_names(&labels)?;
        if labels.len() < 2 {
            return Err(TemplateError("would match any name of one label"));
        }
        Ok(Self { labels })
    }

    /// What it names, if the name (in lower case) matches.
    fn find<'a>(&self, name: &'a str) -> Option<NameMatch<'a>> {
        let mut labels = name.split('.');
        let named = find(&self.labels, &mut labels)?;
        // A wildcard's `*` is not a label, so it is never a tenant.
        (labels.next().is_none() && name.split('.').all(is_label)).then_some(named)
    }
}

impl Part {
    fn parse(part: &str, is_literal: fn(&str) -> bool) -> Result<Self, TemplateError> {
        match part {
            "{tenant}" => Ok(Self::Tenant),
            "{service}" => Ok(Self::Service),
            "{cell}" => Ok(Self::Cell),
            "*" => Ok(Self::Any),
            literal if is_literal(literal) => Ok(Self::Literal(literal.into())),
            _ => Err(TemplateError(
                "each part must be a plain word, {tenant}, {service}, {cell} or *; ** may stand at the \
                 end of a path",
            )),
        }
    }
}

fn check_names(parts: &[Part]) -> Result<(), TemplateError> {
    let count = |wanted: Part| parts.iter().filter(|part| **part == wanted).count();
    let counts = [Part::Tenant, Part::Service, Part::Cell].map(count);
    if counts.contains(&1) && counts.iter().all(|count| *count <= 1) {
        return Ok(());
    }
    Err(TemplateError(
        "must contain {tenant}, {service} or {cell}, each at most once",
    ))
}

/// Matches `parts` against the beginning of `values`, and returns those that it names.
fn find<'a>(parts: &[Part], values: &mut impl Iterator<Item = &'a str>) -> Option<NameMatch<'a>> {
    let mut named = NameMatch::default();
    for part in parts {
        let value = values.next()?;
        match part {
            Part::Literal(literal) if **literal != *value => return None,
            Part::Tenant => named.tenant = Some(value),
            Part::Service => named.service = Some(value),
            Part::Cell => named.cell = Some(value),
            Part::Literal(_) | Part::Any => {}
        }
    }
    Some(named)
}

/// A name as text, if there is one; `None` if it can't be.
fn text(name: Option<&str>) -> Option<Option<Text>> {
    match name {
        None => Some(None),
        Some(name) => Text::new(name).ok().map(Some),
    }
}

pub(super) struct SpiffeId<'a> {
    pub(super) trust_domain: &'a str,
    /// Without the first slash.
    path: &'a str,
}

impl<'a> SpiffeId<'a> {
    /// Reads an id as SPIFFE ID, section 2, has it: no user, port, query, fragment or
    /// percent-encoding, and a path without empty or dot segments.
    pub(super) fn parse(uri: &'a str) -> Option<Self> {
        if uri.len() > SPIFFE_ID_LEN_MAX {
            return None;
        }
        let (trust_domain, path) = uri.strip_prefix(SCHEME)?.split_once('/')?;
        (is_trust_domain(trust_domain) && path.split('/').all(is_segment))
            .then_some(Self { trust_domain, path })
    }

    /// The trust domain of an id that has no path, which is an authority's.
    pub(super) fn authority(uri: &'a str) -> Option<&'a str> {
        uri.strip_prefix(SCHEME)
            .filter(|name| is_trust_domain(name))
    }
}

/// The trust domain of a SPIFFE ID.
pub(crate) fn spiffe_trust_domain(uri: &str) -> Option<&str> {
    SpiffeId::parse(uri).map(|id| id.trust_domain)
}

/// Whether `name` is a DNS name in lower case, of two labels or more and without a wildcard.
pub(crate) fn is_dns_name(name: &str) -> bool {
    name.contains('.') && name.split('.').all(is_label)
}

/// Whether `name` can be a SPIFFE trust domain.
pub(crate) fn is_trust_domain(name: &str) -> bool {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    (1..=TRUST_DOMAIN_LEN_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

fn is_segment(segment: &str) -> bool {
    let allowed = |b: u8| matches!(b, b'.' | b'-' | b'_') || b.is_ascii_alphanumeric();
    !matches!(segment, "" | "." | "..") && segment.bytes().all(allowed)
}

fn is_label(label: &str) -> bool {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=63).contains(&label.len()) && label.bytes().all(allowed)
}
