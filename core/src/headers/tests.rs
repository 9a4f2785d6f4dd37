use http::HeaderValue;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName};

use super::*;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    map
}

fn names(map: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

fn renamed() -> HeaderRules {
    let rename = [
        ("cell", "x-cell"),
        ("tenant", "X-Tenant"),
        ("envelope", "X-Proof"),
        ("envelope-claims", "x-proof-claims"),
        ("envelope-alg", "X-Proof-Alg"),
    ];
    let rename = rename
        .map(|(short, name)| (short.to_owned(), name.to_owned()))
        .into();
    HeaderRules::new(&HeaderSpec {
        rename,
        ..HeaderSpec::default()
    })
    .unwrap()
}

#[test]
fn near_misses_of_the_routers_names_are_removed() {
    let mut map = headers(&[
        ("x-cellway-tenant", "evil"),
        ("X_Cellway_Tenant", "evil"),
        ("x-cellway.tenant", "evil"),
        ("x-cellway-anything", "evil"),
        ("x_tenant", "evil"),
        ("x-cell", "evil"),
        ("X_Proof", "evil"),
        ("x-proof_claims", "evil"),
        ("X-Cellway_Envelope", "evil"),
        ("X-Routing_Key", "evil"),
        ("Cell-Bound-Authorization", "evil"),
        ("x-cellwayward", "kept"),
        ("x-tenants", "kept"),
        ("x-cellway", "kept"),
        ("accept", "kept"),
    ]);
    sanitize(&renamed(), &mut map).unwrap();
    assert_eq!(
        names(&map),
        ["accept", "x-cellway", "x-cellwayward", "x-tenants"]
    );
}

#[test]
fn envelopes_have_the_names_that_the_configuration_gives_them() {
    let rules = renamed();
    assert_eq!(rules.envelope(), "x-proof");
    let hmac = rules.envelope_hmac().each_ref().map(HeaderName::as_str);
    assert_eq!(hmac[0], "x-cellway-envelope-kid");
    assert_eq!(hmac[4], "x-proof-claims");
    let compatible = rules.envelope_compatible();
    let compatible = compatible.each_ref().map(HeaderName::as_str);
    assert_eq!(
        compatible,
        [
            "x-proof-alg",
            "x-cellway-envelope-kid",
            "x-cellway-envelope-issued",
            "x-cellway-envelope-expires",
            "x-proof-claims",
            "x-cellway-envelope-signature",
        ]
    );
}

/// Catches: a client can send a name that an older cell trusts, in another spelling, in trailers,
/// or while the router seals no envelopes.
#[test]
fn no_header_of_an_envelope_gets_in_from_outside() {
    let rules = renamed();
    for name in [
        "X-Proof-Alg",
        "x_proof_alg",
        "x.proof-alg",
        "X-Proof_Claims",
        "x-cellway-envelope-alg",
    ] {
        let mut map = headers(&[(name, "HS256"), ("accept", "a")]);
        sanitize(&rules, &mut map).unwrap();
        assert_eq!(map.len(), 1, "{name}");
        let mut trailers = headers(&[(name, "HS256"), ("checksum", "a")]);
        sanitize_trailers(&rules, &mut trailers);
        assert_eq!(trailers.len(), 1, "{name}");
    }
}

#[test]
fn credentials_become_evidence_and_leave_the_headers() {
    let rules = HeaderRules::default();
    let mut map = headers(&[
        ("authorization", "Bearer one"),
        ("x-cellway-select-tenant", "acme"),
        ("authorization", "Bearer two"),
    ]);
    let credentials = sanitize(&rules, &mut map).unwrap();
    assert_eq!(credentials.authorization.unwrap(), "Bearer one");
    assert!(credentials.several);
    assert_eq!(credentials.tenant_choice.unwrap(), "acme");
    assert!(!map.contains_key(AUTHORIZATION));
    assert!(map.is_empty());
}

#[test]
fn every_routing_key_becomes_evidence_by_its_own_name_alone() {
    let lines = [
        ("X-Routing-Key", "acme"),
        ("x_routing_key", "evil"),
        ("x-routing.key", "evil"),
        ("x-routing-key", "globex"),
        ("x-routing-key-signature", "v1"),
        ("x_routing-key_signature", "evil"),
        ("x-shard", "own"),
        ("x-shard-signature", "v1 own"),
        ("accept", "kept"),
    ];
    let mut map = headers(&lines);
    let credentials = sanitize(&HeaderRules::default(), &mut map).unwrap();
    assert_eq!(credentials.routing_key, ["acme", "globex"]);
    assert_eq!(credentials.routing_key_signature, ["v1"]);
    assert_eq!(names(&map), ["accept", "x-shard", "x-shard-signature"]);

    let renamed = HeaderRules::default().with_routing_key("X-Shard").unwrap();
    let mut map = headers(&lines);
    let credentials = sanitize(&renamed, &mut map).unwrap();
    assert_eq!(credentials.routing_key, ["own"]);
    assert_eq!(credentials.routing_key_signature, ["v1 own"]);
    // The default names are not used then, but are still removed.
    assert_eq!(names(&map), ["accept"]);
    let mut answer = headers(&lines);
    sanitize_response(&renamed, &mut answer).unwrap();
    assert_eq!(names(&answer), ["accept"]);
    let mut trailers = headers(&lines);
    sanitize_trailers(&renamed, &mut trailers);
    assert!(trailers.is_empty());
}

#[test]
fn two_choices_of_a_tenant_are_a_choice_of_neither() {
    let mut map = headers(&[
        ("x-cellway-select-tenant", "acme"),
        ("x-cellway-select-tenant", "bolt"),
    ]);
    let credentials = sanitize(&HeaderRules::default(), &mut map).unwrap();
    assert_eq!(credentials.tenant_choice.unwrap(), "acme, bolt");
    assert!(map.is_empty());
}

#[test]
fn hop_by_hop_and_nominated_fields_are_removed() {
    let rules = HeaderRules::default();
    let mut map = headers(&[
        ("connection", "close, X-Private,, Transfer-Encoding"),
        ("connection", "upgrade, TE, HTTP2-Settings, keep-alive"),
        ("connection", "proxy-authorization"),
        ("x-private", "hop"),
        ("host", "example"),
        ("content-length", "3"),
        ("keep-alive", "timeout=5"),
        ("upgrade", "websocket"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("transfer-encoding", "chunked"),
        ("te", "gzip;q=0.5, Trailers"),
        ("proxy-authorization", "Basic x"),
    ]);
    sanitize(&rules, &mut map).unwrap();
    assert_eq!(names(&map), ["content-length", "host", "te"]);
    assert_eq!(map["te"], "trailers");
}

/// Catches: a second framing of the body for a recipient that reads `_` as `-`.
#[test]
fn hop_by_hop_fields_and_lengths_are_removed_in_every_spelling() {
    let lines = [
        ("content-length", "3"),
        ("content_length", "0"),
        ("content.length", "0"),
        ("transfer_encoding", "chunked"),
        ("proxy_connection", "close"),
        ("keep_alive", "timeout=5"),
        ("transfer_encodings", "end to end"),
    ];
    let (mut request, mut answer) = (headers(&lines), headers(&lines));
    sanitize(&HeaderRules::default(), &mut request).unwrap();
    sanitize_response(&HeaderRules::default(), &mut answer).unwrap();
    assert_eq!(names(&request), ["content-length", "transfer_encodings"]);
    assert_eq!(request, answer);
}

/// Catches: a rule that sees a field which the cell doesn't get.
#[test]
fn nominating_a_field_for_everybody_is_refused() {
    let both = |options: &[&str]| {
        let lines: Vec<_> = options.iter().map(|it| ("connection", *it)).collect();
        let (mut request, mut answer) = (headers(&lines), headers(&lines));
        let request = sanitize(&HeaderRules::default(), &mut request).map(drop);
        assert_eq!(
            sanitize_response(&HeaderRules::default(), &mut answer),
            request
        );
        request
    };
    for option in [
        "content-type",
        "Content_Type",
        "host",
        "content-length",
        "authorization",
        "cookie",
        "accept",
        "if-match",
        "x-forwarded-for",
        "x-http-method-override",
        "traceparent",
        "set-cookie",
        "etag",
        "grpc-status",
        "x-cellway-tenant",
        "X_Cellway_Anything",
        "x-routing-key",
        "cell-bound-authorization",
    ] {
        assert_eq!(
            both(&[option]),
            Err(ConnectionFieldRefused::EndToEnd),
            "{option}"
        );
        let late = ["keep-alive", &format!("x-own , {option}")];
        assert_eq!(
            both(&late),
            Err(ConnectionFieldRefused::EndToEnd),
            "{option}"
        );
    }
    let many = |count: usize| vec!["x-own"; count].join(",");
    assert_eq!(both(&[&many(32)]), Ok(()));
    assert_eq!(both(&[&many(33)]), Err(ConnectionFieldRefused::TooMany));
    assert_eq!(
        both(&[&many(32), "close"]),
        Err(ConnectionFieldRefused::TooMany)
    );
}

#[test]
fn decisions_use_the_headers_that_are_left() {
    let mut map = headers(&[
        ("connection", "x-note"),
        ("x-note", "gone"),
        ("content-type", "application/grpc"),
    ]);
    let credentials = sanitize(&HeaderRules::default(), &mut map).unwrap();
    assert!(credentials.grpc && !credentials.overrides_request);
    assert_eq!(names(&map), ["content-type"]);
    let mut map = headers(&[("content-type", "application/grpc;, application/json")]);
    let credentials = sanitize(&HeaderRules::default(), &mut map).unwrap();
    assert!(!credentials.grpc && credentials.overrides_request);
}

#[test]
fn override_headers_are_seen_in_any_spelling() {
    let overrides_request = |name: &str| {
        let mut map = headers(&[("content-type", "application/grpc"), (name, "x")]);
        sanitize(&HeaderRules::default(), &mut map)
            .unwrap()
            .overrides_request
    };
    for name in [
        "x-http-method",
        "x-http-method-override",
        "x-httpmethod-override",
        "x-method-override",
        "http-method-override",
        "http_method_override",
        "x-original-url",
        "x-original-uri",
        "x_original_uri",
        "x.original.uri",
        "x-original-method",
        "x-forwarded-uri",
        "x_forwarded-uri",
        "x-forwarded-method",
        "x-rewrite-url",
        "content_type",
        "content.type",
    ] {
        assert!(overrides_request(name), "{name}");
    }
    for name in [
        "content-length",
        "host",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-original",
        "xoriginal-uri",
    ] {
        assert!(!overrides_request(name), "{name}");
    }
}

/// Catches: a trailer that a cell reads as a header which the router would have refused, removed or
/// used.
#[test]
fn trailers_lose_fields_that_a_header_acts_on() {
    let mut map = headers(&[
        ("grpc-status", "0"),
        ("content-length", "5"),
        ("Content_Type", "text/html"),
        ("authorization", "Bearer x"),
        ("x_cellway-cell", "evil"),
        ("transfer-encoding", "chunked"),
        ("transfer_encoding", "chunked"),
        ("x-http-method-override", "DELETE"),
        ("x_original.url", "/admin"),
        ("forwarded", "for=evil"),
        ("x-forwarded-for", "evil"),
        ("X_Forwarded_Host", "evil"),
        ("x-real-ip", "evil"),
        ("cookie", "a=b"),
        ("set-cookie", "a=b"),
        ("cache-control", "public"),
        ("if-none-match", "*"),
        ("range", "bytes=0-"),
        ("access-control-allow-origin", "*"),
        ("location", "/"),
        ("etag", "kept"),
        ("x-checksum", "kept"),
    ]);
    sanitize_trailers(&HeaderRules::default(), &mut map);
    assert_eq!(names(&map), ["etag", "grpc-status", "x-checksum"]);
}

#[test]
fn a_cells_answer_cannot_speak_for_the_router() {
    let mut map = headers(&[
        ("x-cellway-owner", "router"),
        ("connection", "close"),
        ("etag", "1"),
    ]);
    sanitize_response(&HeaderRules::default(), &mut map).unwrap();
    assert_eq!(names(&map), ["etag"]);
}

#[test]
fn invalid_header_names_are_refused() {
    let prefix = |prefix: &str| HeaderSpec {
        prefix: prefix.to_owned(),
        ..HeaderSpec::default()
    };
    for bad in ["", "x-", "x--", "x-A-", "cellway-", "x-cellway", "x-é-"] {
        assert!(HeaderRules::new(&prefix(bad)).is_err(), "{bad:?}");
    }
    let rename = |short: &str, name: &str| HeaderSpec {
        rename: [(short.to_owned(), name.to_owned())].into(),
        ..HeaderSpec::default()
    };
    for (short, name) in [
        ("cell", "Host"),
        ("cell", "x cell"),
        ("nope", "x-nope"),
        ("cell", "x_cellway_tenant"),
        ("cell", "x-cellway-envelope"),
        ("envelope", "x-cellway-envelope_kid"),
        ("envelope-signature", "x-cellway-select-tenant"),
        ("envelopes", "x-proof"),
        ("envelope-alg", "x-cellway-envelope-kid"),
        ("envelope-alg", "X-Routing-Key"),
        ("envelope-alg", "x_routing_key_signature"),
        ("envelope-alg", "Cell-Bound-Authorization"),
        ("envelope-alg", "X-Forwarded-Client-Cert"),
        ("envelope-alg", "X-Forwarded-For"),
        ("envelope-alg", "Forwarded"),
        ("envelope-alg", ""),
        ("envelope-alg", "x-proof:alg"),
    ] {
        assert!(
            HeaderRules::new(&rename(short, name)).is_err(),
            "{short} = {name}"
        );
    }
    assert!(HeaderRules::new(&prefix("x-a-")).is_ok());
    assert!(HeaderRules::new(&rename("tenant", "X-Routing-Key")).is_ok());
}
