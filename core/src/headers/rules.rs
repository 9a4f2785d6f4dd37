//! The names of the router's own headers.

use std::collections::BTreeMap;
use std::fmt;

use http::header::HeaderName;
use serde::{Deserialize, Serialize};

use super::names::{self, normalized};
use crate::evidence::Credentials;
use crate::routing_key;

/// The values that the router sends to a cell, in the order of stamping. A header's name is the
/// configured prefix and this, unless it is renamed.
pub const STAMP_NAMES: [&str; 9] = [
    "cell",
    "tenant",
    "sub",
    "workspace",
    "org",
    "roles",
    "auth",
    "placement-epoch",
    "request-id",
];

/// The header with the authorization of a cell that calls another cell.
pub const CELL_BOUND_AUTHORIZATION: &str = "cell-bound-authorization";

/// The header that carries an envelope, after the prefix.
const ENVELOPE: &str = "envelope";

/// The headers of an envelope under a shared key, after the prefix. Each form uses six of them: the
/// form `hmac` all but the first, the form `compatible` all but the cell.
const ENVELOPE_SHARED: [&str; 7] = [
    "envelope-alg",
    "envelope-kid",
    "envelope-cell",
    "envelope-issued",
    "envelope-expires",
    "envelope-claims",
    "envelope-signature",
];

/// Headers outside the prefix that are removed from every request: those that other parts of
/// Cellway use as evidence, and those in which proxies report a client certificate that the router
/// hasn't verified.
const RESERVED: [&str; 4] = [
    routing_key::HEADER,
    "x-routing-key-signature",
    CELL_BOUND_AUTHORIZATION,
    "x-forwarded-client-cert",
];

/// Names that the router's headers must not have: they have a meaning in HTTP or are forwarding
/// fields.
const NOT_RENAMEABLE_TO: [&str; 20] = [
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// The `[headers]` table of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderSpec {
    /// The prefix of all the router's headers: `x-`, a word, `-`.
    pub prefix: String,
    /// Other names for single headers, by their name after the prefix: `{ cell = "x-cell" }`.
    pub rename: BTreeMap<String, String>,
    /// The header by which a client whose token names several tenants picks one.
    /// Unset: the prefix and `select-tenant`.
    pub tenant_choice: Option<String>,
}

impl Default for HeaderSpec {
    fn default() -> Self {
        Self {
            prefix: "x-cellway-".to_owned(),
            rename: BTreeMap::new(),
            tenant_choice: None,
        }
    }
}

/// A mistake in the `[headers]` table.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HeaderSpecError {
    /// The setting's path, such as `headers.rename.cell`.
    pub setting: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for HeaderSpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

impl std::error::Error for HeaderSpecError {}

/// The checked names of the router's own headers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeaderRules {
    /// The prefix, normalized.
    prefix: Box<[u8]>,
    /// The router's names outside the prefix, normalized.
    reserved: Vec<Box<[u8]>>,
    stamps: [HeaderName; STAMP_NAMES.len()],
    tenant_choice: HeaderName,
    routing_key: HeaderName,
    routing_key_signature: HeaderName,
    owner: HeaderName,
    reason: HeaderName,
    explain: HeaderName,
    explanation: HeaderName,
    failover: HeaderName,
    envelope: HeaderName,
    envelope_hmac: [HeaderName; 6],
    envelope_compatible: [HeaderName; 6],
}

impl Default for HeaderRules {
    #[expect(clippy::expect_used, reason = "a test builds the default rules")]
    fn default() -> Self {
        Self::new(&HeaderSpec::default()).expect("the default names are valid")
    }
}

impl HeaderRules {
    /// Joins what a request carries under these names with what was taken from it under the names of
    /// `before`. A credential whose header has another name now counts only under the new one.
    pub fn renamed(&self, before: &Self, taken: Credentials, now: Credentials) -> Credentials {
        let mut credentials = taken;
        if self.tenant_choice != before.tenant_choice {
            credentials.tenant_choice = now.tenant_choice;
        }
        if self.routing_key != before.routing_key {
            credentials.routing_key = now.routing_key;
        }
        if self.routing_key_signature != before.routing_key_signature {
            credentials.routing_key_signature = now.routing_key_signature;
        }
        credentials
    }

