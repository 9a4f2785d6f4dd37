//! CORS: cross-origin requests of browsers (Fetch standard, "CORS protocol").
//!
//! Before a page of another origin may send a request that a form couldn't send, the browser asks:
//! it sends a *preflight*, without credentials. The router answers it, because a cell never sees a
//! request without credentials. Answers to the requests themselves, including the router's
//! refusals, say which origin may read them; otherwise the page sees only "failed".

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use http::{HeaderName as Name, Method};

/// Every field of an answer that grants something to an origin. A cell's fields are replaced,
/// because browsers reject two values of `Access-Control-Allow-Origin`.
const GRANTS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// The CORS rules of one policy.
#[derive(Clone, Debug)]
pub struct CorsRules {
    pub(crate) origins: Origins,
    pub(crate) methods: Vec<Method>,
    /// The header fields that a page may set, in addition to those that a form may set.
    pub(crate) headers: Vec<HeaderName>,
    /// Those lists as header values, and the header fields of an answer that a page may read.
    pub(crate) lists: Lists,
    pub(crate) credentials: bool,
}

/// Lists as header values, built once.
#[derive(Clone, Debug)]
pub(crate) struct Lists {
    pub(crate) methods: HeaderValue,
    pub(crate) headers: HeaderValue,
    pub(crate) expose: HeaderValue,
    pub(crate) max_age: HeaderValue,
}

/// Which origins are allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origins {
    /// All of them, without credentials.
    Any,
    /// These.
    Listed(Vec<Origin>),
}

/// An origin as browsers write it (RFC 6454, section 6.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// `https://app.example`
    Exact(Box<str>),
    /// `https://*.app.example`: the star matches one or more labels.
    Below { scheme: Box<str>, suffix: Box<str> },
}

impl Origin {
    fn fits(&self, origin: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *origin,
            Self::Below { scheme, suffix } => origin
                .strip_prefix(&**scheme)
                .and_then(|rest| rest.strip_suffix(&**suffix))
                .is_some_and(is_labels),
        }
    }
}

/// Whether the text is only labels of a host name with dots between them.
fn is_labels(text: &str) -> bool {
    text.split('.').all(|label| {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.bytes().all(sound)
    })
}

