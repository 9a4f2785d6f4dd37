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
fn a_preflight_answer_lists_what_is_allowed() {
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
fn with_all_origins_allowed_all_get_the_same_answer() {
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
