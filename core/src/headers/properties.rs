//! Property tests: sanitizing works for every spelling of a header.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

/// The characters that a field name may have besides letters and digits (RFC 9110, section 5.6.2).
const NAME_SYMBOLS: &str = "!#$%&'*+-.^_`|~";

/// Names that are the router's, in a spelling of the client's choice: any case, and any symbol
/// where the router writes a dash.
fn spelled(name: &'static str) -> impl Strategy<Value = String> {
    let symbols: Vec<char> = NAME_SYMBOLS.chars().collect();
    let choices = prop::collection::vec((any::<bool>(), prop::sample::select(symbols)), name.len());
    choices.prop_map(move |choices| {
        let spell = |(letter, (upper, symbol)): (char, (bool, char))| match letter {
            '-' => symbol,
            letter if upper => letter.to_ascii_uppercase(),
            letter => letter,
        };
        name.chars().zip(choices).map(spell).collect()
    })
}

fn routers_name() -> impl Strategy<Value = String> {
    prop_oneof![
        spelled("x-cellway-tenant"),
        spelled("x-cellway-cell"),
        spelled("x-cellway-anything-at-all"),
        spelled("x-renamed-cell"),
        spelled("x-routing-key"),
        spelled("cell-bound-authorization"),
        spelled("x-forwarded-client-cert"),
    ]
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        routers_name(),
        "[a-z][a-z0-9-]{0,20}",
        prop::sample::select(vec![
            "accept",
            "x-tenant",
            "connection",
            "te",
            "upgrade",
            "trailer"
        ])
        .prop_map(str::to_owned),
    ]
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,30}",
        routers_name(),
        Just("close, x-cellway-cell".to_owned())
    ]
}

fn rules() -> HeaderRules {
    let rename = [("cell".to_owned(), "x-renamed-cell".to_owned())].into();
    let spec = HeaderSpec {
        rename,
        ..HeaderSpec::default()
    };
    HeaderRules::new(&spec).expect("valid names")
}

fn headers(fields: &[(String, String)]) -> HeaderMap {
    let field = |(name, value): &(String, String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field name");
        (name, HeaderValue::from_str(value).expect("a field value"))
    };
    let mut map = HeaderMap::new();
    for (name, value) in fields.iter().map(field) {
        map.append(name, value);
    }
    map
}

/// The name that a framework sees that folds everything but letters and digits.
fn folded(name: &HeaderName) -> String {
    let fold = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    name.as_str().chars().map(fold).collect()
}

fn is_for_one_connection(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    fields::is_hop_by_hop(name) || fields::is_false_length(name)
}

fn is_the_routers(name: &HeaderName) -> bool {
    let name = folded(name);
    name.starts_with("x-cellway-")
        || [
            "x-renamed-cell",
            "x-routing-key",
            "cell-bound-authorization",
            "x-forwarded-client-cert",
        ]
        .contains(&name.as_str())
}

fn nominated(map: &HeaderMap, name: &HeaderName) -> bool {
    let listed = |value: &HeaderValue| {
        let names = value.as_bytes().split(|&byte| byte == b',');
        names
            .map(<[u8]>::trim_ascii)
            .any(|n| n.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    map.get_all(http::header::CONNECTION).iter().any(listed)
}

proptest! {
    #[test]
    fn nothing_under_the_routers_names_survives(
        fields in prop::collection::vec((any_name(), any_value()), 0..24),
    ) {
        let (mut request, mut answer) = (headers(&fields), headers(&fields));
        let passes = sanitize(&rules(), &mut request).is_ok();
        prop_assert_eq!(sanitize_response(&rules(), &mut answer).is_ok(), passes);
        if !passes {
            // Neither is forwarded.
            (request, answer) = (HeaderMap::new(), HeaderMap::new());
        }
        let mut trailers = headers(&fields);
        sanitize_trailers(&rules(), &mut trailers);
        for name in request.keys().chain(answer.keys()).chain(trailers.keys()) {
            prop_assert!(!is_the_routers(name), "{name} survived");
            // Set again, for the next connection.
            let anew = *name == http::header::TRAILER && !trailers.contains_key(name);
            prop_assert!(anew || !is_for_one_connection(name), "{name} survived");
        }
        for announced in request.get_all("trailer").iter().chain(answer.get_all("trailer")) {
            for name in announced.to_str().expect("ASCII").split(", ") {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                prop_assert!(!is_the_routers(&name), "{name} announced");
                prop_assert!(!forbidden_in_trailers(&name), "{name} announced");
            }
        }
    }

    #[test]
    fn what_is_the_clients_to_say_arrives_as_it_was(
        fields in prop::collection::vec((any_name(), any_value()), 0..24),
    ) {
        let before = headers(&fields);
        let mut after = before.clone();
        prop_assume!(sanitize(&rules(), &mut after).is_ok());
        let theirs = |name: &&HeaderName| {
            !is_the_routers(name)
                && !is_for_one_connection(name)
                && !nominated(&before, name)
                && **name != http::header::TE
        };
        for name in before.keys().filter(theirs) {
            let sent: Vec<_> = before.get_all(name).iter().collect();
            let kept: Vec<_> = after.get_all(name).iter().collect();
            prop_assert_eq!(sent, kept, "{}", name);
        }
    }

    #[test]
    fn sanitizing_twice_changes_nothing_more(
        fields in prop::collection::vec((any_name(), any_value()), 0..24),
    ) {
        let mut once = headers(&fields);
        prop_assume!(sanitize(&rules(), &mut once).is_ok());
        let mut twice = once.clone();
        prop_assert!(sanitize(&rules(), &mut twice).is_ok());
        prop_assert_eq!(once, twice);
    }
}
