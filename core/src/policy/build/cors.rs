//! `[policy.cors]`.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};

use super::Errors;
use crate::cors::{CorsRules, Lists, Origin, Origins};
use crate::headers::HeaderRules;
use crate::policy::CorsSpec;

/// Most origins, methods or header names of one policy.
const ENTRIES_MAX: usize = 64;
/// The longest time that browsers may remember the answer to a preflight, in seconds. No browser
/// remembers it for more than a day.
const MAX_AGE_SECS_MAX: u64 = 86_400;
/// Methods that pages can't send (Fetch standard, "forbidden method").
const FORBIDDEN: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

/// The rules of one policy. `own` are the router's header fields. Pages may always read them,
/// because they say why a request was refused.
pub(super) fn rules(
    spec: Option<&CorsSpec>,
    own: &HeaderRules,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) -> Option<Arc<CorsRules>> {
    let spec = spec?;
    for (member, len) in [
        ("origins", spec.origins.len()),
        ("methods", spec.methods.len()),
        ("headers", spec.headers.len()),
        ("expose", spec.expose.len()),
    ] {
        if len > ENTRIES_MAX {
            let setting = at(&format!("cors.{member}"));
            errors.add(
                setting,
                format!("has {len} entries"),
                format!("list at most {ENTRIES_MAX}"),
            );
            return None;
        }
    }
    if spec.max_age_secs > MAX_AGE_SECS_MAX {
        let problem = format!("is over {MAX_AGE_SECS_MAX}");
        errors.add(at("cors.max_age_secs"), problem, "write at most one day");
    }
    let origins = origins(spec, at, errors);
    let methods = methods(spec, at, errors);
    let headers = names(&spec.headers, &at("cors.headers"), errors);
    let mut expose = names(&spec.expose, &at("cors.expose"), errors);
    expose.extend([own.owner(), own.reason(), own.request_id()].map(HeaderName::clone));
    Some(Arc::new(CorsRules {
        lists: Lists {
            methods: list(methods.iter().map(Method::as_str)),
            headers: list(headers.iter().map(HeaderName::as_str)),
            expose: list(expose.iter().map(HeaderName::as_str)),
            max_age: HeaderValue::from(spec.max_age_secs),
        },
        origins,
        methods,
        headers,
        credentials: spec.credentials,
    }))
}

/// Tokens with commas between them. They are always a valid header value.
fn list<'a>(tokens: impl Iterator<Item = &'a str>) -> HeaderValue {
    let tokens: Vec<_> = tokens.collect();
    HeaderValue::try_from(tokens.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn origins(spec: &CorsSpec, at: &dyn Fn(&str) -> String, errors: &mut Errors) -> Origins {
    let setting = at("cors.origins");
    if spec.origins.is_empty() {
        let fix = "list the origins of your pages, such as \"https://app.example\"";
        errors.add(&setting, "is missing or empty", fix);
    }
    if spec.origins.iter().any(|origin| origin == "*") {
        if spec.origins.len() > 1 {
            errors.add(
                &setting,
                "names \"*\" and other origins",
                "keep one of them",
            );
        }
        if spec.credentials {
            let problem = "is \"*\", and credentials = true";
            errors.add(
                &setting,
                problem,
                "list the origins, or set credentials = false",
            );
        }
        return Origins::Any;
    }
    let mut listed = Vec::with_capacity(spec.origins.len());
    for text in &spec.origins {
        match origin(text) {
            Ok(origin) => listed.push(origin),
            Err(fix) => errors.add(&setting, format!("{text:?} is not an origin"), fix),
        }
    }
    Origins::Listed(listed)
}

/// An origin as browsers send it, or what to write instead.
fn origin(text: &str) -> Result<Origin, String> {
    const FORM: &str = "write scheme://host or scheme://host:port in lower case, as browsers \
                        send it; \"https://*.app.example\" allows all hosts below app.example";
    let form = || FORM.to_owned();
    if text == "null" {
        let why = "list your pages' origins; sandboxed pages of anyone call themselves \"null\"";
        return Err(why.to_owned());
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let lower =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let named = host.strip_prefix("*.").unwrap_or(host);
    let sound = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => named.split('.').all(|label| !label.is_empty()) && named.bytes().all(lower),
    };
    let scheme_sound = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| lower(byte) || byte == b'+');
    if !sound || !scheme_sound || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(form());
    }
    if matches!(
        (scheme, port),
        ("https", Some("443")) | ("http", Some("80"))
    ) {
        return Err(format!(
            "browsers leave the default port out: write \"{scheme}://{host}\""
        ));
    }
    Ok(match host.strip_prefix('*') {
        None => Origin::Exact(text.into()),
        Some(below) => Origin::Below {
            scheme: format!("{scheme}://").into(),
            suffix: match port {
                None => below.into(),
                Some(port) => format!("{below}:{port}").into(),
            },
        },
    })
}

fn methods(spec: &CorsSpec, at: &dyn Fn(&str) -> String, errors: &mut Errors) -> Vec<Method> {
    let mut methods = Vec::with_capacity(spec.methods.len());
    for name in &spec.methods {
        match Method::from_bytes(name.as_bytes()) {
            Ok(method) if !FORBIDDEN.contains(&method.as_str()) && name != "*" => {
                methods.push(method);
            }
            _ => {
                let problem = format!("{name:?} is not a method that a page can send");
                errors.add(at("cors.methods"), problem, "list methods such as \"PUT\"");
            }
        }
    }
    methods
}

fn names(names: &[String], setting: &str, errors: &mut Errors) -> Vec<HeaderName> {
    let mut parsed = Vec::with_capacity(names.len());
    for name in names {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if name.as_str() != "*" => parsed.push(name),
            _ => {
                let problem = format!("{name:?} is not a header's name");
                errors.add(setting, problem, "list each name, such as \"content-type\"");
            }
        }
    }
    parsed
}
