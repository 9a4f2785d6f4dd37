//! A tenant's issuer, roles and limits in the registry.
//!
//! Many tenants have the same terms, and the index has space for a number only. So each set of
//! terms is stored once.

use std::borrow::Cow;
use std::num::NonZeroU32;

use serde::Deserialize;

use crate::rate_limit::{RateLimit, RateLimitSpec};
use crate::text::Text;

/// The terms of one tenant or of many.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Terms {
    /// The only issuer whose tokens may speak for the tenant (its `name` in the router's
    /// configuration, or its `iss`), or the only trust domain whose certificates may
    /// ([`Policy::may_speak`](crate::policy::Policy::may_speak)).
    pub issuer: Option<Text>,
    /// The roles that a credential may give its callers. Other roles are removed. Without a list,
    /// all are.
    pub allowed_roles: Vec<Text>,
    /// The role of callers whose credential names no roles.
    pub default_role: Option<Text>,
    /// How many requests the tenant may send.
    pub rate: Option<RateLimit>,
    /// How many of its requests may be at cells at once.
    pub requests_max: Option<NonZeroU32>,
}

impl Terms {
    /// The most roles that a tenant may allow.
    pub const ROLES_MAX: usize = 64;
    /// The most different terms of one registry: the index numbers them in 16 bits, from 1.
    pub const COMBINATIONS_MAX: u16 = u16::MAX;

    /// The terms of a tenant without any in the registry.
    pub fn none() -> &'static Self {
        static NONE: Terms = Terms {
            issuer: None,
            allowed_roles: Vec::new(),
            default_role: None,
            rate: None,
            requests_max: None,
        };
        &NONE
    }
}

/// Terms as a document writes them.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct RawTerms<'a> {
    pub(super) issuer: Option<Cow<'a, str>>,
    pub(super) allowed_roles: Option<Vec<Cow<'a, str>>>,
    pub(super) default_role: Option<Cow<'a, str>>,
    pub(super) limits: Option<RawLimits>,
}

impl RawTerms<'_> {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks them.
    ///
    /// # Errors
    /// What is wrong, as text that follows the tenant's name.
    pub(super) fn check(&self) -> Result<Terms, String> {
        let issuer =
            |issuer: &Cow<'_, str>| Text::new(issuer).map_err(|why| format!(".issuer {why}"));
        let allowed = self.allowed_roles.as_deref().unwrap_or_default();
        if allowed.len() > Terms::ROLES_MAX {
            let most = Terms::ROLES_MAX;
            let count = allowed.len();
            return Err(format!(".allowed_roles has {count} roles; at most {most}"));
        }
        let roles = allowed.iter().map(role_text);
        let allowed_roles = roles.collect::<Result<Vec<_>, _>>()?;
        let default_role = self.default_role.as_deref().map(role_text).transpose()?;
        // Otherwise an operator who shortens the list and forgets the default role would still
        // grant it.
        if self.allowed_roles.is_some()
            && let Some(role) = &default_role
            && !allowed_roles.contains(role)
        {
            return Err(format!(
                ": default_role {:?} is not one of its allowed_roles",
                role.as_str()
            ));
        }
        let Limits { rate, requests_max } = RawLimits::check(self.limits)?;
        Ok(Terms {
            issuer: self.issuer.as_ref().map(issuer).transpose()?,
            allowed_roles,
            default_role,
            rate,
            requests_max,
        })
    }
}

/// The limits of a tenant or a placement as a document writes them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of rate and requests_max")]
pub(super) struct RawLimits {
    #[serde(default)]
    rate: Option<RateLimitSpec>,
    #[serde(default)]
    requests_max: Option<u32>,
}

/// The limits of a tenant or a placement.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) rate: Option<RateLimit>,
    pub(super) requests_max: Option<NonZeroU32>,
}

impl RawLimits {
    /// Checks them.
    ///
    /// # Errors
    /// What is wrong, as text that follows the name of the tenant or placement.
    pub(super) fn check(limits: Option<Self>) -> Result<Limits, String> {
        let Some(Self { rate, requests_max }) = limits else {
            return Ok(Limits::default());
        };
        if rate.is_none() && requests_max.is_none() {
            return Err(".limits is empty; it needs rate or requests_max".into());
        }
        let rate = rate.map(RateLimit::new).transpose();
        let requests_max = requests_max.map(|most| {
            NonZeroU32::new(most).ok_or_else(|| ".limits.requests_max must be 1 or more".to_owned())
        });
        Ok(Limits {
            rate: rate.map_err(|why| format!(".limits.rate.{} {why}", why.setting()))?,
            requests_max: requests_max.transpose()?,
        })
    }
}

fn role_text(role: impl AsRef<str>) -> Result<Text, String> {
    let role = role.as_ref();
    Text::new(role).map_err(|why| format!(": the role {role:?} {why}"))
}
