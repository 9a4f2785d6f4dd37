//! What cells do wrong.

use cellway_testbed::{CellFault, Reads};

use crate::fact::Fact;
use crate::scenario::FaultKind;
use crate::world::World;

/// What a cell does wrong that answers requests in this way.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "no other kind is about how a cell answers"
)]
pub(super) fn fault(kind: &FaultKind) -> CellFault {
    match kind {
        FaultKind::Busy(_, delay) => CellFault::Busy(*delay),
        FaultKind::Unavailable(_, after) => CellFault::Unavailable(*after),
        FaultKind::GrpcStatus(_, status) => CellFault::GrpcStatus(*status),
        FaultKind::LateGrpcStatus(_, status) => CellFault::LateGrpcStatus(*status),
        FaultKind::NotServing(_) => CellFault::NotServing,
        FaultKind::EarlyHints(_, hints) => CellFault::EarlyHints(*hints),
        FaultKind::HalfOpen(_) => CellFault::HalfOpen,
        FaultKind::Hang(_) => CellFault::Hang,
        FaultKind::Deaf(_) => CellFault::Deaf,
        FaultKind::AnswerEarly(_) => CellFault::AnswerEarly(Reads::Slowly),
        FaultKind::AnswerUnread(_) => CellFault::AnswerEarly(Reads::Never),
        FaultKind::Reset(_) => CellFault::ResetMidBody,
        FaultKind::Flap(_) => CellFault::Flapping,
        FaultKind::BreakOff(_) => CellFault::BreakOff,
        FaultKind::RefuseStreams(_) => CellFault::RefuseStreams,
        FaultKind::GoAway(_) => CellFault::GoAway,
        _ => CellFault::None,
    }
}

impl World {
    pub(super) fn fail_cell(&self, name: &str, begins: bool, fault: CellFault) {
        let state = self.handle.lock();
        for host in self.scenario.hosts_of(name) {
            let fault = if begins { fault } else { CellFault::None };
            state.cells[&host].echo.set_fault(fault);
        }
    }

    /// Sets how many streams a cell's hosts allow on each connection.
    pub(super) fn allow(&self, name: &str, streams: Option<u32>) {
        for host in self.scenario.hosts_of(name) {
            let cell = self.handle.lock().cells[&host].clone();
            cell.echo.allow_streams(streams);
            self.tell(&Fact::StreamsAllowed(host));
        }
    }

    /// Sets whether a cell's hosts accept new connections.
    pub(super) fn open_doors(&self, name: &str, open: bool) {
        let state = self.handle.lock();
        for host in self.scenario.hosts_of(name) {
            state.cells[&host].door.set(open);
        }
    }
}
