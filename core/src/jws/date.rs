//! Dates in claims (RFC 7519, section 2: NumericDate).

use crate::json::{Json, Number, Object};

use super::JwsError;

/// The end of the year 9999; a date beyond it is a mistake (often milliseconds).
const DATE_MAX_SECS: u64 = 253_402_300_799;

/// A claim that is a date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DateClaim {
    /// When the document ends. A fraction of a second is cut off.
    Exp,
    /// When it begins. A fraction counts as the whole second.
    Nbf,
    /// When it was made. A fraction counts as the whole second.
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
mod tests {
    use super::*;
    use crate::json;

    fn read(claim: DateClaim, value: &str) -> Result<Option<u64>, JwsError> {
        let text = format!(r#"{{"exp":{value},"nbf":{value},"iat":{value}}}"#);
        claim.read(&json::strict_object(text.as_bytes()).unwrap())
    }

    #[test]
    fn fractions_are_rounded_to_the_stricter_side() {
        use DateClaim::*;
        for (value, exp, others) in [
            ("0", 0, 0),
            ("-0", 0, 0),
            ("7", 7, 7),
            ("7.0", 7, 7),
            ("7.000001", 7, 8),
            ("7.999999", 7, 8),
            ("1.8e9", 1_800_000_000, 1_800_000_000),
            ("253402300799", DATE_MAX_SECS, DATE_MAX_SECS),
        ] {
            assert_eq!(read(Exp, value), Ok(Some(exp)), "{value}");
            assert_eq!(read(Nbf, value), Ok(Some(others)), "{value}");
            assert_eq!(read(Iat, value), Ok(Some(others)), "{value}");
        }
        let none = json::strict_object(b"{}").unwrap();
        assert_eq!(Exp.read(&none), Ok(None));
        assert_eq!(read(Exp, "null"), Ok(None));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for value in [
            "true",
            r#""1800000000""#,
            "[1800000000]",
            "{}",
            "-1",
            "-0.5",
            "-1e300",
            "253402300800",
            "253402300799.5e1",
            "1800000000000",
            "18446744073709551615",
            "18446744073709551616",
            "1e308",
        ] {
            for claim in [DateClaim::Exp, DateClaim::Nbf, DateClaim::Iat] {
                let refused = read(claim, value);
                assert!(
                    matches!(refused, Err(JwsError::Malformed(_))),
                    "{claim:?} {value}: {refused:?}"
                );
            }
        }
    }
}
