//! Asking the core who is calling.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_core::cert::PeerCertificate;
use cellway_core::identify::{IdentifyError, Memo, identify};
use cellway_core::keys::{KeySource, KeyTable};
use cellway_core::policy::{Policy, PolicySpecs};
use cellway_core::{Credentials, Evidence, Identity, Mono, Now, Unix};
use http::{HeaderValue, Method};
use serde_json::Value;

/// When all of this happens, in Unix seconds.
pub(crate) const NOW: u64 = 1_800_000_000;

/// The one moment at which everything is decided.
pub(crate) fn now() -> Now {
    Now {
        mono: Mono::from_origin(Duration::ZERO),
        unix: Unix::from_secs(NOW),
    }
}

/// A core that knows these policies, and this document of its one issuer's keys, if it has one.
pub(crate) struct Core {
    policy: Policy,
    keys: KeyTable,
}

impl Core {
    /// `None` if the configuration is refused.
    pub(crate) fn new(config: Value, keys: Option<Bytes>) -> Option<Self> {
        let specs: PolicySpecs = serde_json::from_value(config).ok()?;
        let policy = Policy::build(&specs).ok()?;
        let mut table = KeyTable::default();
        for (issuer, body) in policy.issuers.iter().zip(keys) {
            let mono = now().mono;
            let mut source = KeySource::new(issuer.algorithms.clone(), issuer.timing, mono, 1);
            source.handle_timeout(mono);
            source.handle_fetched(now(), Ok(body));
            table.issuers.push(Arc::clone(source.view()));
        }
        Some(Self {
            policy,
            keys: table,
        })
    }

    /// Whom the credentials prove, or the words that refuse them. Asked twice, the second time
    /// with what the first has left in the memo.
    pub(crate) fn ask(
        &self,
        authorization: Option<HeaderValue>,
        peer: Option<&PeerCertificate>,
    ) -> Result<Arc<Identity>, String> {
        let credentials = Credentials {
            authorization,
            ..Credentials::default()
        };
        self.identify(&credentials, peer)
    }

    /// As [`ask`](Self::ask), with a routing key and perhaps its signature.
    pub(crate) fn ask_by_key(
        &self,
        key: HeaderValue,
        signature: Option<HeaderValue>,
    ) -> Result<Arc<Identity>, String> {
        let credentials = Credentials {
            routing_key: vec![key],
            routing_key_signature: signature.into_iter().collect(),
            ..Credentials::default()
        };
        self.identify(&credentials, None)
    }

    fn identify(
        &self,
        credentials: &Credentials,
        peer: Option<&PeerCertificate>,
    ) -> Result<Arc<Identity>, String> {
        let evidence = Evidence {
            policy: self.policy.policy_id("default").ok_or("no policy")?,
            method: &Method::GET,
            authority: "api.example",
            path: "/",
            credentials,
            peer,
            spread: 0,
            waited: true,
        };
        let mut memo = Memo::new(4, 1);
        let mut ask = || {
            let found = identify(
                &self.policy,
                &self.keys,
                &evidence,
                now(),
                &mut memo,
                &mut (),
            );
            match found {
                Ok((_, identity)) => Ok(identity),
                Err(IdentifyError::Refused(refused)) => Err(refused.detail.to_owned()),
                Err(IdentifyError::Wait(wait)) => panic!("waits again: {wait:?}"),
            }
        };
        let first = ask();
        assert_eq!(first, ask(), "the memo changes the answer");
        first
    }
}
