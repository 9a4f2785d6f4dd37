//! Whether a listener would still accept a connection that was opened before a reload.
//!
//! A reload may change what connections a listener accepts: with TLS or without, with a client
//! certificate, after a PROXY header, from clients or from an Envoy. An open connection can't
//! follow such a change, so it ends. Its [watch](super::watch) tells it to close, its requests in
//! flight finish, and a request that still arrives is refused.

use std::net::IpAddr;

use cellway_core::Reason;

use crate::active_config::ActiveConfig;
use crate::data_plane::well_formed::RequestRefused;
use crate::settings::{ClientCertificate, ListenerSettings, Serves};

/// How a connection was opened. None of this can change while it is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// The configuration that it was opened under.
    epoch: u64,
    is_tls: bool,
    has_certificate: bool,
    /// The other end of the socket: the client, or a load balancer before it.
    peer: IpAddr,
    /// Whether it started with a PROXY header.
    is_proxied: bool,
    /// Whether its requests are authorization checks.
    is_ext_authz: bool,
}

impl Form {
    /// The form of a connection from `peer` that was opened under these settings.
    pub(super) fn new(settings: &ListenerSettings, epoch: u64, peer: IpAddr) -> Self {
        Self {
            epoch,
            is_tls: settings.tls.is_some(),
            has_certificate: false,
            peer,
            is_proxied: settings.is_proxy(peer),
            is_ext_authz: is_ext_authz(settings),
        }
    }

    /// The same, for a client that has shown a certificate or none.
    pub(super) fn with_certificate(self, has_certificate: bool) -> Self {
        Self {
            has_certificate,
            ..self
        }
    }

    /// Checks that the listener would accept the connection under this configuration.
    ///
    /// # Errors
    /// The answer to its requests.
    pub(super) fn check(
        &self,
        config: &ActiveConfig,
        listener: usize,
    ) -> Result<(), Box<RequestRefused>> {
        // Nothing has changed since it was opened.
        if self.epoch == config.epoch {
            return Ok(());
        }
        self.fits(config.listener(listener)).map_err(Box::new)
    }

    fn fits(&self, settings: &ListenerSettings) -> Result<(), RequestRefused> {
        let refused = |reason, detail| Err(RequestRefused { reason, detail });
        let asked = settings.tls.as_ref().map(|tls| tls.client_certificate);
        match (self.is_tls, asked) {
            (false, Some(_)) => {
                return refused(
                    Reason::BadRequest,
                    "the listener requires TLS now; open a new connection with TLS",
                );
            }
            (true, None) => {
                return refused(
                    Reason::BadRequest,
                    "the listener has no TLS now; open a new connection without TLS",
                );
            }
            (true, Some(ClientCertificate::Required)) if !self.has_certificate => {
                return refused(
                    Reason::MissingCertificate,
                    "the listener requires a client certificate now; open a new connection with one",
                );
            }
            (true, Some(ClientCertificate::None)) if self.has_certificate => {
                return refused(
                    Reason::CertificateUntrusted,
                    "the listener trusts no client certificates now; open a new connection",
                );
            }
            (true, Some(_)) | (false, None) => {}
        }
        if self.is_proxied != settings.is_proxy(self.peer) {
            return refused(
                Reason::BadRequest,
                "the listener's proxy_protocol has changed; open a new connection",
            );
        }
        if self.is_ext_authz != is_ext_authz(settings) {
            return refused(
                Reason::BadRequest,
                "the listener serves something else now; open a new connection",
            );
        }
        Ok(())
    }
}

fn is_ext_authz(settings: &ListenerSettings) -> bool {
    matches!(settings.serves, Serves::ExtAuthz(_))
}
