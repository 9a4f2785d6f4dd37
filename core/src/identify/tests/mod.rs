use std::sync::{Arc, LazyLock};

use http::{HeaderValue, Method};
use serde_json::{Value, json};

use super::*;
use crate::cert::PeerCertificate;
use crate::evidence::{Credentials, Evidence};
use crate::explain::Steps;
use crate::testing::{self, START, Signer, at, certificate_for, issuer, jwks, key_table};

mod claims;
mod identity;
mod memo;
mod routing_key;
mod tokens;

/// An issuer with one key of each kind, and a policy that accepts its tokens.
struct World {
    policy: Policy,
    keys: KeyTable,
    memo: Memo,
    now: u64,
    waited: bool,
    peer: Option<PeerCertificate>,
    choice: Option<&'static str>,
}

struct Signers {
    ed: Signer,
    p256: Signer,
    p384: Signer,
    rsa: Signer,
    pss: Signer,
}

/// Made once, because RSA keys take a while.
static SIGNERS: LazyLock<Signers> = LazyLock::new(|| Signers {
    ed: Signer::ed25519(1),
    p256: Signer::p256(),
    p384: Signer::p384(),
    rsa: Signer::rsa(),
    pss: Signer::rsa(),
});

fn published() -> bytes::Bytes {
    let mut pss = SIGNERS.pss.jwk("pss");
    pss["alg"] = json!("PS256");
    jwks(&[
        SIGNERS.ed.jwk("ed"),
        SIGNERS.p256.jwk("p256"),
        SIGNERS.p384.jwk("p384"),
        SIGNERS.rsa.jwk("rsa"),
        pss,
    ])
}

impl World {
    /// With these members of `[[issuer]]` and `[[policy]]`.
    fn new(of_issuer: Value, of_policy: Value) -> Self {
        let mut policy = json!({"name": "default"});
        policy
            .as_object_mut()
            .unwrap()
            .extend(of_policy.as_object().unwrap().clone());
        let policy = testing::policy(json!({
            "issuer": [issuer(of_issuer)],
            "policy": [policy],
            "trust": {
                "bundle": "ca.pem",
                "trust_domains": ["example"],
                "san": [
                    "spiffe://{trust_domain}/tenant/{tenant}/svc/{service}",
                    "spiffe://{trust_domain}/tenant/{tenant}/api",
                    "spiffe://{trust_domain}/cell/{cell}/**",
                ],
            },
        }));
        Self {
            keys: key_table(&policy, &[published()]),
            policy,
            memo: Memo::new(64, 7),
            now: 100,
            waited: false,
            peer: None,
            choice: None,
        }
    }

    fn jwt() -> Self {
        Self::new(json!({}), json!({"any_of": ["jwt"]}))
    }

    fn with_peer(mut self, uri: &str) -> Self {
        self.peer = Some(PeerCertificate::from_der(&certificate_for(&[uri], &[])).unwrap());
        self
    }

    /// The result for a request with this `Authorization`.
    fn ask(
        &mut self,
        authorization: Option<&str>,
    ) -> Result<(Reason, Arc<Identity>), IdentifyError> {
        let credentials = Credentials {
            authorization: authorization.map(|a| HeaderValue::from_str(a).unwrap()),
            tenant_choice: self.choice.map(HeaderValue::from_static),
            ..Credentials::default()
        };
        let mut memo = std::mem::replace(&mut self.memo, Memo::disabled());
        let evidence = self.evidence(&credentials);
        let result = self.identify(&evidence, &mut memo);
        self.memo = memo;
        result
    }

    fn evidence<'a>(&'a self, credentials: &'a Credentials) -> Evidence<'a> {
        Evidence {
            policy: self.policy.policy_id("default").unwrap(),
            method: &Method::GET,
            authority: "api.example",
            path: "/",
            credentials,
            peer: self.peer.as_ref(),
            spread: 0,
            waited: self.waited,
        }
    }

    /// Asks with `memo`, then without any, and expects the same.
    fn identify(
        &self,
        evidence: &Evidence<'_>,
        memo: &mut Memo,
    ) -> Result<(Reason, Arc<Identity>), IdentifyError> {
        let now = at(self.now);
        let mut steps = Steps::default();
        let fresh = &mut Memo::disabled();
        let result = identify(&self.policy, &self.keys, evidence, now, memo, &mut ());
        let again = identify(&self.policy, &self.keys, evidence, now, fresh, &mut steps);
        assert_eq!(result, again, "the memo changes the answer");
        let last = steps.0.last().unwrap();
        assert_eq!(last.passed, result.is_ok(), "{steps}");
        assert!(
            steps.0.iter().rev().skip(1).all(|step| step.passed),
            "{steps}"
        );
        result
    }

    fn bearer(&mut self, token: &str) -> Result<Arc<Identity>, IdentifyError> {
        self.ask(Some(&format!("Bearer {token}")))
            .map(|(reason, identity)| {
                assert_eq!(reason, Reason::Verified);
                identity
            })
    }

    /// The reason why the token is refused, or `verified`.
    fn reason(&mut self, token: &str) -> Reason {
        reason_of(self.bearer(token))
    }
}

fn reason_of<T>(result: Result<T, IdentifyError>) -> Reason {
    match result {
        Ok(_) => Reason::Verified,
        Err(IdentifyError::Refused(refused)) => refused.reason,
        Err(IdentifyError::Wait(wait)) => panic!("{wait:?}"),
    }
}

/// Claims that are valid 100 seconds after the start, with these members changed.
fn claims(change: Value) -> Value {
    let mut claims = json!({
        "iss": "https://idp.example",
        "aud": "cellway",
        "exp": START + 200,
        "sub": "alice",
        "tenant_id": "acme",
    });
    for (name, value) in change.as_object().unwrap() {
        match value.as_str() {
            Some("REMOVED") => _ = claims.as_object_mut().unwrap().remove(name),
            _ => claims[name] = value.clone(),
        }
    }
    claims
}

fn ed_token(change: Value) -> String {
    let header = json!({"alg": "EdDSA", "kid": "ed", "typ": "JWT"});
    SIGNERS.ed.token(&header, &claims(change))
}
