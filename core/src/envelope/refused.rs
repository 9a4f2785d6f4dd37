//! Reasons for which a service refuses an envelope.

use std::fmt;

/// Why an envelope is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EnvelopeRefused {
    /// The request has no envelope.
    Missing,
    /// An envelope header occurs twice.
    Several,
    /// The envelope has the wrong form. The text says where, and holds nothing of the envelope.
    Malformed(&'static str),
    /// The envelope has another `typ`, so it is some other signed document.
    OtherType,
    /// The envelope's `alg` is not an algorithm for envelopes.
    ForbiddenAlgorithm,
    /// The service has no keys yet to verify the envelope with.
    NoKeys,
    /// The envelope names an unknown key.
    UnknownKey,
    /// The envelope's signature isn't valid. In the HMAC form, this also happens if the method, the path or
    /// another part differs.
    BadSignature,
    /// Another issuer sealed the envelope.
    OtherIssuer,
    /// The envelope is for another cell.
    OtherCell,
    /// The envelope is for another method.
    OtherMethod,
    /// The envelope is for another path or query.
    OtherTarget,
    /// The envelope has expired.
    Expired,
    /// The envelope was sealed in the future.
    NotYetValid,
    /// The envelope's lifetime is longer than the limit.
    LifetimeTooLong,
    /// A plain header has another value than the envelope.
    HeaderMismatch,
}

impl EnvelopeRefused {
    /// The name in metrics, logs and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "envelope_missing",
            Self::Several => "envelope_several",
            Self::Malformed(_) => "envelope_malformed",
            Self::OtherType => "envelope_other_type",
            Self::ForbiddenAlgorithm => "envelope_forbidden_algorithm",
            Self::NoKeys => "envelope_no_keys",
            Self::UnknownKey => "envelope_unknown_key",
            Self::BadSignature => "envelope_bad_signature",
            Self::OtherIssuer => "envelope_other_issuer",
            Self::OtherCell => "envelope_other_cell",
            Self::OtherMethod => "envelope_other_method",
            Self::OtherTarget => "envelope_other_target",
            Self::Expired => "envelope_expired",
            Self::NotYetValid => "envelope_not_yet_valid",
            Self::LifetimeTooLong => "envelope_lifetime_too_long",
            Self::HeaderMismatch => "envelope_header_mismatch",
        }
    }

    /// Whether newer keys may change the result. Then fetch them, and verify again once.
    pub const fn wants_keys(self) -> bool {
        matches!(self, Self::NoKeys | Self::UnknownKey)
    }
}

impl fmt::Display for EnvelopeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        if let Self::Malformed(detail) = self {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for EnvelopeRefused {}
