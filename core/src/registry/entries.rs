//! The entries of the document's lists as they are written, before they are checked.
//!
//! Defaults are set here. An unknown field is refused, because its author expects it to have an
//! effect. The older form is the exception: see [`older`](super::older).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::RegistryError;
use super::chunks::Chunks;
use super::ids::{IdAt, Ids};
use super::symbols::Symbols;
use super::tenants::{Assignment, Items, TargetKind};
use super::terms::{RawLimits, RawTerms, Terms};
use crate::cell::CellState;
use crate::text::Text;

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table of id, tier, region, state and endpoints"
)]
pub(super) struct RawCell {
    pub(super) id: String,
    pub(super) tier: String,
    pub(super) region: String,
    pub(super) state: CellState,
    pub(super) drain: Option<RawDrain>,
    pub(super) weight: Option<u32>,
    #[serde(default)]
    pub(super) endpoints: Vec<RawEndpoint>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table of percent, or of from and until"
)]
pub(super) struct RawDrain {
    pub(super) percent: Option<u8>,
    pub(super) from: Option<u64>,
    pub(super) until: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of url and san")]
pub(super) struct RawEndpoint {
    pub(super) url: String,
    pub(super) san: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of id, tier and cells")]
pub(super) struct RawPlacement {
    pub(super) id: String,
    pub(super) tier: String,
    pub(super) cells: Vec<String>,
    #[serde(default)]
    pub(super) stateless: bool,
    pub(super) fallback: Option<String>,
    #[serde(default)]
    pub(super) failover: bool,
    pub(super) limits: Option<RawLimits>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawUnknownTenant {
    Deny,
    ByTier,
    Placement(String),
}

/// All tenants, as the index needs them. Their ids are borrowed from the document, and the names
/// that they refer to are replaced by numbers.
#[derive(Default)]
pub(super) struct RawTenants<'a> {
    pub(super) items: Chunks<RawItem>,
    ids: Ids<'a>,
    pub(super) targets: Symbols<(TargetKind, Cow<'a, str>)>,
    pub(super) terms: Symbols<RawTerms<'a>>,
    /// The tenants' problems, each with its path first; at most [`RegistryError::MISTAKES_MAX`].
    pub(super) problems: Vec<String>,
    /// The positions in the document of the tenants with problems, which are not in `items`.
    skipped: Vec<usize>,
}

/// One tenant that is listed. Flat, so that it takes 12 bytes: with [`IdAt`] inside it would be 16, and
/// there may be a million.
pub(super) struct RawItem {
    /// See [`IdAt::at`].
    id_at: u32,
    /// A symbol of [`RawTenants::targets`].
    pub(super) target: u32,
    /// A symbol of [`RawTenants::terms`] plus one, or 0 for none.
    pub(super) terms: u16,
    /// See [`IdAt::len_less_one`].
    id_len_less_one: u8,
    /// Whether the id is one of those with escapes, and whether the tenant is suspended.
    flags: u8,
}

const _: () = assert!(size_of::<RawItem>() == 12, "it has no padding");

impl RawItem {
    const ID_IS_OTHER: u8 = 1;
    const SUSPENDED: u8 = 2;

    fn new(id: IdAt, target: u32, terms: u16, suspended: bool) -> Self {
        let flag = |is: bool, flag| if is { flag } else { 0 };
        Self {
            id_at: id.at,
            target,
            terms,
            id_len_less_one: id.len_less_one,
            flags: flag(id.is_other, Self::ID_IS_OTHER) | flag(suspended, Self::SUSPENDED),
        }
    }

    fn id(&self) -> IdAt {
        IdAt {
            at: self.id_at,
            len_less_one: self.id_len_less_one,
            is_other: self.flags & Self::ID_IS_OTHER != 0,
        }
    }

    fn is_suspended(&self) -> bool {
        self.flags & Self::SUSPENDED != 0
    }
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table of id, and cell or placement"
)]
pub(super) struct RawTenant<'a> {
    #[serde(borrow)]
    id: Str<'a>,
    #[serde(borrow)]
    cell: Option<Str<'a>>,
    #[serde(borrow)]
    placement: Option<Str<'a>>,
    #[serde(default)]
    status: RawStatus,
    #[serde(borrow)]
    issuer: Option<Str<'a>>,
    #[serde(borrow)]
    allowed_roles: Option<Vec<Str<'a>>>,
    #[serde(borrow)]
    default_role: Option<Str<'a>>,
    limits: Option<RawLimits>,
}

/// A tenant that is only checked for mistakes.
pub(super) struct RawTenantOwned;

impl<'de> Deserialize<'de> for RawTenantOwned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawTenant::deserialize(deserializer).map(|_| Self)
    }
}