    /// Checks the names.
    ///
    /// # Errors
    /// Every mistake there is, not only the first.
    pub fn new(spec: &HeaderSpec) -> Result<Self, Vec<HeaderSpecError>> {
        let mut errors = Vec::new();
        if let Err(problem) = check_prefix(&spec.prefix) {
            errors.push(HeaderSpecError {
                setting: "headers.prefix".into(),
                problem,
            });
            return Err(errors);
        }
        check_renamed(spec, &mut errors);
        let mut own = |short: &str| match spec.rename.get(short) {
            Some(name) => named(name, &format!("headers.rename.{short}"), &mut errors),
            None => prefixed(&spec.prefix, short),
        };
        let stamps = STAMP_NAMES.map(&mut own);
        let envelope = own(ENVELOPE);
        let envelope_shared = ENVELOPE_SHARED.map(&mut own);
        let tenant_choice = match &spec.tenant_choice {
            Some(name) => named(name, "headers.tenant_choice", &mut errors),
            None => prefixed(&spec.prefix, "select-tenant"),
        };
        let own = stamps.iter().chain([&envelope]).chain(&envelope_shared);
        let own: Vec<&str> = own
            .chain([&tenant_choice])
            .map(HeaderName::as_str)
            .collect();
        check_distinct(&own, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let prefix = normalized(&spec.prefix);
        let reserved = own.into_iter().chain(RESERVED).map(normalized);
        // The prefix covers the others, and every field's name is compared with each of these.
        let reserved = reserved.filter(|name| !name.starts_with(&prefix)).collect();
        let [alg, kid, cell, issued, expires, claims, signature] = envelope_shared;
        let rest = [issued, expires, claims, signature];
        let [issued, expires, claims, signature] = rest.clone();
        let envelope_compatible = [alg, kid.clone(), issued, expires, claims, signature];
        let [issued, expires, claims, signature] = rest;
        Ok(Self {
            reserved,
            routing_key: HeaderName::from_static(routing_key::HEADER),
            routing_key_signature: HeaderName::from_static(RESERVED[1]),
            owner: prefixed(&spec.prefix, "owner"),
            reason: prefixed(&spec.prefix, "reason"),
            explain: prefixed(&spec.prefix, "explain"),
            explanation: prefixed(&spec.prefix, "explanation"),
            failover: prefixed(&spec.prefix, "failover"),
            envelope,
            envelope_hmac: [kid, cell, issued, expires, claims, signature],
            envelope_compatible,
            prefix,
            stamps,
            tenant_choice,
        })
    }

    /// Changes the name of the routing key's header, and so of its signature's. The default names
    /// stay reserved, so that a cell with an old configuration never gets them from a client.
    ///
    /// # Errors
    /// The name is invalid, has a meaning in HTTP, or is one of the router's other headers.
    pub fn with_routing_key(mut self, header: &str) -> Result<Self, HeaderSpecError> {
        const SETTING: &str = "routing_key.header";
        let mut errors = Vec::new();
        let signature = format!("{header}{}", routing_key::SIGNATURE_SUFFIX);
        let names = [header, &signature].map(|name| named(name, SETTING, &mut errors));
        if let Some(error) = errors.into_iter().next() {
            return Err(error);
        }
        let others = self.stamps.iter().chain([&self.tenant_choice]);
        let others: Vec<_> = others.map(|name| normalized(name.as_str())).collect();
        for name in &names {
            let folded = normalized(name.as_str());
            let usual = [routing_key::HEADER, RESERVED[1]].contains(&name.as_str());
            if others.contains(&folded) || (self.reserves(name) && !usual) {
                return Err(HeaderSpecError {
                    setting: SETTING.to_owned(),
                    problem: format!("\"{name}\" is another header of the router's own"),
                });
            }
        }
        self.reserved
            .extend(names.iter().map(|name| normalized(name.as_str())));
        [self.routing_key, self.routing_key_signature] = names;
        Ok(self)
    }

    /// Whether this name is the router's, under any spelling that a cell might read as the same:
    /// names are compared in lower case and with everything but letters and digits as `-`, because
    /// CGI, WSGI and many frameworks fold `-` and `_`.
    pub fn reserves(&self, name: &HeaderName) -> bool {
        let name = name.as_str().as_bytes();
        names::starts_with(name, &self.prefix)
            || self.reserved.iter().any(|own| names::is(name, own))
    }

    /// The header by which a client picks one of its tenants.
    pub fn tenant_choice(&self) -> &HeaderName {
        &self.tenant_choice
    }

    /// The header in which a gateway names the tenant of a request.
    pub fn routing_key(&self) -> &HeaderName {
        &self.routing_key
    }

    /// The header with its signature.
    pub fn routing_key_signature(&self) -> &HeaderName {
        &self.routing_key_signature
    }

    /// The header of an answer that says whether router or cell made it.
    pub fn owner(&self) -> &HeaderName {
        &self.owner
    }

    /// The header that names the cell, to the cell and, if a listener explains, to the client.
    pub fn cell(&self) -> &HeaderName {
        &self.stamps[0]
    }

    /// The header of a router's own answer that holds its reason.
    pub fn reason(&self) -> &HeaderName {
        &self.reason
    }

    /// The header with which an operator asks for an explanation of the decision.
    pub fn explain(&self) -> &HeaderName {
        &self.explain
    }

    /// The header of an answer that holds the explanation.
    pub fn explanation(&self) -> &HeaderName {
        &self.explanation
    }

    /// The header that says why another cell serves a request than its placement assigns: to that cell
    /// and, if a listener explains, to the client.
    pub fn failover(&self) -> &HeaderName {
        &self.failover
    }

    /// The header that carries an envelope as a JWS.
    pub fn envelope(&self) -> &HeaderName {
        &self.envelope
    }

    /// The headers of an envelope's HMAC form: kid, cell, issued, expires, claims, signature.
    pub fn envelope_hmac(&self) -> &[HeaderName; 6] {
        &self.envelope_hmac
    }

    /// The headers of an envelope's compatible form: alg, kid, issued, expires, claims, signature.
    pub fn envelope_compatible(&self) -> &[HeaderName; 6] {
        &self.envelope_compatible
    }

    /// The short name of the stamped header that `name` is under any spelling.
    pub(crate) fn stamped(&self, name: &HeaderName) -> Option<&'static str> {
        let name = normalized(name.as_str());
        let same = |stamp: &HeaderName| normalized(stamp.as_str()) == name;
        let at = self.stamps.iter().position(same)?;
        Some(STAMP_NAMES[at])
    }

