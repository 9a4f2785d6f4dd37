//! `[cba]`: cell-bound authorizations.

use serde::{Deserialize, Serialize};

/// `[cba]`: cell-bound authorizations of cells that call other cells.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CbaSpec {
    /// Whether they are checked and enforced.
    pub mode: CbaMode,
    /// The only cell that they may be for. Absent: any cell that is decided.
    pub destination: Option<String>,
    /// The annotation of a cell in the registry that holds its JWKS, as a string.
    pub annotation: String,
    /// The algorithms that they may be signed with.
    pub algorithms: Vec<String>,
    /// How far `nbf` and `iat` may be in the future, in seconds.
    pub leeway_secs: u64,
    /// Each is accepted once by this router.
    pub one_use: bool,
}

impl Default for CbaSpec {
    fn default() -> Self {
        Self {
            mode: CbaMode::default(),
            destination: None,
            annotation: "cba-jwks".into(),
            algorithms: ["ES256", "EdDSA"].map(Into::into).into(),
            leeway_secs: 5,
            one_use: false,
        }
    }
}

/// `[policy.cba]`: what differs from `[cba]` for one policy.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyCbaSpec {
    /// Whether cell-bound authorizations are checked and enforced under this policy.
    pub mode: Option<CbaMode>,
    /// The only cell that they may be for under this policy.
    pub destination: Option<String>,
}

/// Whether cell-bound authorizations are checked and enforced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CbaMode {
    /// They are ignored.
    Off,
    /// Requests that `enforce` would deny are allowed, logged and counted.
    Monitor,
    /// An authorization must be valid. A request without one passes.
    #[default]
    Enforce,
    /// As `enforce`, and a caller whose client certificate names a cell needs one.
    Require,
}

impl CbaMode {
    /// As the configuration and `/readyz` write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Monitor => "monitor",
            Self::Enforce => "enforce",
            Self::Require => "require",
        }
    }
}
