//! Pages for operators that show what is in force, as JSON. They show no secrets.

mod endpoints;
mod settings;
mod snapshot;

pub(crate) use self::endpoints::{
    AskedCells, BreakerState, CellShown, CellsOnPage, EndpointShown, EndpointUse, EndpointsPage,
};
pub(crate) use self::snapshot::{Facts, Keys, SnapshotPage};
