//! Prints commands to try next.

use cellway_env::Env;

use super::folder::{Folder, Ports};
use crate::shell::quoted;

/// Commands against the running demo, with what each shows.
pub(super) fn commands<E: Env>(folder: &Folder<E>, ports: Ports) -> String {
    let file = |name: &str| quoted(&folder.path(name));
    let Ports { public, admin } = ports;
    let url = format!("https://127.0.0.1:{public}");
    let curl = format!("curl -sS --cacert {}", file("ca.pem"));
    let token = |name: &str| format!("-H \"authorization: Bearer $(cat {})\"", file(name));
    let certificate = format!("--cert {} --key {}", file("globex.pem"), file("globex.key"));
    let exe = executable();
    let config = file("cellway.toml");
    let acme = token("acme.token");
    let initech = token("initech.token");
    format!(
        r#"# a token of acme: premium-eu answers with what it received
{curl} {acme} {url}/orders

# the client certificate of globex
{curl} {certificate} {url}/orders

# a token of initech that tries to pass for acme
{curl} {initech} -H 'x-cellway-tenant: acme' {url}/orders

# nothing to show: 401, with the reason
{curl} -i {url}/orders

# what the router says of itself; open the first one in a browser
curl -sS http://127.0.0.1:{admin}/
curl -sS http://127.0.0.1:{admin}/readyz
curl -sS http://127.0.0.1:{admin}/metrics

# the same configuration, read and explained without sending anything to a cell
{exe} check --config {config}
{exe} explain --config {config} --token-file {} --path /orders
"#,
        file("acme.token")
    )
}

/// This binary's path, quoted for a shell.
pub(super) fn executable() -> String {
    std::env::current_exe().map_or_else(|_| "cellway".to_owned(), |exe| quoted(&exe))
}
