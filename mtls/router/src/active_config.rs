//! The configuration in force, with what was made from the files that it names.

use std::sync::Arc;

use cellway_core::path::PathError;
use cellway_core::policy::PolicyId;
use cellway_core::{Now, Snapshot, Unix};
use cellway_env::Env;
use rustls::pki_types::CertificateDer;

use crate::check::Findings;
use crate::envelope::Sealer;
use crate::settings::{RouterSettings, Serves};
use crate::tls::{
    CellTls, CertificateDates, ChainRefused, ClientVerifier, ListDates, Provider, ServerTls, Trust,
    certificate_dates,
};

/// Settings in force, with what was made from the files that they name.
#[derive(Debug)]
pub(crate) struct ActiveConfig {
    /// Grows with each reload, so that a standing connection knows that it was judged by older
    /// settings.
    pub(crate) epoch: u64,
    pub(crate) settings: RouterSettings,
    /// In the order of `settings.listeners`; `None` for plain ones.
    pub(crate) server_tls: Vec<Option<ServerTls>>,
    pub(crate) cell_tls: Option<CellTls>,
    /// Seals identity envelopes; `None` without `[envelope]`.
    pub(crate) sealer: Option<Sealer>,
    /// Judges the client certificates that an Envoy describes; `None` without a bundle.
    described: Option<ClientVerifier>,
    trust: Option<Arc<Trust>>,
    /// When the certificates of all chains and bundles end, the first one first.
    pub(crate) certificates: Arc<[CertificateDates]>,
    /// By listener: [`has_cors`](Self::has_cors).
    cors: Vec<bool>,
}

impl ActiveConfig {
    /// Reads the files for TLS and envelopes that the settings name; the result is to replace
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
        let (trust, bundle_failed) = match Trust::load(env, &settings).await {
            Ok(trust) => (trust, false),
            Err((setting, error)) => {
                findings.error(setting, error, "");
                (None, true)
            }
        };
        let mut server_tls = Vec::with_capacity(settings.listeners.len());
        for (i, listener) in settings.listeners.iter().enumerate() {
            server_tls.push(match &listener.tls {
                None => None,
                Some(tls) => {
                    // The listener's own files are checked even without the bundle.
                    let tls = match bundle_failed {
                        true => &tls.without_clients(),
                        false => tls,
                    };
                    let loaded = ServerTls::load(env, provider, tls, trust.as_ref()).await;
                    findings.take(format!("listener[{i}].tls"), loaded)
                }
            });
        }
        let described = trust.as_ref();
        let described = described.map(|trust| ClientVerifier::new(provider, trust, false));
        let cell_tls = CellTls::load(env, provider, &settings.upstream).await;
        let cell_tls = findings.take("upstream", cell_tls).flatten();
        let sealer = match &settings.envelope {
            None => None,
            Some(envelope) => {
                let before = before.and_then(|active| active.sealer.as_ref());
                let sealer = Sealer::load(env, envelope, now, before).await;
                findings.take("envelope.keys", sealer)
            }
        };
        let cors = settings
            .listeners
            .iter()
            .map(|it| it.has_cors(&settings.policy));
        let certificates = certificate_dates(env, &settings).await;
        Self {
            certificates: certificates.into(),
            cors: cors.collect(),
            epoch: before.map_or(1, |active| active.epoch + 1),
            server_tls,
            cell_tls,
            sealer,
            described,
            trust,
            settings,
        }
    }

    /// When the next revocation list will be past its time, so that what was judged by it has to be
    /// judged again.
    pub(crate) fn next_staling(&self, now: Unix) -> Option<Unix> {
        self.trust
            .as_ref()
            .and_then(|trust| trust.next_staling(now))
    }

    /// Whether this chain may stand behind a request that comes by the listener: its handshake's
    /// verifier says so, or where requests are only described, the bundle itself. And until when.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn verify_chain(
        &self,
        listener: usize,
        chain: &[CertificateDer<'static>],
    ) -> Result<Unix, ChainRefused> {
        match (self.serves(listener), &self.described) {
            (Some(Serves::Proxy), _) => self.verify_peer_chain(listener, chain),
            (Some(Serves::ExtAuthz(_)), Some(clients)) => clients.verify_chain(chain),
            (Some(Serves::ExtAuthz(_)), None) | (None, _) => Err(ChainRefused::Untrusted),
        }
    }

    /// Whether whoever is at the other end of the listener's connection may still be there.
    ///
    /// # Errors
    /// Why they may not.
    pub(crate) fn verify_peer_chain(
        &self,
        listener: usize,
        chain: &[CertificateDer<'static>],
    ) -> Result<Unix, ChainRefused> {
        let tls = self.server_tls.get(listener).and_then(Option::as_ref);
        tls.ok_or(ChainRefused::Untrusted)
            .and_then(|tls| tls.verify_chain(chain))
    }

    /// The client CAs without a revocation list, as text.
    pub(crate) fn authorities_without_list(&self) -> Vec<String> {
        let trust = self.trust.as_ref();
        trust.map_or_else(Vec::new, |trust| trust.authorities_without_list())
    }

    /// When the revocation lists in force were issued, and are followed by others.
    pub(crate) fn lists(&self) -> &[ListDates] {
        self.trust.as_ref().map_or(&[], |trust| trust.dates())
    }

    /// What the listener serves.
    pub(crate) fn serves(&self, listener: usize) -> Option<&Serves> {
        let settings = self.settings.listeners.get(listener)?;
        Some(&settings.serves)
    }

    /// The policy that these settings have for a request for this path and query.
    ///
    /// # Errors
    /// As [`ListenerSettings::policy_of`](crate::settings::ListenerSettings::policy_of).
    pub(crate) fn policy(
        &self,
        listener: usize,
        target: &str,
    ) -> Result<Option<PolicyId>, PathError> {
        let settings = self.settings.listeners.get(listener);
        settings
            .map(|listener| listener.policy_of(target))
            .transpose()
    }

    /// The policy of the listener's requests that no route is for.
    pub(crate) fn own_policy(&self, listener: usize) -> Option<PolicyId> {
        let settings = self.settings.listeners.get(listener)?;
        Some(settings.policy)
    }

    /// Whether the listener's policy hangs on what is asked for.
    pub(crate) fn has_routes(&self, listener: usize) -> bool {
        let settings = self.settings.listeners.get(listener);
        settings.is_some_and(|listener| !listener.routes.is_empty())
    }

    /// Whether any of the listener's policies has CORS rules.
    pub(crate) fn has_cors(&self, listener: usize) -> bool {
        self.cors.get(listener) == Some(&true)
    }

    /// The policy in this snapshot. By name where the snapshot has another policy than these settings,
    /// which is so for a moment while a reload takes effect; `None` where the name is unknown there.
    pub(crate) fn policy_in(&self, snapshot: &Snapshot, id: PolicyId) -> Option<PolicyId> {
        if Arc::ptr_eq(&self.settings.policy, &snapshot.policy) {
            return Some(id);
        }
        let name = &self.settings.policy.auth(id).name;
        snapshot.policy.policy_id(name.as_str())
    }
}
