//! The credentials of clients, good and bad.

use serde::Deserialize;

/// The credentials of a client.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Credential {
    /// A good token from its issuer.
    #[default]
    Token,
    /// A certificate with its tenant in the SAN.
    Certificate,
    /// Both, for the same tenant.
    Both,
    /// No credentials.
    None,
    /// A token that expired before the simulation began.
    Expired,
    /// A token for somebody else.
    WrongAudience,
    /// A token that names its issuer's key but was signed with another key.
    Forged,
    /// A token that names an invented key, a different one each time.
    UnknownKey,
    /// A token for its tenant and a certificate for another tenant.
    Conflicting,
    /// A good token that it still uses for a while after it expires.
    Overdue,
    /// A gateway's certificate, and its tenant as the routing key.
    GatewayKey,
    /// Its tenant as the routing key, signed anew for each request by its signer.
    SignedKey,
    /// Its tenant as the routing key, without any proof.
    SpoofedKey,
    /// Its tenant as the routing key, with another tenant's certificate.
    BorrowedKey,
    /// Its tenant as the routing key, signed by another key under its signer's name.
    ForgedKey,
    /// Its tenant as the routing key, signed by its signer minutes ago.
    StaleKey,
}

impl Credential {
    /// Whether a router in `required` mode must accept it.
    pub fn is_good(self) -> bool {
        match self {
            Self::Token | Self::Certificate | Self::Both | Self::GatewayKey | Self::SignedKey => {
                true
            }
            Self::None
            | Self::Expired
            | Self::WrongAudience
            | Self::Forged
            | Self::UnknownKey
            | Self::Conflicting
            | Self::Overdue
            | Self::SpoofedKey
            | Self::BorrowedKey
            | Self::ForgedKey
            | Self::StaleKey => false,
        }
    }

    /// Whether it includes a token.
    pub fn has_token(self) -> bool {
        match self {
            Self::Token
            | Self::Both
            | Self::Expired
            | Self::WrongAudience
            | Self::Forged
            | Self::UnknownKey
            | Self::Conflicting
            | Self::Overdue => true,
            Self::None
            | Self::Certificate
            | Self::GatewayKey
            | Self::SignedKey
            | Self::SpoofedKey
            | Self::BorrowedKey
            | Self::ForgedKey
            | Self::StaleKey => false,
        }
    }

    /// Whether it includes a client certificate.
    pub fn is_certified(self) -> bool {
        match self {
            Self::Certificate
            | Self::Both
            | Self::Conflicting
            | Self::GatewayKey
            | Self::BorrowedKey => true,
            Self::Token
            | Self::None
            | Self::Expired
            | Self::WrongAudience
            | Self::Forged
            | Self::UnknownKey
            | Self::Overdue
            | Self::SignedKey
            | Self::SpoofedKey
            | Self::ForgedKey
            | Self::StaleKey => false,
        }
    }

    /// Whether it proves the tenant while its token is valid.
    pub fn can_prove(self) -> bool {
        self.is_good() || self == Self::Overdue
    }
}

/// Further claims of a client's tokens.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Claims {
    /// All tenants that the token names, instead of one.
    pub tenants: Option<Vec<String>>,
    /// With `tenants`: the tenant if the request picks none.
    pub default_tenant: Option<String>,
    /// Its roles; no claim by default.
    pub roles: Option<Vec<String>>,
    /// Its scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The tier.
    pub tier: Option<String>,
    /// Further audiences of the token.
    #[serde(default)]
    pub audiences: Vec<String>,
}

/// What is wrong with a token, or with how it is sent.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Flaw {
    /// It has no signature, and `alg` `none`.
    Unsigned,
    /// It names another issuer.
    WrongIssuer,
    /// It isn't valid before an hour from now.
    Early,
    /// It has another `typ`, that of cell-bound authorizations.
    WrongType,
    /// It is bound to a certificate that the client doesn't have.
    BoundElsewhere,
    /// It names no tenant.
    NoTenant,
    /// It names no subject.
    NoSubject,
    /// It has no expiry.
    NoExpiry,
    /// It has no audience.
    NoAudience,
    /// It is sent twice, in two headers.
    Twice,
    /// It is also sent in the query.
    InQuery,
    /// It is good, but the request's `Connection` names headers of the router, so that they would
    /// be dropped.
    NamesStamps,
}

/// The cell-bound authorizations of a client.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Authorization {
    /// With each request a new one from its cell, for the cell of its tenant.
    #[default]
    Good,
    /// The same for another cell.
    Misdirected,
    /// One for another user of its tenant.
    ForAnother,
    /// One that names its cell's key but was signed with another key.
    Forged,
    /// The authorization and token that another client of this cell has just used at the same router.
    Replayed,
}