/// Whether a request is a preflight.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl CorsRules {
    /// The value of `Access-Control-Allow-Origin` for a request. `None` if it has no origin,
    /// several, or one that is not allowed. If all origins are allowed, it is `*` for every
    /// request, so that a cache may give any answer to any page (Fetch standard, "CORS protocol and
    /// HTTP caches").
    pub fn origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let listed = match &self.origins {
            Origins::Any => return Some(HeaderValue::from_static("*")),
            Origins::Listed(listed) => listed,
        };
        let mut origins = request.get_all(ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return None;
        };
        let text = origin.to_str().ok()?;
        let fits = listed.iter().any(|allowed| allowed.fits(text));
        fits.then(|| origin.clone())
    }

    /// Sets the fields that let `origin` (from [`origin`](Self::origin)) read an answer, and
    /// removes a cell's CORS fields. Without an origin no page of another origin may read it, and
    /// the answer only tells caches that it depends on the origin.
    pub fn write(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        for name in &GRANTS {
            answer.remove(name);
        }
        if let Some(origin) = origin {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if self.credentials {
                let yes = HeaderValue::from_static("true");
                answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
            if !self.lists.expose.is_empty() {
                answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.lists.expose.clone());
            }
        }
        self.vary(answer);
    }

    /// Answers a preflight with what pages of its origin may send. Returns whether that covers what
    /// the browser asks for. If not, the browser doesn't send the request and shows the page's
    /// developer what is missing.
    pub fn preflight(&self, request: &HeaderMap, answer: &mut HeaderMap) -> bool {
        let origin = self.origin(request);
        self.write(origin.as_ref(), answer);
        answer.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        if origin.is_none() {
            return false;
        }
        let lists = &self.lists;
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, &lists.methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, &lists.headers),
            (ACCESS_CONTROL_MAX_AGE, &lists.max_age),
        ] {
            if !value.is_empty() {
                answer.insert(name, value.clone());
            }
        }
        self.covers(request)
    }

    fn covers(&self, request: &HeaderMap) -> bool {
        let method = request.get(ACCESS_CONTROL_REQUEST_METHOD);
        let method = method.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
        let asked = request.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
        let mut asked = asked.flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
        method.is_some_and(|method| self.methods.contains(&method))
            && asked.all(|name| {
                let name = name.trim_ascii();
                name.is_empty()
                    || Name::from_bytes(name).is_ok_and(|name| self.headers.contains(&name))
            })
    }

    /// Keeps caches from giving one origin's answer to another. Not needed if every origin is
    /// allowed.
    fn vary(&self, answer: &mut HeaderMap) {
        if self.origins == Origins::Any {
            return;
        }
        let names = |value: &HeaderValue| {
            let mut names = value.as_bytes().split(|byte| *byte == b',');
            names.any(|name| matches!(name.trim_ascii(), b"*" | b"origin" | b"Origin"))
        };
        if !answer.get_all(VARY).iter().any(names) {
            answer.append(VARY, HeaderValue::from_static("Origin"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Policy, PolicySpecs};

    fn rules(cors: &str) -> CorsRules {
        let text = format!(
            r#"{{"policy": [{{"name": "p", "mode": "disabled", "allow_insecure": true,
                "insecure_identity": {{"tenant": "t"}}, "cors": {cors}}}]}}"#
        );
        let specs: PolicySpecs = serde_json::from_str(&text).unwrap();
        let policy = Policy::build(&specs).unwrap();
        let rules = policy.auths()[0].cors.as_deref();
        rules.unwrap().clone()
    }

    fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (
                Name::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        fields.iter().map(field).collect()
    }

    fn show(headers: &HeaderMap) -> String {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}\n", value.to_str().unwrap())
        };
        headers.iter().map(line).collect()
    }

    const APP: &str = r#"{"origins": ["https://app.example", "https://*.preview.example:8443"],
        "methods": ["GET", "PUT"], "headers": ["Authorization"], "expose": ["etag"],
        "credentials": true, "max_age_secs": 60}"#;

    #[test]
    fn only_listed_origins_are_allowed() {
        let rules = rules(APP);
        let allowed = |origin: &str| rules.origin(&fields(&[("origin", origin)])).is_some();
        for good in [
            "https://app.example",
            "https://a.preview.example:8443",
            "https://a.b-1.preview.example:8443",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in [
            "null",
            "",
            "http://app.example",
            "https://app.example:444",
            "https://app.example.evil.example",
            "https://notapp.example",
            "https://preview.example:8443",
            "https://.preview.example:8443",
            "https://a..preview.example:8443",
            "https://evil.example/.preview.example:8443",
            "https://evil.example?.preview.example:8443",
            "https://me@a.preview.example:8443",
            "https://a.preview.example",
            "https://app.example https://evil.example",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
        let mut two = fields(&[("origin", "https://app.example")]);
        two.append(ORIGIN, HeaderValue::from_static("https://app.example"));
        assert_eq!(rules.origin(&two), None);
    }

    #[test]
    fn a_preflight_is_told_what_is_allowed() {
        let preflight = |rules: &CorsRules, origin: &str, method: &str, headers: &str| {
            let request = fields(&[
                ("origin", origin),
                ("access-control-request-method", method),
                ("access-control-request-headers", headers),
            ]);
            let mut answer = HeaderMap::new();
            let covered = rules.preflight(&request, &mut answer);
            format!("covered: {covered}\n{}", show(&answer))
        };
        let app = "https://app.example";
        let told = preflight(&rules(APP), app, "PUT", "authorization");
        let allowed = "access-control-allow-origin: https://app.example\n\
            access-control-allow-credentials: true\n\
            vary: Origin\n\
            access-control-allow-methods: GET, PUT\n\
            access-control-allow-headers: authorization\n\
            access-control-max-age: 60\n";
        assert_eq!(told, format!("covered: true\n{allowed}"));
        for (method, headers) in [
            ("DELETE", "authorization"),
            ("PUT", "authorization, x-other"),
            ("put", "authorization"),
            ("PUT", "*"),
        ] {
            let told = preflight(&rules(APP), app, method, headers);
            assert_eq!(
                told,
                format!("covered: false\n{allowed}"),
                "{method} {headers}"
            );
        }
        let told = preflight(&rules(APP), "https://evil.example", "PUT", "");
        assert_eq!(told, "covered: false\nvary: Origin\n");
        let any = rules(r#"{"origins": ["*"]}"#);
        let told = preflight(&any, app, "POST", "content-type,authorization");
        assert_eq!(
            told,
            "covered: true\n\
             access-control-allow-origin: *\n\
             access-control-allow-methods: GET, HEAD, POST\n\
             access-control-allow-headers: authorization, content-type\n\
             access-control-max-age: 600\n"
        );
    }

    #[test]
    fn a_cells_own_grants_are_replaced() {
        let rules = rules(APP);
        let cell = fields(&[
            ("access-control-allow-origin", "*"),
            ("access-control-expose-headers", "x-secret"),
            ("vary", "accept-encoding"),
        ]);
        let told = |origin: &str| {
            let mut answer = cell.clone();
            let origin = rules.origin(&fields(&[("origin", origin)]));
            rules.write(origin.as_ref(), &mut answer);
            show(&answer)
        };
        assert_eq!(
            told("https://evil.example"),
            "vary: accept-encoding\nvary: Origin\n"
        );
        assert_eq!(
            told("https://app.example"),
            "vary: accept-encoding\n\
             vary: Origin\n\
             access-control-allow-origin: https://app.example\n\
             access-control-allow-credentials: true\n\
             access-control-expose-headers: etag, x-cellway-owner, x-cellway-reason, \
             x-cellway-request-id\n"
        );
    }

    #[test]
    fn where_all_origins_are_allowed_all_get_the_same_answer() {
        let rules = rules(r#"{"origins": ["*"]}"#);
        let told = |request: &[(&'static str, &str)]| {
            let mut answer = fields(&[("access-control-allow-origin", "https://app.example")]);
            rules.write(rules.origin(&fields(request)).as_ref(), &mut answer);
            show(&answer)
        };
        let without = told(&[]);
        assert!(
            without.contains("access-control-allow-origin: *\n"),
            "{without}"
        );
        assert_eq!(told(&[("origin", "https://app.example")]), without);
    }

    #[test]
    fn every_answer_says_once_that_it_depends_on_the_origin() {
        let rules = rules(APP);
        for (before, after) in [
            ("Origin", 1),
            ("accept, origin", 1),
            ("*", 1),
            ("accept", 2),
        ] {
            let mut answer = fields(&[("vary", before)]);
            rules.write(None, &mut answer);
            assert_eq!(answer.get_all(VARY).iter().count(), after, "{before}");
        }
    }
}
