//! The active configuration: settings in force, and what was made from the files that they name.

use std::sync::Arc;

use cellway_core::headers::HeaderRules;
use cellway_core::path::PathError;
use cellway_core::{Now, Unix};
use cellway_env::Env;
use rustls::pki_types::CertificateDer;

use crate::envelope::Sealer;
use crate::finding::Findings;
use crate::settings::{ListenerSettings, Routed, RouterSettings, Serves, TrafficSettings};
use crate::tls::{
    AdminServer, CellTls, CertificateDates, ChainRefused, ClientVerifier, ListDates, Provider,
    ServerTls, Trust, certificate_dates,
};

/// Settings in force, with what was made from the files that they name.
#[derive(Debug)]
pub(crate) struct ActiveConfig {
    /// Grows with each reload, so that a connection knows that its client was verified under older
    /// settings.
    pub(crate) epoch: u64,
    pub(crate) settings: RouterSettings,
    /// In the order of `settings.listeners`. `None` for plain listeners.
    pub(crate) server_tls: Vec<Option<ServerTls>>,
    pub(crate) cell_tls: Option<CellTls>,
    /// `None` without `[admin.tls]`.
    pub(crate) admin: Option<AdminServer>,
    /// Seals identity envelopes. `None` without `[envelope]`.
    pub(crate) sealer: Option<Sealer>,
    /// Verifies the client certificates that an Envoy describes. `None` without a bundle.
    described: Option<ClientVerifier>,
    trust: Option<Arc<Trust>>,
    /// The dates of all revocation lists.
    lists: Box<[ListDates]>,
    /// When the certificates of all chains and bundles expire, sorted by expiry.
    pub(crate) certificates: Arc<[CertificateDates]>,
    /// For each listener, whether it [has CORS rules](Self::has_cors).
    cors: Vec<bool>,
}

impl ActiveConfig {
    /// Reads the files for TLS and envelopes that the settings name. The result will replace
    /// `before`. If the findings contain an error, the result is incomplete and must not be put in
    /// force.
    pub(crate) async fn load<E: Env>(
        env: &E,
        provider: &Provider,
        settings: RouterSettings,
        now: Now,
        before: Option<&Self>,
        findings: &mut Findings,
    ) -> Self {
        let trust = findings.take_at(Trust::load(env, &settings).await);
        let server_tls = server_tls(env, provider, &settings, trust.as_ref(), findings).await;
        let trust = trust.flatten();
        let described = trust.as_ref();
        let described = described.map(|trust| ClientVerifier::new(provider, trust, false));
        let cell_tls = CellTls::load(env, provider, &settings.upstream).await;
        let cell_tls = findings.take("upstream", cell_tls).flatten();
        let admin = match &settings.admin_tls {
            None => None,
            Some(tls) => findings.take_at(AdminServer::load(env, provider, tls).await),
        };
        let before = before.and_then(|config| config.sealer.as_ref());
        let sealer = match &settings.envelope {
            None => None,
            Some(envelope) => {
                let sealer = Sealer::load(env, envelope, now, before).await;
                findings.take("envelope.keys", sealer)
            }
        };
        let cors = settings
            .listeners
            .iter()
            .map(|it| it.has_cors(&settings.policy));
        let of_admin = admin.as_ref().and_then(|admin| admin.trust.as_ref());
        let trusts = trust.iter().chain(of_admin);
        let lists = trusts.flat_map(|trust| trust.dates()).copied().collect();
        let certificates = certificate_dates(env, &settings).await;
        Self {
            certificates: certificates.into(),
            cors: cors.collect(),
            epoch: 1,
            server_tls,
            cell_tls,
            admin,
            sealer,
            described,
            trust,
            lists,
            settings,
        }
    }

    /// When the next revocation list becomes stale after `now`. Chains must be verified again then.
    pub(crate) fn next_staling(&self, now: Unix) -> Option<Unix> {
        self.trust
            .as_ref()
            .and_then(|trust| trust.next_staling(now))
    }

