//! Compares what the suite says about the ways to one endpoint.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// The fewest cases that there are, if they aren't named.
const CASES_MIN: usize = 250;

/// The results of a way's cases.
type Results = BTreeMap<String, Value>;

/// How a case went, from bad to good. The suite has more words for failures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Grade {
    Failed,
    /// The endpoint can't do what the case is about.
    Unimplemented,
    /// RFC 6455 leaves it open, or is not followed to the letter.
    Allowed,
    Good,
}

impl Grade {
    fn of(said: &Value) -> Self {
        match said.as_str() {
            Some("OK") => Self::Good,
            Some("NON-STRICT" | "INFORMATIONAL") => Self::Allowed,
            Some("UNIMPLEMENTED") => Self::Unimplemented,
            _ => Self::Failed,
        }
    }
}

/// Compares the results of the other ways with those of the direct one.
pub(crate) fn compare(folder: &Path) {
    let report = fs::read(folder.join("reports/index.json")).unwrap();
    let results: BTreeMap<String, Results> = serde_json::from_slice(&report).unwrap();
    let direct = &results["direct"];
    let fewest = match std::env::var("AUTOBAHN_CASES") {
        Ok(_) => 1,
        Err(_) => CASES_MIN,
    };
    assert!(direct.len() >= fewest, "only {} cases ran", direct.len());
    let mut all = Vec::new();
    for way in ["router", "two-routers"] {
        let through = &results[way];
        assert_eq!(through.len(), direct.len(), "{way} ran other cases");
        all.extend(worse(direct, through).map(|it| format!("{it} through {way}")));
    }
    assert!(all.is_empty(), "{all:#?}\nreports: {}", folder.display());
}

/// The cases that go worse through a router than directly. One that goes well must go just as well.
fn worse(direct: &Results, through: &Results) -> impl Iterator<Item = String> {
    const SAID: [&str; 2] = ["behavior", "behaviorClose"];
    direct.iter().filter_map(|(case, result)| {
        let [before, after] = [result, &through[case]].map(|it| SAID.map(|field| &it[field]));
        let [was, is] = [before, after].map(|said| said.map(Grade::of));
        let falls = was.iter().zip(is).any(|(was, is)| is < *was);
        let differs = was[0] == Grade::Good && before != after;
        (falls || differs).then(|| format!("{case}: {after:?}, not {before:?}"))
    })
}

/// Catches: a case that isn't compared because it doesn't go perfectly without a router.
#[test]
fn a_case_that_goes_worse_through_a_router_is_noticed() {
    let one = |behavior: &str, close: &str| -> Results {
        let result = serde_json::json!({"behavior": behavior, "behaviorClose": close});
        [("1.1.1".to_owned(), result)].into()
    };
    for (direct, through, is_worse) in [
        (["OK", "OK"], ["OK", "OK"], false),
        (["OK", "OK"], ["NON-STRICT", "OK"], true),
        (["OK", "OK"], ["OK", "UNCLEAN"], true),
        (["OK", "UNCLEAN"], ["OK", "WRONG CODE"], true),
        (["NON-STRICT", "OK"], ["FAILED", "OK"], true),
        (["NON-STRICT", "OK"], ["UNIMPLEMENTED", "OK"], true),
        (["NON-STRICT", "OK"], ["NON-STRICT", "FAILED"], true),
        (["NON-STRICT", "OK"], ["OK", "OK"], false),
        (["INFORMATIONAL", "OK"], ["FAILED", "OK"], true),
        (["INFORMATIONAL", "OK"], ["NON-STRICT", "OK"], false),
        (["UNIMPLEMENTED", "OK"], ["FAILED", "OK"], true),
        (["FAILED", "UNCLEAN"], ["FAILED", "FAILED"], false),
    ] {
        let [before, after] = [direct, through].map(|[behavior, close]| one(behavior, close));
        let found = worse(&before, &after).count();
        assert_eq!(found, usize::from(is_worse), "{direct:?} to {through:?}");
    }
}
