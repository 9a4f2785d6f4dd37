//! The file of cases, as it is written.

mod offset;
mod time;

use std::collections::BTreeMap;

use cellway_core::Unix;
use cellway_core::policy::OneOrMany;
use cellway_router::config::Tables;
use serde::Deserialize;
use toml::Table;
use toml::value::Datetime;

pub(crate) use self::offset::Offset;
pub(crate) use self::time::unix;

/// The time of all decisions, if the file has none: 2026-01-01T00:00:00Z.
const NOW_DEFAULT: Unix = Unix::from_secs(1_767_225_600);

/// The longest name of a caller or a request, in characters.
const NAME_CHARS_MAX: usize = 60;

/// The whole file.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cases {
    /// The time of all decisions.
    now: Option<Datetime>,
    /// The registry's document, relative to this file. It replaces the source in the configuration.
    pub(crate) registry: Option<String>,
    /// The listener of requests that name none.
    pub(crate) listener: Option<String>,
    /// The host of requests that name none.
    #[serde(default = "host")]
    pub(crate) host: String,
    /// Issuers whose keys can't be fetched.
    #[serde(default)]
    pub(crate) unreachable_issuers: Vec<String>,
    /// Cells to which the router can't connect.
    #[serde(default)]
    pub(crate) unreachable_cells: Vec<String>,
    #[serde(default)]
    pub(crate) caller: Vec<CallerTable>,
    #[serde(default)]
    pub(crate) request: Vec<RequestTable>,
}

/// One `[[caller]]`: who asks, with which credentials.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallerTable {
    pub(crate) name: String,
    pub(crate) token: Option<TokenTable>,
    pub(crate) certificate: Option<CertificateTable>,
    pub(crate) routing_key: Option<RoutingKeyTable>,
    pub(crate) cba: Option<CbaTable>,
    /// Sent with each request.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, OneOrMany>,
    /// The names of the requests that this caller sends. Absent: all.
    pub(crate) requests: Option<Vec<String>>,
}

/// A bearer token.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenTable {
    /// The name of an `[[issuer]]`. It may be left out if there is only one.
    pub(crate) issuer: Option<String>,
    /// The claims besides the usual ones, or instead of them.
    #[serde(default)]
    pub(crate) claims: Table,
    /// The caller whose certificate the token is bound to.
    pub(crate) bound_to: Option<String>,
    #[serde(default)]
    pub(crate) without: Vec<String>,
    pub(crate) algorithm: Option<String>,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
    pub(crate) signed_by: Option<String>,
}

/// A client certificate.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateTable {
    /// Its URI, DNS and IP names.
    pub(crate) sans: Vec<String>,
    /// The trust domain whose CA signs it, or `stranger`. Absent: the CA that is trusted for its name.
    pub(crate) signed_by: Option<String>,
    #[serde(default = "an_hour_ago")]
    pub(crate) starts: Offset,
    #[serde(default = "in_an_hour")]
    pub(crate) expires: Offset,
    #[serde(default)]
    pub(crate) usage: UsageWord,
    /// Whether a revocation list names it.
    #[serde(default)]
    pub(crate) revoked: bool,
}

/// What a certificate may be used for.
#[derive(Deserialize, Clone, Copy, Debug, Default)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UsageWord {
    #[default]
    Client,
    Server,
    Both,
}

/// A routing key, signed if there is a signer.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoutingKeyTable {
    pub(crate) key: String,
    /// The kid of a `[[routing_key.signer]]`.
    pub(crate) signer: Option<String>,
    /// `stranger`: another key than that signer's.
    pub(crate) signed_by: Option<String>,
    /// When it was signed.
    #[serde(default)]
    pub(crate) signed: Offset,
}

/// A cell-bound authorization.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct CbaTable {
    /// The cell that makes it.
    pub(crate) from: String,
    /// The cell that it is for.
    pub(crate) to: String,
    #[serde(default)]
    pub(crate) claims: Table,
    #[serde(default)]
    pub(crate) without: Vec<String>,
    pub(crate) algorithm: Option<String>,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
    pub(crate) signed_by: Option<String>,
}

