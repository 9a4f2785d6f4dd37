//! Warnings about tables that nothing uses.

use super::error::ConfigError;
use super::report::Reporter;
use super::schema::{File, ListenerTable, ServesWord};
use crate::settings::TrafficSettings;

/// Finds each `[[traffic]]` and `[[policy]]` that no listener and no route names.
pub(super) fn unused<F: FnMut(ConfigError)>(tables: &File, report: &mut Reporter<F>) {
    for (i, table) in tables.traffic.iter().enumerate() {
        if !tables.listener.iter().any(|it| forwards(it, &table.name)) {
            let problem = format!(
                "no listener and no route has traffic = \"{}\", so this table has no effect",
                table.name
            );
            let fix = "name it in a [[listener]] or a [[listener.route]], or remove it";
            report
                .warnings
                .warning(format!("traffic[{i}]"), problem, fix);
        }
    }
    for (i, table) in tables.policy.iter().enumerate() {
        if !tables.listener.iter().any(|it| decides(it, &table.name)) {
            let problem = format!(
                "no listener and no route has policy = \"{}\", so this table has no effect",
                table.name
            );
            let fix = "name it in a [[listener]] or a [[listener.route]], or remove it";
            report
                .warnings
                .warning(format!("policy[{i}]"), problem, fix);
        }
    }
}

/// Whether some of the listener's requests are forwarded as this `[[traffic]]` says.
fn forwards(listener: &ListenerTable, name: &str) -> bool {
    let own = listener.traffic.as_deref();
    let mut routes = listener.route.iter();
    listener.serves == ServesWord::Proxy
        && (own.unwrap_or(TrafficSettings::DEFAULT) == name
            || routes.any(|route| route.traffic.as_deref() == Some(name)))
}

/// Whether this policy decides some of the listener's requests.
fn decides(listener: &ListenerTable, name: &str) -> bool {
    let mut routes = listener.route.iter();
    listener.policy == name || routes.any(|route| route.policy.as_deref() == Some(name))
}