#[derive(Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum RawStatus {
    #[default]
    Active,
    Suspended,
}

impl Items for RawTenants<'_> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn id(&self, at: usize) -> &str {
        self.ids.get(self.items[at].id())
    }

    fn assignment(&self, at: usize) -> Assignment {
        let item = &self.items[at];
        Assignment {
            target: item.target,
            terms: item.terms,
            suspended: item.is_suspended(),
        }
    }
}

impl<'a> RawTenants<'a> {
    /// Says which document they are part of. Until then their ids can't be read.
    pub(super) fn are_of(&mut self, document: &'a [u8]) {
        self.ids.are_of(document);
    }

    /// How many tenants the document lists, including those with mistakes.
    pub(super) fn listed(&self) -> usize {
        self.items.len() + self.skipped.len()
    }

    /// An item's position in the document and its id, for messages.
    pub(super) fn place(&self, item: usize) -> String {
        let place = self
            .skipped
            .iter()
            .fold(item, |at, skipped| match *skipped <= at {
                true => at + 1,
                false => at,
            });
        let id = self
            .items
            .get(item)
            .map_or("", |item| self.ids.get(item.id()));
        format!("tenants[{place}] {id:?}")
    }

    /// Adds a tenant that a cell of the older form lists.
    pub(super) fn pin(&mut self, id: String, cell: String) {
        let id = self.ids.add(id.into());
        let target = self.targets.number((TargetKind::Cell, cell.into()));
        self.items.push(RawItem::new(id, target, 0, false));
    }

    fn push(&mut self, tenant: RawTenant<'a>) -> Result<(), String> {
        Text::check(&tenant.id.0).map_err(|why| format!(".id {why}"))?;
        let id = &tenant.id.0;
        let (kind, name) = match (tenant.cell, tenant.placement) {
            (Some(cell), None) => (TargetKind::Cell, cell),
            (None, Some(placement)) => (TargetKind::Placement, placement),
            (None, None) => return Err(format!(" {id:?} needs a cell or a placement")),
            (Some(_), Some(_)) => {
                return Err(format!(
                    " {id:?} has a cell and a placement; keep one of them"
                ));
            }
        };
        // Sorted, because the order of roles has no meaning.
        let roles = |roles: Vec<Str<'a>>| {
            let mut roles: Vec<_> = roles.into_iter().map(|role| role.0).collect();
            roles.sort_unstable();
            roles
        };
        let terms = RawTerms {
            issuer: tenant.issuer.map(|issuer| issuer.0),
            allowed_roles: tenant.allowed_roles.map(roles),
            default_role: tenant.default_role.map(|role| role.0),
            limits: tenant.limits,
        };
        let terms = match terms.is_empty() {
            true => 0,
            false => u16::try_from(self.terms.number(terms) + 1).map_err(|_| {
                let most = Terms::COMBINATIONS_MAX;
                format!(" {id:?} needs a new combination of issuer, roles and limits; a registry may have {most}")
            })?,
        };
        let id = self.ids.add(tenant.id.0);
        let target = self.targets.number((kind, name.0));
        let suspended = tenant.status == RawStatus::Suspended;
        self.items.push(RawItem::new(id, target, terms, suspended));
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawTenants<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = RawTenants<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tenants")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut tenants = RawTenants::default();
                let mut at = 0;
                while let Some(tenant) = seq.next_element()? {
                    if tenants.problems.len() < RegistryError::MISTAKES_MAX
                        && let Err(why) = tenants.push(tenant)
                    {
                        tenants.problems.push(format!("tenants[{at}]{why}"));
                        tenants.skipped.push(at);
                    }
                    at += 1;
                }
                Ok(tenants)
            }
        }
        deserializer.deserialize_seq(Each)
    }
}

/// A string that is borrowed from the document if it has no escapes. (`Option<Cow<str>>` would
/// always be a copy.)
struct Str<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Str<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Str(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Str(Cow::Owned(v.to_owned())))
            }
            fn visit_string<E>(self, v: String) -> Result<Self::Value, E> {
                Ok(Str(Cow::Owned(v)))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}
