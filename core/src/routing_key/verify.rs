//! Checks that a gateway or a signature backs the routing key of a request.

use http::{HeaderValue, Method};

use crate::explain::Recorder;
use crate::reason::Reason;
use crate::refused::Refused;
use crate::text::Text;
use crate::time::Unix;

use super::rules::{Gateway, RoutingKeyRules, Signer};
use super::signature::{Signature, Signed, canonical};
use super::{RoutingKeySender, VerifiedRoutingKey};

/// The request's fields with the router's two names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    keys: &'a [HeaderValue],
    signatures: &'a [HeaderValue],
}

/// What a routing key is checked against.
pub(crate) struct RequestContext<'a> {
    pub(crate) rules: &'a RoutingKeyRules,
    /// The listed gateway on whose connection it came.
    pub(crate) gateway: Option<&'a Gateway>,
    pub(crate) method: &'a Method,
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) now: Unix,
}

const FORM: &str = "routing_key.form";
const SIGNER: &str = "routing_key.signer";

impl<'a> Fields<'a> {
    /// `None` if the request has neither. A signature without a key is refused later.
    pub(crate) fn new(keys: &'a [HeaderValue], signatures: &'a [HeaderValue]) -> Option<Self> {
        let there = !keys.is_empty() || !signatures.is_empty();
        there.then_some(Self { keys, signatures })
    }

    /// The one key and the one signature, if any.
    fn fields(self) -> Result<(Text, Option<&'a HeaderValue>), Refused> {
        const PRESENT: &str = "routing_key.present";
        let malformed = |detail| Refused::new(FORM, Reason::MalformedRoutingKey, detail);
        let twice = |detail| Refused::new(PRESENT, Reason::DuplicateRoutingKey, detail);
        let key = match self.keys {
            [] => {
                return Err(malformed(
                    "there is a routing key signature, but no routing key",
                ));
            }
            [key] => key,
            [_, _, ..] => return Err(twice("there is more than one routing key")),
        };
        if self.signatures.len() > 1 {
            return Err(twice("there is more than one signature"));
        }
        let key = key.to_str().ok().and_then(|key| Text::new(key).ok());
        let key = key.ok_or(malformed(
            "the routing key is empty, too long, or has an invalid character",
        ))?;
        Ok((key, self.signatures.first()))
    }
}

impl RequestContext<'_> {
    /// Verifies the routing key. A signature must be valid if there is one, whoever sends it, and
    /// then the signer vouches for the key.
    pub(crate) fn verify(
        &self,
        shown: Fields<'_>,
        recorder: &mut impl Recorder,
    ) -> Result<VerifiedRoutingKey, Refused> {
        let (tenant, signature) = shown.fields()?;
        let by = match (signature, self.gateway) {
            (Some(signature), _) => {
                RoutingKeySender::Signer(self.signer(signature, &tenant, recorder)?)
            }
            (None, Some(gateway)) => RoutingKeySender::Gateway(gateway.san.text().clone()),
            (None, None) => {
                return Err(Refused::new(
                    "routing_key.sender",
                    Reason::UntrustedRoutingKey,
                    "the routing key is not signed, and comes from no listed gateway",
                ));
            }
        };
        recorder.pass("routing_key.sender", || by.to_string());
        Ok(VerifiedRoutingKey { tenant, by })
    }

    /// The signer whose signature is valid for this request.
    fn signer(
        &self,
        header: &HeaderValue,
        key: &Text,
        recorder: &mut impl Recorder,
    ) -> Result<Text, Refused> {
        let shown = Signature::parse(header.as_bytes()).ok_or(Refused::new(
            FORM,
            Reason::MalformedRoutingKey,
            "the signature is not of the form `v1; kid=...; t=...; sig=...`",
        ))?;
        let signer = self.rules.signer(shown.kid).ok_or(Refused::new(
            SIGNER,
            Reason::RoutingKeyUnknownSigner,
            "no signer has this kid",
        ))?;
        recorder.pass(SIGNER, || format!("kid {:?}", signer.kid));
        self.check_time(shown.time)?;
        recorder.pass("routing_key.time", || format!("signed at {}", shown.time));
        self.check_signature(signer, &shown, key)?;
        recorder.pass("routing_key.signature", || "valid".to_owned());
        Ok(signer.kid.clone())
    }

    fn check_time(&self, time: u64) -> Result<(), Refused> {
        const CHECK: &str = "routing_key.time";
        let now = self.now.as_secs();
        if now > time.saturating_add(self.rules.max_age_secs) {
            let detail = "the signature is too old";
            return Err(Refused::new(CHECK, Reason::RoutingKeyExpired, detail));
        }
        if time > now.saturating_add(self.rules.skew_secs) {
            let detail = "the time of the signature is in the future";
            return Err(Refused::new(CHECK, Reason::RoutingKeyNotYetValid, detail));
        }
        Ok(())
    }

    fn check_signature(
        &self,
        signer: &Signer,
        shown: &Signature<'_>,
        key: &Text,
    ) -> Result<(), Refused> {
        let message = canonical(&Signed {
            kid: shown.kid,
            time: shown.time,
            method: self.method,
            authority: self.authority,
            path: self.path,
            key: key.as_str(),
        });
        let holds = signer.key.verify(&message, &shown.signature);
        holds.then_some(()).ok_or(Refused::new(
            "routing_key.signature",
            Reason::RoutingKeyBadSignature,
            "the signature is not valid for this request",
        ))
    }
}
