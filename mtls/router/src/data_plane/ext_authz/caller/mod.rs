//! Checks that the caller may send authorization checks.

use cellway_core::Reason;
use cellway_env::Env;

use crate::active_config::ActiveConfig;
use crate::data_plane::authz::Refused;
use crate::data_plane::connection::Connection;
use crate::observe::event::Sink;
use crate::settings::{Callers, Serves};
use crate::tls::names_any;

/// The caller says which certificate a client has shown, so the router answers only callers that
/// the current settings name.
pub(super) fn check<E: Env, S: Sink>(
    connection: &Connection<E, S>,
    config: &ActiveConfig,
) -> Result<(), Refused> {
    let sans = match &config.listener(connection.listener).serves {
        Serves::ExtAuthz(Callers::Loopback) => return Ok(()),
        Serves::ExtAuthz(Callers::Sans(sans)) => sans,
        Serves::Proxy => {
            return Err(stranger(
                "this listener no longer answers authorization requests",
            ));
        }
    };
    let Some(client) = &connection.client else {
        return Err(Refused::new(
            Reason::MissingCertificate,
            "an authorization request needs a client certificate",
        ));
    };
    let by_domain = !config.settings.domain_bundles.is_empty();
    if !names_any(&client.certificate, sans, by_domain) {
        return Err(stranger(
            "the client certificate is not one of the listener's callers",
        ));
    }
    // The certificate hasn't expired, because its connection is closed when it does.
    let verify = |chain: &[_]| config.verify_peer_chain(connection.listener, chain);
    let now = connection.worker.reporter.now().unix;
    client
        .reverify(config, now, verify)
        .map_err(Refused::caller)
}

fn stranger(detail: &'static str) -> Refused {
    Refused::new(Reason::SanNotAccepted, detail)
}

#[cfg(test)]
mod tests;
