//! The peers from which a listener reads PROXY headers.

use super::error::ConfigError;
use super::report::Reporter;
use super::schema::ListenerTable;
use crate::network::Network;

/// The most ranges of one listener. Each connection is compared with all of them.
const NETWORKS_MAX: usize = 256;

pub(super) fn proxies<F: FnMut(ConfigError)>(
    i: usize,
    table: &ListenerTable,
    report: &mut Reporter<F>,
) -> Vec<Network> {
    let Some(table) = &table.proxy_protocol else {
        return Vec::new();
    };
    let setting = format!("listener[{i}].proxy_protocol.from");
    if table.from.is_empty() || table.from.len() > NETWORKS_MAX {
        let problem = format!("lists {} ranges", table.from.len());
        let fix = format!("list 1 to {NETWORKS_MAX}: those of your load balancers");
        report.mistake(setting.clone(), problem, fix);
    }
    let mut networks = Vec::with_capacity(table.from.len());
    for (at, text) in table.from.iter().enumerate() {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(_) => report.mistake(
                format!("{setting}[{at}]"),
                format!("`{text}` is not an IP address or range"),
                "write it as 10.0.0.0/8 or 192.0.2.7",
            ),
        }
    }
    networks
}
