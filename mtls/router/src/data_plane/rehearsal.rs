//! Decides requests that no client has sent, as a listener would: for `cellway decide`.
//!
//! Every check is the data plane's own: the client's chain, the form of the request, CORS preflights, the
//! credentials in its header, the route, and core's `decide`. What depends on traffic or on cells is left
//! out: rate limits, requests in flight, the health of endpoints, and the sealing of envelopes.

use std::sync::Arc;

use cellway_core::cert::PeerCertificate;
use cellway_core::cors::is_preflight;
use cellway_core::headers::sanitize;
use cellway_core::identify::Memo;
use cellway_core::policy::PolicyId;
use cellway_core::{Decision, Evidence, Now, Outcome, Reason, Snapshot, decide};
use cellway_env::Env;
use http::request::Parts;
use rustls::pki_types::CertificateDer;

use super::authz::{Refused, route};
use super::{target, well_formed};
use crate::envelope;
use crate::settings::{ClientCertificate, ListenerSettings, RouterSettings, Serves};
use crate::tls::{ChainRefused, ClientVerifier, HandshakeError, MaterialError, Provider, Trust};

/// What requests are decided with.
#[derive(Debug)]
pub struct Rehearsal {
    snapshot: Arc<Snapshot>,
    /// `None`: no client certificate is trusted.
    verifier: Option<ClientVerifier>,
}

/// A client's certificate chain, and whether the router trusts it.
#[derive(Clone, Debug)]
pub struct ShownChain(Result<PeerCertificate, ChainRefused>);

/// What becomes of a request.
#[derive(Clone, PartialEq, Debug)]
pub enum Rehearsed {
    /// The TLS handshake fails, so the client can't send the request.
    Handshake(HandshakeError),
    /// The router answers it before any decision: a CORS preflight, or the page of its own keys.
    Answered {
        /// Which of the two, as tables write it.
        what: &'static str,
    },
    /// The router decides.
    Decided {
        /// The policy that applies.
        policy: PolicyId,
        /// The decision.
        decision: Decision,
    },
}

impl Rehearsal {
    /// Reads the trust bundles and revocation lists that the settings name.
    ///
    /// # Errors
    /// The setting, and what is wrong with its file.
    pub async fn load<E: Env>(
        env: &E,
        provider: &Provider,
        settings: &RouterSettings,
        snapshot: Arc<Snapshot>,
    ) -> Result<Self, (String, MaterialError)> {
        let trust = Trust::load(env, settings).await?;
        let verifier = trust.map(|trust| ClientVerifier::new(provider, &trust, false));
        Ok(Self { snapshot, verifier })
    }

    /// Verifies a client's chain, leaf first, at the provider's time.
    pub fn show(&self, chain: &[CertificateDer<'static>]) -> ShownChain {
        let verify = || {
            let verifier = self.verifier.as_ref().ok_or(ChainRefused::UnknownIssuer)?;
            verifier.verify_chain(chain)?;
            let leaf = chain.first().ok_or(ChainRefused::Untrusted)?;
            PeerCertificate::from_der(leaf).map_err(|_| ChainRefused::Untrusted)
        };
        ShownChain(verify())
    }

    /// Says what becomes of a request of a client who would show `chain`. A client shows it only if the
    /// listener asks for a certificate.
    pub fn decide(
        &self,
        listener: &ListenerSettings,
        chain: Option<&ShownChain>,
        request: Parts,
        now: Now,
    ) -> Rehearsed {
        let asked = listener.asks_for_certificate();
        let chain = chain.filter(|_| asked != ClientCertificate::None);
        let peer = match (chain, &listener.serves) {
            (None, Serves::Proxy) if asked == ClientCertificate::Required => {
                return Rehearsed::Handshake(HandshakeError::NoCertificate);
            }
            (Some(ShownChain(Err(why))), Serves::Proxy) => {
                return Rehearsed::Handshake((*why).into());
            }
            // An Envoy has done the handshake and describes the client.
            (chain, _) => chain.map(|chain| chain.0.as_ref().map_err(|why| *why)),
        };
        let checked = well_formed::check(&request, |_| false);
        if checked.is_ok()
            && listener.serves == Serves::Proxy
            && let Some(what) = self.answers(listener, &request)
        {
            return Rehearsed::Answered { what };
        }
        let own = listener.route_of(target::path_and_query(&request));
        // An ambiguous path matches no route.
        let policy = own.map_or(listener.policy, |routed| routed.policy);
        let decided = checked
            .map_err(Refused::from)
            .and_then(|()| self.decision(listener, peer, request, now));
        let denied = |refused: Refused| (policy, Decision::Deny(refused.as_denial()));
        let (policy, decision) = decided.unwrap_or_else(denied);
        Rehearsed::Decided { policy, decision }
    }

    /// What the router answers before any decision.
    fn answers(&self, listener: &ListenerSettings, request: &Parts) -> Option<&'static str> {
        if envelope::is_asked(&request.uri) {
            return Some("keys of envelopes");
        }
        let routed = listener.route_of(target::path_and_query(request)).ok()?;
        let has_cors = self.snapshot.policy.auth(routed.policy).cors.is_some();
        (has_cors && is_preflight(&request.method, &request.headers)).then_some("preflight")
    }

    /// The decision of a well-formed request.
    fn decision(
        &self,
        listener: &ListenerSettings,
        peer: Option<Result<&PeerCertificate, ChainRefused>>,
        mut request: Parts,
        now: Now,
    ) -> Result<(PolicyId, Decision), Refused> {
        let rules = &self.snapshot.policy;
        let credentials = sanitize(&rules.headers, &mut request.headers)
            .map_err(|why| Refused::new(Reason::BadRequest, why.detail()))?;
        let peer = peer.transpose().map_err(Refused::chain)?;
        let path = target::path_and_query(&request);
        let policy = route(listener, path, &credentials)?.policy;
        let evidence = Evidence {
            policy,
            method: &request.method,
            authority: target::authority(&request.uri, target::host(&request.headers)),
            path,
            credentials: &credentials,
            peer,
            spread: 0,
            waited: true,
        };
        match decide(
            &self.snapshot,
            &evidence,
            now,
            &mut Memo::disabled(),
            &mut (),
        ) {
            Outcome::Done(decision) => Ok((policy, decision)),
            // This can't happen, because `waited` is set.
            Outcome::Wait(_) => unreachable!("a request that has waited is decided"),
        }
    }
}
