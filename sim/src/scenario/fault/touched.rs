//! The names of hosts in the fields of a fault.

use std::time::Duration;

use super::{Authority, NewRegistry};
use crate::scenario::choices::CellState;

/// A field of a fault that may name hosts.
pub(super) trait Touches {
    /// Names that may be those of hosts or cells.
    fn names(&self) -> Vec<&str>;
}

impl Touches for String {
    fn names(&self) -> Vec<&str> {
        vec![self]
    }
}

impl Touches for [String; 2] {
    fn names(&self) -> Vec<&str> {
        self.iter().map(String::as_str).collect()
    }
}

/// Fields that name no hosts.
macro_rules! nobody {
    ($($type:ty),+) => {
        $( impl Touches for $type {
            fn names(&self) -> Vec<&str> {
                Vec::new()
            }
        } )+
    };
}

nobody!(
    Duration,
    u8,
    u16,
    u32,
    i64,
    toml::Table,
    Authority,
    CellState,
    Box<NewRegistry>
);
