use proptest::prelude::*;

use super::*;

#[test]
fn refuses_ambiguous_paths() {
    for target in [
        "/a//b",
        "//a",
        "/a//",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/./a",
        "/a/..",
        "/a/../b",
        "/%2e",
        "/a/%2e%2e/b",
        "/a/.%2E",
        "/a;b=c",
        "/a/;",
        "/a%3bb",
        "/%00",
        "/a%0a",
        "/a%7f",
        "/a%c0%af",
        "/a%ef%bc%8f",
        "/caf\u{e9}",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%20",
        "/%20a",
        "/adm.Svc/Del%20",
        "/a%20/b",
        "/%20",
        "/a%09",
        "/a%25",
        "/a%252e",
        "/a%3f",
        "/a%23",
        "/a#b",
        "/a b",
        "/a\tb",
        "*",
        "a",
        "http://host/a",
        "%2fa",
    ] {
        assert!(Path::of(target).is_err(), "{target:?}");
    }
}

#[test]
fn accepts_unambiguous_paths() {
    for target in [
        "/",
        "",
        "?a//b;c%zz",
        "/?a=../..",
        "/a",
        "/a/",
        "/a/b?x=%2f",
        "/a.b",
        "/...",
        "/.a",
        "/a..",
        "/%41",
        "/a%20b",
        "/a%2eb",
        "/a,b",
        "/a:b@c",
        "/~a",
        "/a|b",
        "/a+b",
        "/a%2bb",
        "/a=b&c",
    ] {
        assert!(Path::of(target).is_ok(), "{target:?}");
    }
}

#[test]
fn matches_as_a_cell_reads() {
    for (pattern, yes, no) in [
        ("/", &["/", "", "?a"][..], &["/a"][..]),
        (
            "/orders",
            &["/orders", "/orders?a=b", "/%6frders"],
            &["/Orders", "/orders/", "/orders/1"],
        ),
        ("/orders/", &["/orders/"], &["/orders", "/orders/1"]),
        (
            "/orders/{id}",
            &["/orders/1", "/orders/%7bid%7d"],
            &["/orders/", "/orders", "/orders/1/"],
        ),
        (
            "/orders/*/lines",
            &["/orders/1/lines"],
            &["/orders/lines", "/orders/1/2/lines"],
        ),
        (
            "/orders/**",
            &["/orders", "/orders/", "/orders/1/2/"],
            &["/order", "/orders2", "/"],
        ),
        ("/**", &["/", "/a/b"], &[]),
        ("/a/{b}/**", &["/a/b", "/a/b/c/d"], &["/a", "/a/"]),
        ("/a+b", &["/a+b", "/a%2bb"], &["/a%20b", "/a b"]),
    ] {
        let pattern = PathPattern::new(pattern).unwrap();
        let matches = |path: &str| Path::of(path).is_ok_and(|path| pattern.matches(path));
        for path in yes {
            assert!(matches(path), "{pattern:?} {path}");
        }
        for path in no {
            assert!(!matches(path), "{pattern:?} {path}");
        }
    }
}

#[test]
fn refuses_patterns_that_mislead() {
    for (pattern, why) in [
        ("", "begin"),
        ("orders", "begin"),
        ("/a//b", "empty"),
        ("//", "empty"),
        ("/**/b", "elsewhere"),
        ("/a**", "together"),
        ("/a*", "wildcard"),
        ("/a{b}", "wildcard"),
        ("/{}", "name"),
        ("/{a-b}", "name"),
        ("/a/..", "dot"),
        ("/.", "dot"),
        ("/%41", "encoded"),
        ("/a;b", "no path may"),
        ("/a?b", "no path may"),
        ("/a b", "no path may"),
        ("/caf\u{e9}", "no path may"),
        ("/a//**", "empty"),
    ] {
        let error = PathPattern::new(pattern).unwrap_err().to_string();
        assert!(error.contains(why), "{pattern:?}: {error}");
    }
    let long = format!("/{}", "a".repeat(PathPattern::LEN_MAX));
    assert!(PathPattern::new(&long).is_err());
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "*", "{x}"]);
    let end = prop::sample::select(vec!["", "/", "/**"]);
    (prop::collection::vec(segment, 1..4), end)
        .prop_map(|(segments, end)| format!("/{}{end}", segments.join("/")))
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "%61", "c"]);
    let end = prop::sample::select(vec!["", "/"]);
    (prop::collection::vec(segment, 1..5), end)
        .prop_map(|(segments, end)| format!("/{}{end}", segments.join("/")))
}

proptest! {
    /// A rule after one that covers it never applies.
    #[test]
    fn a_pattern_matches_all_that_it_covers(a in pattern(), b in pattern(), path in path()) {
        let (a, b) = (PathPattern::new(&a).unwrap(), PathPattern::new(&b).unwrap());
        let path = Path::of(&path).unwrap();
        if a.covers(&b) && b.matches(path) {
            prop_assert!(a.matches(path), "{a:?} covers {b:?}");
        }
    }

    /// No input panics, and what is taken has segments that decode to something without a slash.
    #[test]
    fn takes_anything(target in "\\PC{0,40}|[/%.;a-f0-9\\\\]{0,20}") {
        if let Ok(path) = Path::of(&target) {
            for segment in path.segments() {
                let bytes: Vec<u8> = decoded(segment).collect();
                prop_assert!(!bytes.contains(&b'/') && bytes != b"." && bytes != b"..");
            }
        }
    }
}
