//! Decides each case in one state.

use std::sync::Arc;

use cellway_core::{Decision, Now, Reason, Snapshot};
use cellway_router::explain::{Rehearsal, Rehearsed, ShownChain};
use cellway_router::settings::{ListenerSettings, Serves};

use super::requests::Asked;
use crate::cases::{CallerTable, Cases, RequestTable};
use crate::credentials::Caller;
use crate::error::DecideError;
use crate::table::{Decisions, Row};

/// A router's state in which all cases are decided.
pub(super) struct Scene {
    pub(super) listeners: Vec<ListenerSettings>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) rehearsal: Rehearsal,
    pub(super) now: Now,
    /// Cells to which the router can't connect.
    pub(super) unreachable: Vec<String>,
}

impl Scene {
    pub(super) fn table(
        &self,
        cases: &Cases,
        callers: &[Caller],
        requests: &[Asked],
    ) -> Result<Decisions, DecideError> {
        let mut rows = Vec::new();
        for (table, caller) in cases.caller.iter().zip(callers) {
            let chain = caller.certificate.as_ref();
            let chain = chain.map(|issued| self.rehearsal.show(&issued.credential.chain));
            for (request, asked) in cases.request.iter().zip(requests) {
                if Cases::is_asked(table, request) {
                    rows.push(self.row((table, caller), (request, asked), chain.as_ref())?);
                }
            }
        }
        Ok(Decisions::new(rows))
    }

    fn row(
        &self,
        (table, caller): (&CallerTable, &Caller),
        (request, asked): (&RequestTable, &Asked),
        chain: Option<&ShownChain>,
    ) -> Result<Row, DecideError> {
        let policy = &self.snapshot.policy;
        let listener = &self.listeners[asked.listener];
        let mut parts = asked.parts.clone();
        for (name, value) in &caller.headers {
            parts.headers.append(name, value.clone());
        }
        if let Some(key) = &caller.routing_key {
            key.add_to(policy, &mut parts, &asked.host)?;
        }
        let rehearsed = self.rehearsal.decide(listener, chain, parts, self.now);
        let names = [&*table.name, &*request.name, &*listener.name];
        let row = Row::new(names, &rehearsed, policy);
        Ok(match self.unreached(listener, &rehearsed) {
            Some(reason) => row.refused(reason),
            None => row,
        })
    }

    /// Why the router can't forward a request that may pass. Where an Envoy asks, the Envoy forwards it.
    fn unreached(&self, listener: &ListenerSettings, rehearsed: &Rehearsed) -> Option<Reason> {
        let Rehearsed::Decided {
            decision: Decision::Allow(allow),
            ..
        } = rehearsed
        else {
            return None;
        };
        let is_down = self
            .unreachable
            .iter()
            .any(|id| id == allow.cell.id.as_str());
        if !is_down || listener.serves != Serves::Proxy {
            return None;
        }
        Some(match allow.endpoints().next() {
            // With `when_all_ejected = "panic"` the router still tries.
            Some(_) => Reason::CellUnreachable,
            None => Reason::NoEndpointHealthy,
        })
    }
}
