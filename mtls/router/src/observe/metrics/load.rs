//! What the router holds at cells.

use cellway_core::Text;

/// The requests and connections of one cell at one moment, for metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CellLoad {
    /// The cell.
    pub cell: Text,
    /// Requests in flight to it.
    pub requests: usize,
    /// Requests that wait for a place at it.
    pub waiting: usize,
    /// Its adaptive limit on requests that wait for their answers, if it has one.
    pub limit: Option<usize>,
    /// Connections to it, in use and idle.
    pub connections: usize,
    /// Requests that were sent again and have got no answer yet.
    pub retries: usize,
    /// Endpoints whose circuit breaker is open or half-open.
    pub circuits_open: usize,
}
