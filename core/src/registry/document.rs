//! The document as it is written, in its current and its older form.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::entries::{RawCell, RawPlacement, RawTenants, RawUnknownTenant};
use super::older::OlderCell;
use super::revocations::RawRevocation;

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a document of version, cells and tenants"
)]
pub(super) struct Document<'a> {
    pub(super) version: Option<u64>,
    pub(super) cells: Option<Vec<RawCell>>,
    /// The older form's name for `cells`.
    pub(super) data: Option<Vec<OlderCell>>,
    #[serde(default)]
    pub(super) placements: Vec<RawPlacement>,
    #[serde(default, borrow)]
    pub(super) tenants: RawTenants<'a>,
    #[serde(default)]
    pub(super) revocations: Vec<RawRevocation>,
    pub(super) unknown_tenant: Option<RawUnknownTenant>,
    pub(super) allow_shrink_from: Option<u64>,
}

/// A document of the older form, with further fields.
#[derive(Deserialize)]
#[serde(expecting = "a document with a list `data` of cells")]
pub(super) struct OlderDocument<'a> {
    version: Option<u64>,
    data: Vec<OlderCell>,
    /// The list of the current form. A document with both lists is refused.
    cells: Option<IgnoredAny>,
    #[serde(default)]
    placements: Vec<RawPlacement>,
    #[serde(default, borrow)]
    tenants: RawTenants<'a>,
    #[serde(default)]
    revocations: Vec<RawRevocation>,
    unknown_tenant: Option<RawUnknownTenant>,
    allow_shrink_from: Option<u64>,
}

impl<'a> OlderDocument<'a> {
    /// The part that is used; `None` if it mixes both forms.
    pub(super) fn modern(self) -> Option<Document<'a>> {
        let document = Document {
            version: self.version,
            cells: None,
            data: Some(self.data),
            placements: self.placements,
            tenants: self.tenants,
            revocations: self.revocations,
            unknown_tenant: self.unknown_tenant,
            allow_shrink_from: self.allow_shrink_from,
        };
        self.cells.is_none().then_some(document)
    }
}
