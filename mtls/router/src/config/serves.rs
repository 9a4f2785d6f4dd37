//! What a listener serves, and who may call it.

use super::error::ConfigError;
use super::report::Reporter;
use super::schema::{CallersWord, ClientCertificateWord, ListenerTable, ServesWord};
use crate::settings::{Callers, Serves};

/// Checks `serves` and `callers`. After a mistake the result is never used, so it may have any
/// value.
pub(super) fn serves<F: FnMut(ConfigError)>(
    i: usize,
    listener: &ListenerTable,
    report: &mut Reporter<F>,
) -> Serves {
    if listener.serves == ServesWord::ExtAuthz {
        check_traffic(i, listener, report);
    }
    let setting = format!("listener[{i}].callers");
    match (listener.serves, &listener.callers) {
        (ServesWord::Proxy, None) => return Serves::Proxy,
        (ServesWord::Proxy, Some(_)) => report.mistake(
            setting,
            "requires serves = \"ext_authz\"",
            "remove it, or set serves = \"ext_authz\"",
        ),
        (ServesWord::ExtAuthz, None) => report.mistake(
            setting,
            "is missing, so every request would be refused",
            "list the SANs of your Envoys' client certificates, \
             or write \"loopback\" if only the Envoy of this machine asks",
        ),
        (ServesWord::ExtAuthz, Some(CallersWord::Word(_))) => {
            if !listener.bind.ip().is_loopback() {
                report.mistake(
                    setting,
                    "is \"loopback\", but the listener's address isn't one",
                    "bind 127.0.0.1 or [::1], or list the SANs of your Envoys' client certificates",
                );
            }
            return Serves::ExtAuthz(Callers::Loopback);
        }
        (ServesWord::ExtAuthz, Some(CallersWord::Sans(sans))) => {
            check_sans(i, listener, sans, report);
            return Serves::ExtAuthz(Callers::Sans(sans.clone()));
        }
    }
    Serves::Proxy
}

/// Checks that the listener doesn't say how requests are forwarded: an Envoy forwards them.
fn check_traffic<F: FnMut(ConfigError)>(
    i: usize,
    listener: &ListenerTable,
    report: &mut Reporter<F>,
) {
    let of_route = |n: usize| format!("listener[{i}].route[{n}].traffic");
    let routes = listener.route.iter().enumerate();
    let routes = routes.filter_map(|(n, route)| route.traffic.as_ref().map(|_| of_route(n)));
    let own = listener.traffic.as_ref();
    let own = own.map(|_| format!("listener[{i}].traffic"));
    for setting in own.into_iter().chain(routes) {
        let problem = "has no effect, because the listener forwards nothing";
        report.mistake(setting, problem, "remove it");
    }
}

fn check_sans<F: FnMut(ConfigError)>(
    i: usize,
    listener: &ListenerTable,
    sans: &[Box<str>],
    report: &mut Reporter<F>,
) {
    if sans.iter().any(|san| **san == *"loopback") {
        return report.mistake(
            format!("listener[{i}].callers"),
            "has \"loopback\" in a list, where it would be a name in a client certificate",
            "write callers = \"loopback\" if only the Envoy of this machine asks, \
             or list only the SANs of your Envoys' client certificates",
        );
    }
    if sans.is_empty() || sans.iter().any(|san| san.is_empty()) {
        report.mistake(
            format!("listener[{i}].callers"),
            "is empty or has an empty name",
            "list the SANs of your Envoys' client certificates",
        );
    }
    let asked = listener.tls.as_ref().map(|tls| tls.client_certificate);
    if asked != Some(ClientCertificateWord::Required) {
        report.mistake(
            format!("listener[{i}].tls.client_certificate"),
            "is not `required`, but the listener identifies its callers by their certificates",
            "add [listener.tls] with client_certificate = \"required\"",
        );
    }
}
