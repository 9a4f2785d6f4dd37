//! Dates in claims (RFC 7519, section 2: NumericDate).

use crate::json::{Json, Number, Object};

use super::JwsError;

/// The end of the year 9999; a date beyond it is a mistake (often milliseconds).
const DATE_MAX_SECS: u64 = 253_402_300_799;

/// A claim that is a date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DateClaim {
    /// When the document expires. A fraction of a second is cut off.
    Exp,
    /// When it becomes valid. Fractions are rounded up.
    Nbf,
    /// When it was issued. Fractions are rounded up.
    Iat,
}

impl DateClaim {
    /// Reads the claim, in whole Unix seconds, rounded to the stricter side.
    ///
    /// # Errors
    /// [`JwsError::Malformed`] for anything but a number between 1970 and the year 9999.
    pub(crate) fn read(self, claims: &Object<'_>) -> Result<Option<u64>, JwsError> {
        let seconds = match claims.get(self.name()) {
            None => return Ok(None),
            Some(Json::Number(Number::Unsigned(seconds))) => *seconds,
            Some(Json::Number(Number::Other(seconds))) if *seconds >= 0.0 => {
                self.round(*seconds) as u64
            }
            Some(_) => return Err(JwsError::Malformed(self.not_seconds())),
        };
        if seconds > DATE_MAX_SECS {
            return Err(JwsError::Malformed(self.too_far()));
        }
        Ok(Some(seconds))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Exp => "exp",
            Self::Nbf => "nbf",
            Self::Iat => "iat",
        }
    }

    fn round(self, seconds: f64) -> f64 {
        match self {
            Self::Exp => seconds.floor(),
            Self::Nbf | Self::Iat => seconds.ceil(),
        }
    }

    const fn not_seconds(self) -> &'static str {
        match self {
            Self::Exp => "`exp` is not a number of seconds",
            Self::Nbf => "`nbf` is not a number of seconds",
            Self::Iat => "`iat` is not a number of seconds",
        }
    }

    const fn too_far(self) -> &'static str {
        match self {
            Self::Exp => "`exp` is after the year 9999; it may be in milliseconds",
            Self::Nbf => "`nbf` is after the year 9999; it may be in milliseconds",
            Self::Iat => "`iat` is after the year 9999; it may be in milliseconds",
        }
    }
}

#[cfg(test)]
mod tests;
