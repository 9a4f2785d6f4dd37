//! `docs/reasons.md` is written from the enum, so that the two can't disagree.

use std::fmt::Write;
use std::{env, fs};

use cellway_core::Reason;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reasons.md");

fn page() -> String {
    let mut page = String::from(
        "# Reasons\n\n\
         Every decision has one of these reasons, and so has every answer that the router makes itself.\n\
         No others exist. A reason is the `reason` of the JSON body, of metrics and of logs, and the\n\
         router's `x-cellway-reason` header (under the configured prefix).\n\n\
         gRPC requests get HTTP 200 with the `grpc-status` given here. `jwks_unreachable` is 401 (16)\n\
         where a policy says `jwks_unreachable_status = 401`.\n\n\
         | reason | status | grpc-status | meaning |\n| --- | --- | --- | --- |\n",
    );
    for reason in Reason::ALL {
        let status = reason
            .status()
            .map_or("allowed".into(), |s| s.as_u16().to_string());
        let grpc = reason
            .grpc_status()
            .map_or(String::new(), |s| s.to_string());
        writeln!(
            page,
            "| `{reason}` | {status} | {grpc} | {} |",
            reason.describe()
        )
        .expect("strings take all");
    }
    page
}

#[test]
fn the_page_lists_every_reason() {
    let page = page();
    if env::var_os("CELLWAY_WRITE_DOCS").is_some() {
        fs::write(PATH, &page).expect("docs/ is writable");
    }
    let written = fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        written == page,
        "docs/reasons.md is out of date; write it anew with\n    \
         CELLWAY_WRITE_DOCS=1 cargo test -p cellway-tests --test reasons"
    );
}

#[test]
fn names_are_snake_case_and_unique() {
    let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    for name in &names {
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{name}"
        );
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Reason::ALL.len());
}
