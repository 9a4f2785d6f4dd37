//! A table of each way in which a credential can be good or bad.

use std::collections::BTreeSet;

use cellway_core::Reason;
use cellway_testbed::Algorithm;
use cellway_testbed::sample::{CONFIG, REGISTRY};

use crate::decided;

/// What no table shows: it depends on cells, on traffic, on time that passes, or on a connection.
const NEVER: [&str; 25] = [
    "certificate_authority",
    "revocation_unknown",
    "cba_replayed",
    "registry_never_loaded",
    "circuit_open",
    "tenant_status_expired",
    "envelope_unavailable",
    "overloaded",
    "cell_refused",
    "upgrade_not_allowed",
    "rate_limited",
    "body_too_large",
    "client_timeout",
    "client_stalled",
    // With `when_all_ejected = "panic"`, see below.
    "cell_unreachable",
    "cell_reset",
    "cell_declined",
    "cell_protocol_error",
    "cell_no_upgrade",
    "cell_untrusted",
    "cell_timeout_connect",
    "cell_timeout_tls",
    "cell_timeout_header",
    "cell_timeout_idle",
    "cell_timeout_total",
];

/// One good token.
const ACME: &str = r#"
[[caller]]
name = "acme"
token = { claims = { tenant_id = "acme" } }
[[request]]
name = "home"
"#;

/// As a user's own test: three lines.
#[test]
fn decisions_are_as_reviewed() {
    let decisions =
        cellway_decide::decisions("tests/decide/cellway.toml", "tests/decide/cases.toml").unwrap();
    insta::assert_snapshot!(decisions);
}

/// Catches: a reason that people expect in a table and that no case can lead to.
#[test]
fn a_table_has_every_reason_that_credentials_lead_to() {
    let table =
        cellway_decide::decisions("tests/decide/cellway.toml", "tests/decide/cases.toml").unwrap();
    let decided = table.rows().iter().filter(|row| row.policy.is_some());
    let shown: BTreeSet<_> = decided.map(|row| row.reason.as_str()).collect();
    let all: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let expected: BTreeSet<_> = all.into_iter().filter(|it| !NEVER.contains(it)).collect();
    assert_eq!(shown, expected);
}

/// Catches: a cell that is down and shown as if it served, and a tenant that is moved although its placement
/// doesn't allow failover.
#[test]
fn a_cell_that_is_down_serves_nobody() {
    let cases = format!("unreachable_cells = [\"a\"]\n{ACME}");
    for (when, expected) in [
        (
            "panic",
            "acme      home      deny 502  cell_unreachable  acme      a         default   -",
        ),
        (
            "fail",
            "acme      home      deny 503  no_endpoint_healthy       acme      a         default   -",
        ),
    ] {
        let config = format!("{CONFIG}\n[upstream]\nwhen_all_ejected = \"{when}\"\n");
        let table = decided(&config, REGISTRY, &cases).to_string();
        assert_eq!(table.lines().last(), Some(expected), "{table}");
    }
}

/// Catches: an issuer whose only algorithm no key can be made for.
#[test]
fn every_algorithm_signs_a_good_token() {
    for algorithm in Algorithm::ALL.map(Algorithm::as_str) {
        let name = "name = \"main\"\n";
        let config = CONFIG.replace(name, &format!("{name}algorithms = [\"{algorithm}\"]\n"));
        let table = decided(&config, REGISTRY, ACME);
        assert_eq!(table.rows()[0].reason, "verified", "{algorithm}\n{table}");
    }
}