    /// The headers that are set on an allowed request, in the order of [`STAMP_NAMES`].
    pub(crate) fn stamp_names(&self) -> &[HeaderName; STAMP_NAMES.len()] {
        &self.stamps
    }

    /// The header that carries the request's id, to the cell and back to the client.
    pub fn request_id(&self) -> &HeaderName {
        &self.stamps[STAMP_NAMES.len() - 1]
    }
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    let word = prefix
        .strip_prefix("x-")
        .and_then(|rest| rest.strip_suffix('-'));
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match word {
        Some(word) if !word.is_empty() && word.len() <= 64 && word.bytes().all(fine) => Ok(()),
        _ => Err(format!(
            "\"{prefix}\" must be \"x-\", a word of lower-case letters and digits, and \"-\", \
             such as \"x-cellway-\": everything under it is removed from clients' requests"
        )),
    }
}

fn named(name: &str, setting: &str, errors: &mut Vec<HeaderSpecError>) -> HeaderName {
    let mut refuse = |problem: String| {
        errors.push(HeaderSpecError {
            setting: setting.to_owned(),
            problem,
        });
        HeaderName::from_static("x-invalid")
    };
    if NOT_RENAMEABLE_TO.contains(&name.to_ascii_lowercase().as_str()) {
        return refuse(format!(
            "\"{name}\" has a meaning of its own; choose another name"
        ));
    }
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) => name,
        Err(_) => refuse(format!("\"{name}\" is not a header name")),
    }
}

#[expect(
    clippy::expect_used,
    reason = "a checked prefix and a known word are a header name"
)]
fn prefixed(prefix: &str, short: &str) -> HeaderName {
    HeaderName::try_from(format!("{prefix}{short}")).expect("a checked prefix and a known word")
}

/// Checks that `rename` names headers of the router.
fn check_renamed(spec: &HeaderSpec, errors: &mut Vec<HeaderSpecError>) {
    let known: Vec<&str> = renameable().collect();
    let unknown = spec.rename.keys().filter(|key| !known.contains(&&***key));
    errors.extend(unknown.map(|unknown| HeaderSpecError {
        setting: format!("headers.rename.{unknown}"),
        problem: format!("there is no such header; known are {}", known.join(", ")),
    }));
}

/// The names that `rename` accepts.
fn renameable() -> impl Iterator<Item = &'static str> {
    STAMP_NAMES
        .into_iter()
        .chain([ENVELOPE])
        .chain(ENVELOPE_SHARED)
}

/// Checks that these names are all different: those that can be renamed, then the tenant header.
fn check_distinct(names: &[&str], errors: &mut Vec<HeaderSpecError>) {
    let reserved = RESERVED.iter().map(|name| (normalized(name), *name));
    let mut seen: BTreeMap<_, _> = reserved.collect();
    for (name, short) in names.iter().zip(renameable().chain(["select-tenant"])) {
        // The tenant header may be named like the routing key, for another router at the cell,
        // unless this router reads routing keys itself: see `with_routing_key`.
        let passed_on = short == "tenant" && *name == routing_key::HEADER;
        if let Some(other) = seen.insert(normalized(name), short)
            && !passed_on
        {
            errors.push(HeaderSpecError {
                setting: "headers.rename".to_owned(),
                problem: format!("\"{name}\" stands for both {other} and {short}"),
            });
        }
    }
}
