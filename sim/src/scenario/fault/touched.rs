//! The hosts that a fault touches, for the picture of a run.

use std::time::Duration;

use super::{Authority, Change, FaultKind};
use crate::scenario::choices::CellState;
use crate::scenario::{CONTROL_PLANE, Scenario};

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
    CellState
);

impl Touches for Change {
    fn names(&self) -> Vec<&str> {
        vec![CONTROL_PLANE]
    }
}

impl FaultKind {
    /// The hosts of a scenario that it touches, in no order. None for a change of an authority, which
    /// touches all.
    pub fn hosts(&self, scenario: &Scenario) -> Vec<String> {
        let names = self.arguments().into_iter();
        let hosts = names.flat_map(|name| scenario.hosts_of(name));
        let known = scenario.hosts();
        hosts
            .filter(|host| known.iter().any(|it| it.name == *host))
            .collect()
    }
}