/// One `[[request]]`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestTable {
    pub(crate) name: String,
    pub(crate) method: Option<String>,
    #[serde(default = "root")]
    pub(crate) path: String,
    pub(crate) host: Option<String>,
    pub(crate) listener: Option<String>,
    /// A gRPC call: a POST with the content type of gRPC.
    #[serde(default)]
    pub(crate) grpc: bool,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, OneOrMany>,
    /// The names of the callers that send it. Absent: all.
    pub(crate) callers: Option<Vec<String>>,
}

fn host() -> String {
    "localhost".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

fn an_hour_ago() -> Offset {
    Offset::secs(-3_600)
}

fn in_an_hour() -> Offset {
    Offset::secs(3_600)
}

impl Cases {
    /// The time of all decisions.
    pub(crate) fn now(&self, mistakes: &mut Tables) -> Unix {
        let Some(now) = &self.now else {
            return NOW_DEFAULT;
        };
        unix(now).unwrap_or_else(|| {
            let fix = "write date, time and zone: 2026-01-01T00:00:00Z";
            mistakes.mistake("now", format!("{now} is not a moment after 1970"), fix);
            NOW_DEFAULT
        })
    }

    /// Whether there is a row for this caller and request.
    pub(crate) fn is_asked(caller: &CallerTable, request: &RequestTable) -> bool {
        let has = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref()
                .is_none_or(|list| list.iter().any(|listed| listed == name))
        };
        has(&caller.requests, &request.name) && has(&request.callers, &caller.name)
    }

    /// Notes names that can't be told apart, or that nobody has.
    pub(crate) fn check_names(&self, mistakes: &mut Tables) {
        let callers: Vec<_> = self.caller.iter().map(|it| it.name.as_str()).collect();
        let requests: Vec<_> = self.request.iter().map(|it| it.name.as_str()).collect();
        check_names("caller", &callers, mistakes);
        check_names("request", &requests, mistakes);
        let mut known = true;
        for (at, caller) in self.caller.iter().enumerate() {
            let setting = format!("caller[{at}].requests");
            known &= check_listed(&setting, caller.requests.as_deref(), &requests, mistakes);
        }
        for (at, request) in self.request.iter().enumerate() {
            let setting = format!("request[{at}].callers");
            known &= check_listed(&setting, request.callers.as_deref(), &callers, mistakes);
        }
        let mut pairs = self.caller.iter().flat_map(|caller| {
            let requests = self.request.iter();
            requests.map(move |request| (caller, request))
        });
        if known && !pairs.any(|(caller, request)| Self::is_asked(caller, request)) {
            let fix = "add a [[caller]] and a [[request]]; docs/decide.md shows how";
            mistakes.mistake("", "there are no cases", fix);
        }
    }
}

/// Tables have these names in columns that two spaces divide.
fn check_names(table: &str, names: &[&str], mistakes: &mut Tables) {
    for (at, name) in names.iter().enumerate() {
        let setting = format!("{table}[{at}].name");
        let is_plain = !name.is_empty()
            && name.trim() == *name
            && !name.contains("  ")
            && !name.chars().any(char::is_control);
        if !is_plain || name.chars().count() > NAME_CHARS_MAX {
            let fix = format!(
                "write one line of at most {NAME_CHARS_MAX} characters, with single spaces"
            );
            mistakes.mistake(&setting, format!("{name:?} doesn't fit a column"), fix);
        } else if let Some(first) = names[..at].iter().position(|other| other == name) {
            let problem = format!("{name:?} is the name of {table}[{first}] too");
            mistakes.mistake(&setting, problem, "give each its own name");
        }
    }
}

/// Notes names that nobody has. Returns whether there were none.
fn check_listed(
    setting: &str,
    listed: Option<&[String]>,
    known: &[&str],
    mistakes: &mut Tables,
) -> bool {
    let mut all = true;
    for (at, name) in listed.unwrap_or_default().iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let problem = format!("nothing here has the name {name:?}");
            mistakes.mistake(
                &format!("{setting}[{at}]"),
                problem,
                meant(name, known.iter().copied()),
            );
            all = false;
        }
    }
    all
}

/// What a name that isn't known was probably meant to be.
pub(crate) fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.collect();
    match cellway_core::words::closest(name, &known) {
        Some(close) => format!("did you mean {close:?}?"),
        None if known.is_empty() => "there is none".to_owned(),
        None => format!("known: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests;
