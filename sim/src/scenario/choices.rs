//! The words that a scenario file chooses from, apart from credentials.

use serde::Deserialize;

/// A version of the PROXY protocol's header.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(try_from = "u8")]
#[non_exhaustive]
pub enum HeaderVersion {
    /// A line of text.
    One,
    /// Binary.
    #[default]
    Two,
}

impl TryFrom<u8> for HeaderVersion {
    type Error = &'static str;

    fn try_from(version: u8) -> Result<Self, Self::Error> {
        match version {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err("must be 1 or 2"),
        }
    }
}

/// Which traffic a cell takes, according to the registry.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CellState {
    /// No traffic yet.
    Provisioning,
    /// The traffic of all its tenants, old and new.
    #[default]
    Active,
    /// Only the traffic of tenants that it already has.
    Draining,
    /// No traffic: its tenants are told to wait.
    Quarantined,
}

impl CellState {
    /// The word in the registry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Quarantined => "quarantined",
        }
    }
}

/// What a cell's endpoints speak.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CellProtocol {
    /// Mutual TLS; HTTP/2 or HTTP/1.1 by ALPN.
    #[default]
    Https,
    /// Plain HTTP/1.1.
    Http,
    /// Plain HTTP/2.
    H2c,
}

impl CellProtocol {
    /// The scheme of its URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::H2c => "h2c",
        }
    }
}

/// Where tenants go that the registry doesn't list.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UnknownTenant {
    /// They are refused.
    #[default]
    Deny,
    /// They go to an active cell of the tier that their token names.
    ByTier,
}

/// What a client speaks.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientProtocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2
    #[default]
    Http2,
}
