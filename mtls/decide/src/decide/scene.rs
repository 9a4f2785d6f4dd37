//! Decides each case in one state.

use std::sync::Arc;

use cellway_core::{Now, Snapshot};
use cellway_router::explain::{Rehearsal, ShownChain};
use cellway_router::settings::ListenerSettings;

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
        Ok(Row::new(names, &rehearsed, policy))
    }
}