    /// Verifies the chain of a request's client, and returns when the first certificate in it
    /// expires. A listener that proxies uses the verifier of its handshakes. On an `ext_authz`
    /// listener, an Envoy describes the client, and the chain is verified against the trust bundle.
    ///
    /// # Errors
    /// Why the chain is refused.
    pub(crate) fn verify_chain(
        &self,
        listener: usize,
        chain: &[CertificateDer<'static>],
    ) -> Result<Unix, ChainRefused> {
        match (&self.listener(listener).serves, &self.described) {
            (Serves::Proxy, _) => self.verify_peer_chain(listener, chain),
            (Serves::ExtAuthz(_), Some(clients)) => clients.verify_chain(chain),
            (Serves::ExtAuthz(_), None) => Err(ChainRefused::Untrusted),
        }
    }

    /// Verifies the chain of the peer of a listener's connection, and returns when the first
    /// certificate in it expires.
    ///
    /// # Errors
    /// Why the chain is refused.
    pub(crate) fn verify_peer_chain(
        &self,
        listener: usize,
        chain: &[CertificateDer<'static>],
    ) -> Result<Unix, ChainRefused> {
        let tls = self.server_tls[listener].as_ref();
        tls.ok_or(ChainRefused::Untrusted)
            .and_then(|tls| tls.verify_chain(chain))
    }

    /// The names of the client CAs without a revocation list, if each must have one, after the table
    /// of the settings that trusts them.
    pub(crate) fn authorities_without_list(&self) -> Vec<(&'static str, String)> {
        let of_admin = self.admin.as_ref().and_then(|admin| admin.trust.as_ref());
        let named = |(table, trust): (&'static str, &Arc<Trust>)| {
            let missing = trust.authorities_without_list().into_iter();
            missing.map(move |names| (table, names)).collect::<Vec<_>>()
        };
        let trusts = self.trust.iter().map(|trust| ("trust", trust));
        let trusts = trusts.chain(of_admin.map(|trust| ("admin.tls", trust)));
        trusts.flat_map(named).collect()
    }

    /// The dates of the revocation lists in force.
    pub(crate) fn lists(&self) -> &[ListDates] {
        &self.lists
    }

    /// The settings of a listener, by its position. A running router never gains or loses a listener,
    /// so a position is valid for as long as the router runs.
    pub(crate) fn listener(&self, listener: usize) -> &ListenerSettings {
        &self.settings.listeners[listener]
    }

    /// What applies to a request for this path and query.
    ///
    /// # Errors
    /// As [`ListenerSettings::route_of`].
    pub(crate) fn routed(&self, listener: usize, target: &str) -> Result<Routed<'_>, PathError> {
        self.listener(listener).route_of(target)
    }

    /// How a request for this path and query is forwarded after its policy was found.
    pub(crate) fn traffic(&self, listener: usize, target: &str) -> &TrafficSettings {
        let listener = self.listener(listener);
        // A path that could be read differently has no policy, so it never gets here.
        let routed = listener.route_of(target);
        routed.map_or(&listener.traffic, |routed| routed.traffic)
    }

    /// Whether the listener's policy depends on the path.
    pub(crate) fn has_routes(&self, listener: usize) -> bool {
        !self.listener(listener).routes.is_empty()
    }

    /// Whether any of the listener's policies has CORS rules.
    pub(crate) fn has_cors(&self, listener: usize) -> bool {
        self.cors[listener]
    }

    /// The names of the router's own headers.
    pub(crate) fn header_rules(&self) -> &HeaderRules {
        &self.settings.policy.headers
    }
}

/// Loads what each listener's TLS needs, in the order of the listeners. `trust` is `None` if the bundle
/// of the clients' CAs is broken: the listeners' own files are still checked then.
async fn server_tls<E: Env>(
    env: &E,
    provider: &Provider,
    settings: &RouterSettings,
    trust: Option<&Option<Arc<Trust>>>,
    findings: &mut Findings,
) -> Vec<Option<ServerTls>> {
    let mut loaded = Vec::with_capacity(settings.listeners.len());
    for (i, listener) in settings.listeners.iter().enumerate() {
        let Some(tls) = &listener.tls else {
            loaded.push(None);
            continue;
        };
        let tls = match trust {
            Some(trust) => ServerTls::load(env, provider, tls, trust.as_ref()).await,
            None => ServerTls::load(env, provider, &tls.without_clients(), None).await,
        };
        loaded.push(findings.take(format!("listener[{i}].tls"), tls));
    }
    loaded
}
