//! The requests of the file of cases.

use cellway_router::config::Tables;
use cellway_router::settings::RouterSettings;
use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request};

use crate::cases::{Cases, RequestTable, meant};
use crate::credentials::{fields, text};

/// A request without credentials, and the position of its listener.
pub(super) struct Asked {
    pub(super) listener: usize,
    pub(super) host: String,
    pub(super) parts: Parts,
}

/// The requests of the file, in their order.
pub(super) fn requests(
    settings: &RouterSettings,
    cases: &Cases,
    mistakes: &mut Tables,
) -> Vec<Asked> {
    let all = cases.request.iter().enumerate();
    all.filter_map(|(at, table)| {
        let setting = format!("request[{at}]");
        let listener = listener(settings, cases, (&setting, table), mistakes);
        let made = request(cases, &setting, table, mistakes);
        let (host, parts) = made?;
        Some(Asked {
            listener: listener?,
            host,
            parts,
        })
    })
    .collect()
}

/// The position of a request's listener.
fn listener(
    settings: &RouterSettings,
    cases: &Cases,
    (setting, table): (&str, &RequestTable),
    mistakes: &mut Tables,
) -> Option<usize> {
    let names = || settings.listeners.iter().map(|it| &*it.name);
    let own = table.listener.as_ref();
    let own = own.map(|name| (format!("{setting}.listener"), name));
    let common = cases.listener.as_ref();
    let common = || common.map(|name| ("listener".to_owned(), name));
    match own.or_else(common) {
        Some((setting, name)) => {
            let found = names().position(|known| known == name);
            if found.is_none() {
                let problem = format!("no [[listener]] has the name {name:?}");
                mistakes.mistake(&setting, problem, meant(name, names()));
            }
            found
        }
        None if settings.listeners.len() == 1 => Some(0),
        None => {
            let known: Vec<_> = names().collect();
            let fix = format!(
                "add listener here, or above the first table for all requests: {}",
                known.join(", ")
            );
            mistakes.mistake(setting, "the configuration has several listeners", fix);
            None
        }
    }
}

/// The header of a request, without credentials.
fn request(
    cases: &Cases,
    setting: &str,
    table: &RequestTable,
    mistakes: &mut Tables,
) -> Option<(String, Parts)> {
    let method = match (&table.method, table.grpc) {
        (None, true) => Method::POST,
        (None, false) => Method::GET,
        (Some(name), _) => method(&format!("{setting}.method"), name, mistakes)?,
    };
    let path = table.path.parse::<PathAndQuery>().ok();
    // The parser drops a fragment, which is never sent.
    let Some(path) = path.filter(|path| path.as_str() == table.path) else {
        let problem = format!("no request has the path {:?}", table.path);
        let fix = "write path and query as they are sent, such as /orders?id=7";
        mistakes.mistake(&format!("{setting}.path"), problem, fix);
        return None;
    };
    let host = table.host.as_ref().unwrap_or(&cases.host);
    let of_host = match table.host {
        Some(_) => format!("{setting}.host"),
        None => "host".to_owned(),
    };
    let value = text(&of_host, host, mistakes)?;
    let (mut parts, ()) = Request::new(()).into_parts();
    (parts.method, parts.uri) = (method, path.into());
    parts.headers.insert(HOST, value);
    if table.grpc {
        let grpc = HeaderValue::from_static("application/grpc");
        parts.headers.insert(CONTENT_TYPE, grpc);
    }
    let setting = format!("{setting}.headers");
    for (name, value) in fields(&setting, &table.headers, mistakes) {
        parts.headers.append(name, value);
    }
    Some((host.clone(), parts))
}

fn method(setting: &str, name: &str, mistakes: &mut Tables) -> Option<Method> {
    let method = Method::from_bytes(name.as_bytes()).ok();
    if method.is_none() {
        let problem = format!("{name:?} can't be a method");
        mistakes.mistake(setting, problem, "write a word such as GET");
    }
    method
}
