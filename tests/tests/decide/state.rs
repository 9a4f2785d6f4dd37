//! What decisions depend on besides credentials: the time, the registry, and how cells' authorizations are
//! checked.

use cellway_decide::{Decide, Form};
use cellway_testbed::sample::{CONFIG, REGISTRY};
use cellway_tests::world::Folder;

use crate::decided;

const HOME: &str = "\n[[request]]\nname = \"home\"\n";

/// Catches: a time of the machine, and a date that is read as another one.
#[test]
fn the_time_is_that_of_the_file() {
    let caller = "[[caller]]\nname = \"acme\"\n\
                  token = { claims = { tenant_id = \"acme\", exp = 2026-03-01T12:00:00+02:00 } }\n";
    for (now, reason) in [
        ("", "verified"),
        ("now = 2026-03-01T09:59:59Z\n", "verified"),
        ("now = 2026-03-01T10:00:00Z\n", "expired_token"),
    ] {
        let table = decided(CONFIG, REGISTRY, &format!("{now}{caller}{HOME}"));
        assert_eq!(table.rows()[0].reason, reason, "{now}");
    }
}

/// Catches: a registry in TOML that is read as JSON, with and without keys of cells.
#[test]
fn a_registry_may_be_toml() {
    let keys = "cba-jwks = \"{}\"";
    for annotations in [String::new(), format!("[cells.annotations]\n{keys}\n")] {
        let registry = format!(
            "version = 1\n[[cells]]\nid = \"a\"\ntier = \"std\"\nregion = \"eu\"\nstate = \"active\"\n\
             endpoints = [{{ url = \"http://127.0.0.1:9\" }}]\n{annotations}\
             [[tenants]]\nid = \"acme\"\ncell = \"a\"\n"
        );
        let folder = Folder::generate();
        folder.write("cellway.toml", CONFIG);
        folder.write("registry.toml", registry);
        let caller = "[[caller]]\nname = \"acme\"\ntoken = { claims = { tenant_id = \"acme\" } }\n\
                      cba = { from = \"a\", to = \"a\" }\n";
        let cases = format!("registry = \"registry.toml\"\n{caller}{HOME}");
        folder.write("cases.toml", cases);
        let decide = Decide::new(folder.path("cellway.toml"), folder.path("cases.toml"));
        let table = decide.run().unwrap();
        let expected = match annotations.is_empty() {
            true => "cba_no_keys",
            false => "verified",
        };
        assert_eq!(table.rows()[0].reason, expected, "{table}");
    }
}

/// Catches: a request that passes only because authorizations are monitored, shown as one that is good.
#[test]
fn what_is_only_monitored_is_in_the_json() {
    let caller = "[[caller]]\nname = \"acme\"\ntoken = { claims = { tenant_id = \"acme\" } }\n\
                  cba = { from = \"x\", to = \"a\" }\n";
    let config = format!("{CONFIG}\n[cba]\nmode = \"monitor\"\n");
    let table = decided(&config, REGISTRY, &format!("{caller}{HOME}"));
    let row = &table.rows()[0];
    assert_eq!(
        (&*row.decision, row.monitored.as_deref()),
        ("allow", Some("cba_unknown_cell"))
    );
    assert!(
        table
            .write(Form::Json)
            .contains(r#""monitored":"cba_unknown_cell""#)
    );
}
