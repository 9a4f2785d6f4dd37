//! Valid settings that have no effect where they are.

use crate::{CONFIG, Folder, run};

/// Catches: a setting of an external authorization listener that is read and never used, without a
/// warning.
#[test]
fn check_names_what_has_no_effect_on_a_listener_that_proxies_nothing() {
    let folder = Folder::new();
    let set = "forwarded = \"append\"\nbody_rate_min = 1000\nbody_grace_ms = 1000\n";
    let cors = "any_of = [\"jwt\"]\ncors = { origins = [\"https://app.example\"] }";
    let proxies =
        CONFIG
            .replace("any_of = [\"jwt\"]", cors)
            .replacen(":0\"\n", &format!(":0\"\n{set}"), 1);
    folder.write("cellway.toml", &proxies);
    let (code, out, error) = run(&["check", "-c", &folder.config()]);
    assert_eq!(code, 0, "{out}{error}");
    assert!(
        !format!("{out}{error}").contains("no effect"),
        "{out}{error}"
    );

    let asked = "bind = \"127.0.0.1:0\"\nserves = \"ext_authz\"\ncallers = \"loopback\"\n";
    let asked = proxies.replacen("bind = \"127.0.0.1:0\"\n", asked, 1);
    folder.write("cellway.toml", &asked);
    let (code, out, error) = run(&["check", "-c", &folder.config()]);
    assert_eq!(code, 1, "{out}{error}");
    for setting in ["forwarded", "body_rate_min", "body_grace_ms", "policy"] {
        let warning = format!("warning: listener[0].{setting}: ");
        let lines = format!("{out}{error}");
        let line = lines.lines().find(|line| line.contains(&warning));
        let line = line.unwrap_or_else(|| panic!("{setting}: {lines}"));
        assert!(line.contains("no effect"), "{line}");
    }
}

/// Catches: a health check for a cell whose name is misspelled, so that the cell isn't checked.
#[test]
fn check_names_a_health_check_of_a_cell_that_the_registry_lacks() {
    let folder = Folder::new();
    let check = "\n[[upstream.health_check]]\nkind = \"tcp\"\ncells = [\"no-such-cell\"]\n";
    folder.write("cellway.toml", format!("{CONFIG}{check}"));
    let (code, out, error) = run(&["check", "-c", &folder.config()]);
    assert_eq!(code, 1, "{out}{error}");
    let lines = format!("{out}{error}");
    let warning = "upstream.health_check[0].cells: names cell \"no-such-cell\"";
    assert!(lines.contains(warning), "{lines}");
}
