//! Cells, placements, tenants.
use crate::Text;
/// An isolated copy of the system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    /// Its id.
    pub id: Text,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}
/// One address of a cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Its URL.
    pub url: String,
}
/// The registry.
#[derive(Debug)]
pub struct Registry {}
