//! Faults: what a scenario does to its world, and when.

mod docs;
mod reader;
mod registry;
mod table;
mod touched;

use std::time::Duration;

pub use docs::markdown;
pub(super) use reader::Names;
use reader::Reader;
pub use registry::{ListedCell, NewRegistry};
pub use table::{Change, FaultKind};
use touched::Touches;

use super::error::Errors;
use super::{CONTROL_PLANE, Scenario, file};

/// One entry of the timeline.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// When it begins.
    pub at: Duration,
    /// When it ends. For a fault without a duration this is `at`.
    pub until: Duration,
    /// What happens.
    pub kind: FaultKind,
    /// The line of the scenario on which it begins.
    pub line: usize,
}

/// One of the authorities that issue a world's certificates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Authority {
    /// Issues clients' certificates; routers trust it.
    Clients,
    /// Issues cells' and the routers' client certificates; routers and cells trust it.
    Cells,
    /// Issues the certificates of routers, identity providers and the control plane.
    Servers,
}

impl Authority {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Clients, Self::Cells, Self::Servers];

    /// Its name in scenarios.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Cells => "cells",
            Self::Servers => "servers",
        }
    }
}

/// A kind of fault that may change something for a time.
pub(super) trait Affects {
    /// What it changes, and changes back at its end. `None` if it has no end.
    fn affects(&self) -> Option<Affected<'_>>;
}

/// What a lasting fault changes. Two faults that change the same thing may not overlap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Affected<'a> {
    /// An aspect of a host, or of all hosts of a cell.
    Host(&'static str, &'a str),
    /// An aspect of the links between two hosts, or cells.
    Link(&'static str, &'a [String; 2]),
}

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
        let is_known = |host: &String| known.iter().any(|it| it.name == *host);
        hosts.filter(is_known).collect()
    }
}

/// Reads one `[[fault]]`; mistakes go to `errors`.
pub(super) fn read(
    spec: &file::Fault,
    names: &dyn Names,
    duration: Duration,
    errors: &mut Errors<'_>,
) -> Option<Fault> {
    let at = spec.at.get_ref().0;
    let mut reader = Reader::new(spec, names, errors);
    let kind = FaultKind::read(&spec.kind, &mut reader)?;
    let until = at + reader.lasts(kind.affects().is_some());
    reader.refuse_the_rest();
    if until >= duration {
        let problem = "must end before the scenario does, so that the run shows the recovery";
        errors.add(spec.at.span(), "fault.at", problem);
    }
    let line = errors.line(&spec.at.span());
    Some(Fault {
        at,
        until,
        kind,
        line,
    })
}
